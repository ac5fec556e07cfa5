"""Fetches a variant's weights into the weights folder: listed first, resumed where they stopped, used only whole and right.

Files arrive as `<name>.<digest>.part` in a folder beside the final one, whose name begins with a dot. A file takes its name once its
digest is right, and the folder takes its name once every file is there; so what is found in place was never half or wrong. A
file whose digest is wrong is kept as `<name>.bad`.
"""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pipelines.files import file_lock
from pipelines.schema.config import Variant
from pipelines.schema.errors import SurroundingsFailed, UsageError
from pipelines.schema.units import format_bytes
from pipelines.schema.weights import WeightsSpec
from pipelines.weights.hub import Hub
from pipelines.weights.install import install, is_whole
from pipelines.weights.listing import WantedFile, wanted_files
from pipelines.weights.manifest import Manifest
from pipelines.weights.transfer import ByteProgress, Transfer

#: Bytes left free on the disk.
_SPARE = 64 << 20

#: Called with (bytes here already, bytes of all files).
Report = Callable[[int, int], None]


def fetch(
    variant: Variant, home: Path, hub: Hub, report: Report = lambda done, total: None,
    *, begin: Callable[[str], None] = lambda sentence: None, pause: Callable[[float], None] = time.sleep,
) -> Path:  # fmt: skip
    """The folder with the whole of `variant`'s weights, fetched where they are not there.

    Parameters
    ----------
    home : the weights folder.
    report : called as bytes come.
    begin : called once with a sentence, before anything is fetched: how much, from where, to where.
    pause : sleeps for so many seconds before another try.

    Raises
    ------
    UsageError : nothing says where the weights come from.
    SurroundingsFailed : no network, disk full, no permission. What came is kept and resumed next time.
    TaskFailed : the hub has not got them, or gave other bytes than it should.
    """
    spec = variant.weights
    if spec is None:
        raise UsageError(f"{variant.name} needs no weights, or its library brings them.")
    target = home / spec.folders[0]
    if not spec.sources:
        raise UsageError(f"Nothing says where {variant.name} can be fetched from. {_by_hand(spec, target)}")
    try:
        with file_lock(target.with_name(f".{target.name}.lock")):  # a second fetcher waits, then finds it there
            if not is_whole(target, spec):
                transfer = Transfer(hub, target.with_name(f".{target.name}.part"), pause)
                wanted = wanted_files(spec, hub)
                begin(f"{variant.name}: {_amount(variant, wanted, transfer)}, from {_origin(spec)} into {target}.")
                digests = _bring(wanted, transfer, report)
                sources = {file.source.repo: file.commit for file in wanted}
                install(transfer.stage, target, Manifest(variant.name, sources, digests))
    except OSError as error:
        raise _disk_failed(error, target) from error
    except SurroundingsFailed as error:
        raise SurroundingsFailed(f"{error} {_by_hand(spec, target)}") from error
    return target


def _amount(variant: Variant, wanted: Sequence[WantedFile], transfer: Transfer) -> str:
    """How much is to come, as `3 files, 1.2 GiB, 300 MiB of them here already`. Raises `SurroundingsFailed` for a full disk."""
    transfer.stage.mkdir(parents=True, exist_ok=True)
    total, here = sum(file.size for file in wanted), sum(map(transfer.bytes_here, wanted))
    free = shutil.disk_usage(transfer.stage).free
    if total - here + _SPARE > free:
        raise SurroundingsFailed(
            f"{variant.name} needs {format_bytes(total - here)} more and {transfer.stage} has {format_bytes(free)} free."
        )
    rest = f", {format_bytes(here)} of them here already" if here else ""
    return f"{len(wanted)} files, {format_bytes(total)}{rest}"


def _bring(wanted: Sequence[WantedFile], transfer: Transfer, report: Report) -> dict[str, str]:
    """Bring every file into the stage. Returns their digests by name."""
    total, before, digests = sum(file.size for file in wanted), 0, {}
    for file in wanted:
        digests[file.name] = transfer.bring(file, _counting(report, before, total))
        before += file.size
    report(total, total)
    return digests


def _counting(report: Report, before: int, total: int) -> ByteProgress:
    """Reports one file's bytes as bytes of all files, `before` of which came with earlier files."""
    return lambda done: report(before + done, total)


def _origin(spec: WeightsSpec) -> str:
    return " and ".join(source.repo for source in spec.sources)


def _by_hand(spec: WeightsSpec, target: Path) -> str:
    """Where the files go when a person brings them."""
    wanted = ", ".join(spec.files) or "its files"
    origin = " and ".join(source.repo + (f"/{source.subfolder}" if source.subfolder else "") for source in spec.sources)
    return f"By hand: put {wanted}{f' (of {origin})' if origin else ''} into {target}."


def _disk_failed(error: OSError, target: Path) -> SurroundingsFailed:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SurroundingsFailed(
            f"The disk is full at {target.parent}. What came is kept; free some space and fetch again to go on, or choose weights_dir=."
        )
    why = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return SurroundingsFailed(
        f"Weights cannot be kept in {target.parent} ({why}). Choose another folder with weights_dir=."
    )
