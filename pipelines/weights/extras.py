"""Which of Headroom's extras bring modules that are missing, from the installed distribution's own metadata."""

from __future__ import annotations

import re
from collections.abc import Collection
from importlib import metadata

DISTRIBUTION = "headroom-runner"
#: Modules whose distribution has another name.
_DISTRIBUTIONS = {"TTS": "coqui-tts"}
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")


def extras_for(absent: Collection[str], required: Collection[str]) -> list[str]:
    """Extras that bring the modules in `absent`, each the one with the least that is not `required`; [] where none bring all."""
    known = _extras()
    missing, wanted = ({_distribution(name) for name in names} for names in (absent, required))
    chosen: list[str] = []
    while missing:
        useful = [name for name in known if known[name] & missing]
        if not useful:
            return []
        best = max(useful, key=lambda name: (len(known[name] & wanted) / len(known[name]), name))
        chosen.append(best)
        missing -= known[best]
    return chosen


def _extras() -> dict[str, set[str]]:
    """Extra -> normalised names of the distributions it brings."""
    from packaging.requirements import Requirement

    try:
        lines = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return {}
    found: dict[str, set[str]] = {}
    for line in lines:
        if extra := _EXTRA.search(line):
            found.setdefault(extra[1], set()).add(_normal(Requirement(line).name))
    return found


def _distribution(module: str) -> str:
    head = module.partition(".")[0]
    return _normal(_DISTRIBUTIONS.get(head, head))


def _normal(name: str) -> str:
    from packaging.utils import canonicalize_name

    return canonicalize_name(name)
