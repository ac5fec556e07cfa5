"""Fetches a variant's weights into the weights folder: listed first, resumed where they stopped, used only whole and right.

Files arrive as `<name>.<digest>.part` in a folder beside the final one, whose name begins with a dot. A file takes its name once its
digest is right, and the folder takes its name once every file is there; so what is found in place was never half or wrong. A
file whose digest is wrong is kept as `<name>.bad`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.files import file_lock, sha256_of
from pipelines.schema.config import Variant
from pipelines.schema.errors import SurroundingsFailed, TaskFailed, UsageError
from pipelines.schema.units import format_bytes
from pipelines.weights.hub import CannotResume, Hub
from pipelines.weights.manifest import NAME, Manifest, read_manifest
from pipelines.weights.patterns import files_in, matching, unmatched
from pipelines.weights.spec import Source, WeightsSpec

#: Left free on the disk.
_SPARE = 64 << 20
#: A connection that broke is tried again this often where it had brought something, after so many seconds each.
_TRIES, _PAUSE = 5, 1.0

#: Told of (bytes here already, bytes of all files).
Report = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One file to fetch. remote: its name in the repository. name: below the weights folder. sha256: where anybody told."""

    source: Source
    commit: str
    remote: str
    name: str
    size: int
    sha256: str | None
    blob: str | None = None

    def part(self, folder: Path) -> Path:
        """Where its bytes gather: named by their digest, so that another revision's are never gone on with."""
        path = folder / self.name
        return path.with_name(f"{path.name}.{(self.sha256 or self.blob or self.commit)[:8]}.part")

    def is_right(self, path: Path, digest: str) -> bool:
        """Whether the file at `path`, of SHA-256 `digest`, is this one as far as anybody told."""
        if _size(path) != self.size:
            return False
        if self.sha256 is not None:
            return digest == self.sha256
        return self.blob is None or git_blob(path) == self.blob


def git_blob(path: Path) -> str:
    """The name git gives to a file's bytes, by which hubs list small files."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def fetch(
    variant: Variant, home: Path, hub: Hub, report: Report = lambda done, total: None,
    *, begin: Callable[[str], None] = lambda sentence: None, pause: Callable[[float], None] = time.sleep,
) -> Path:  # fmt: skip
    """The folder with the whole of `variant`'s weights, fetched where they are not there. begin: told what will be fetched.

    Raises `UsageError` (nothing says where from), `SurroundingsFailed` (no network, disk full, no permission; what came is
    kept and resumed) and `TaskFailed` (the hub has it not, or gave other bytes than it should).
    """
    spec = WeightsSpec.of(variant)
    if spec is None:
        raise UsageError(f"{variant.name} needs no weights, or its library brings them.")
    target = home / spec.folders[0]
    if not spec.sources:
        raise UsageError(f"Nothing says where {variant.name} can be fetched from. {by_hand(spec, target)}")
    try:
        with file_lock(target.with_name(f".{target.name}.lock")):  # a second fetcher waits, then finds it there
            if not is_whole(target, spec):
                _fetch_to(target, variant, spec, hub, _Fetching(hub, report, begin, pause))
    except OSError as error:
        raise _surroundings(error, target) from error
    except SurroundingsFailed as error:
        raise SurroundingsFailed(f"{error} {by_hand(spec, target)}") from error
    return target


def is_whole(folder: Path, spec: WeightsSpec) -> bool:
    """Whether `folder` holds every file: those of its manifest, or those the variant's file names."""
    recorded = read_manifest(folder)
    if recorded is not None:
        return all((folder / name).is_file() for name in recorded.sha256)
    return folder.is_dir() and bool(spec.files) and not unmatched(files_in(folder), spec.files)


def by_hand(spec: WeightsSpec, target: Path) -> str:
    """Where the files go when a person brings them."""
    wanted = ", ".join(spec.files) or "its files"
    origin = " and ".join(source.repo + (f"/{source.subfolder}" if source.subfolder else "") for source in spec.sources)
    return f"By hand: put {wanted}{f' (of {origin})' if origin else ''} into {target}."


@dataclass(frozen=True)
class _Fetching:
    hub: Hub
    report: Report
    begin: Callable[[str], None]
    pause: Callable[[float], None]


def _fetch_to(target: Path, variant: Variant, spec: WeightsSpec, hub: Hub, how: _Fetching) -> None:
    wanted = [file for source in spec.sources for file in _wanted(source, hub, spec)]
    stage = target.with_name(f".{target.name}.part")
    stage.mkdir(parents=True, exist_ok=True)
    total, here = sum(file.size for file in wanted), sum(_here(stage, file) for file in wanted)
    free = shutil.disk_usage(stage).free
    if total - here + _SPARE > free:
        raise SurroundingsFailed(
            f"{variant.name} needs {format_bytes(total - here)} more and {stage} has {format_bytes(free)} free."
        )
    rest = f", {format_bytes(here)} of them here already" if here else ""
    origin = " and ".join(source.repo for source in spec.sources)
    how.begin(f"{variant.name}: {len(wanted)} files, {format_bytes(total)}{rest}, from {origin} into {target}.")
    before, digests = 0, dict[str, str]()
    for file in wanted:
        digests[file.name] = _one(stage, file, _counting(how, before, total))
        before += file.size
    how.report(total, total)
    sources = {file.source.repo: file.commit for file in wanted}
    (stage / NAME).write_text(Manifest(variant.name, sources, digests).to_json(), encoding="utf-8")
    for path in _left_over(stage, digests):
        path.unlink()
    _install(stage, target)


