"""Which files of a folder or a repository belong to a model, by glob patterns of their relative names."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from pathlib import Path, PurePosixPath


def files_in(folder: Path) -> list[str]:
    """Relative names of the files in `folder`, with `/`, sorted; hidden ones (caches, manifests) are left out."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts))


def matching(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """The names that a pattern matches or that lie in a folder it matches, sorted.

    >>> matching(["a.bin", "sub/b.bin", "c.txt"], ["*.bin", "sub"])
    ['a.bin', 'sub/b.bin']
    """
    patterns = list(patterns)
    return sorted(name for name in names if any(_matches(name, pattern) for pattern in patterns))


def unmatched(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """The patterns that match no name."""
    known = list(names)
    return [pattern for pattern in patterns if not matching(known, [pattern])]


def _matches(name: str, pattern: str) -> bool:
    folders = (str(parent) for parent in PurePosixPath(name).parents)
    return any(fnmatch.fnmatchcase(part, pattern) for part in (name, *folders))