def _left_over(stage: Path, wanted: Collection[str]) -> list[Path]:
    """What earlier tries left that is no part of the model: wrong files set aside, other revisions' beginnings."""
    return [
        path
        for path in stage.rglob("*")
        if path.is_file() and path.relative_to(stage).as_posix() not in {*wanted, NAME}
    ]


def _counting(how: _Fetching, before: int, total: int) -> _Fetching:
    """The same, its report counting what earlier files brought."""
    return replace(how, report=lambda done, _: how.report(before + done, total))


def _wanted(source: Source, hub: Hub, spec: WeightsSpec) -> Iterator[Wanted]:
    listing = hub.listing(source)
    prefix = f"{source.subfolder}/" if source.subfolder else ""
    found = {file.name.removeprefix(prefix): file for file in listing.files if file.name.startswith(prefix)}
    absent = unmatched(found, source.files)
    if absent or not source.files:
        raise TaskFailed(
            f"{source.repo} has no {', '.join(absent) or 'files that were named'} (at {listing.commit[:12]})."
        )
    for name in matching(found, (*source.files, *source.optional)):
        if name.startswith(("/", ".")) or ".." in name.split("/") or "\\" in name:
            raise TaskFailed(
                f"{source.repo} names {name!r}, which is outside its folder or hidden; nothing was fetched."
            )
        local = f"{source.into}/{name}" if source.into else name
        digest = spec.sha256.get(local) or found[name].sha256
        yield Wanted(source, listing.commit, prefix + name, local, found[name].size, digest, found[name].blob)


def _here(stage: Path, file: Wanted) -> int:
    """Bytes of a file that came in an earlier try."""
    done = stage / file.name
    return file.size if done.is_file() else min(_size(file.part(stage)), file.size)


def _one(stage: Path, file: Wanted, how: _Fetching) -> str:
    """Fetch one file. Returns its digest."""
    path = stage / file.name
    if path.is_file():
        digest = sha256_of(path)
        if file.is_right(path, digest):
            return digest
        path.unlink()  # another revision's
    path.parent.mkdir(parents=True, exist_ok=True)
    _carry_over(file.part(stage), file, how)
    return _accept(file.part(stage), path, file)


def _carry_over(part: Path, file: Wanted, how: _Fetching) -> None:
    """Bring `part` to its full size, going on where it stopped; a broken connection that brought something is tried again."""
    tries = 0
    while True:
        before = _size(part)
        try:
            _append(part, file, how)
            return
        except CannotResume:
            part.unlink(missing_ok=True)
            tries += 1
            if tries > _TRIES:
                raise TaskFailed(f"{file.source.repo} does not give {file.remote} from its beginning.") from None
        except SurroundingsFailed:
            tries = tries + 1 if _size(part) == before else 0
            if _size(part) == 0 or tries > _TRIES:
                raise
            how.pause(_PAUSE)


def _append(part: Path, file: Wanted, how: _Fetching) -> None:
    start = _size(part)
    if start > file.size:
        part.unlink()
        start = 0
    if start < file.size or file.size == 0:
        with part.open("ab") as out:
            for block in how.hub.blocks(file.source, file.commit, file.remote, start):
                out.write(block)
                start += len(block)
                how.report(min(start, file.size), file.size)
                if start > file.size:
                    break
    if start < file.size:
        raise SurroundingsFailed(f"{file.remote} ended after {start} of {file.size} bytes.")


def _accept(part: Path, path: Path, file: Wanted) -> str:
    """Give a whole file its name, or set a wrong one aside and say so. Returns its digest."""
    digest = sha256_of(part)
    if file.is_right(part, digest):
        os.replace(part, path)
        return digest
    bad = path.with_name(path.name + ".bad")
    os.replace(part, bad)
    expected = f"SHA-256 {file.sha256[:16]}..., " if file.sha256 else ""
    raise TaskFailed(
        f"{file.name} from {file.source.repo} is not what it should be: SHA-256 {digest[:16]}..., {_size(bad)} bytes; "
        f"expected {expected}{file.size} bytes. It is kept as {bad} and not used. Fetch again, or ask whoever publishes it."
    )


def _install(stage: Path, target: Path) -> None:
    """Put the folder in place. Files of a person's own that were there before stay, unless they have a fetched file's name."""
    if not target.exists():
        os.replace(stage, target)
        return
    for path in sorted(stage.rglob("*")):
        if path.is_file() and path.name != NAME:
            place = target / path.relative_to(stage)
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.exists() and sha256_of(place) != sha256_of(path):
                os.replace(place, place.with_name(place.name + ".before"))
            os.replace(path, place)
    os.replace(stage / NAME, target / NAME)
    shutil.rmtree(stage)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _surroundings(error: OSError, target: Path) -> SurroundingsFailed:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SurroundingsFailed(
            f"The disk is full at {target.parent}. What came is kept; free some space and fetch again to go on, or choose weights_dir=."
        )
    told = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return SurroundingsFailed(
        f"Weights cannot be kept in {target.parent} ({told}). Choose another folder with weights_dir=."
    )
