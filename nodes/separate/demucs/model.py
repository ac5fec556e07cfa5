"""Demucs' local model folders read safely: which networks of a bag a stem needs, and those networks with nothing executed.

A folder holds `<name>.yaml` (a bag: signatures, weights, segment) and a file a signature: `<signature>-<sha>.th` as
demucs has always published, or `<signature>.safetensors` as its hub repositories do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nodes.loading.checkpoint import load_module, read_checkpoint, unpickled
from nodes.loading.faults import reading
from pipelines.schema.errors import TaskFailed

if TYPE_CHECKING:
    import torch

_ADVICE = "Fetch it again, or choose another variant."


@dataclass(frozen=True, eq=False)
class Part:
    """A network and its share in the stem that is wanted; the shares of all parts sum to one."""

    net: torch.nn.Module
    share: float


@dataclass(frozen=True, eq=False)
class Bag:
    """The networks that one stem needs; `stem` is its index in what they give. segment: seconds at once. rate: Hz."""

    parts: tuple[Part, ...]
    stem: int
    rate: int
    channels: int
    segment: Fraction


def load_bag(folder: Path, name: str, stem: str, segment: float, device: str) -> Bag:
    """The networks of bag (or signature) `name` in `folder` that have a say in `stem`, in eval mode on `device`.

    Of a bag of one specialist a stem, such as htdemucs_ft, that is one network of four. Their segment is shortened to
    `segment`, in the network itself: the argument of that name in demucs' API changes neither memory nor time. Raises
    `TaskFailed` for a folder without it, and for files that are damaged, hold more than weights and settings, or whose
    digest is another than their name says.
    """
    signatures, weights, longest = _members(folder, name)
    here = next((signature for signature in signatures if _files_of(folder, signature)), signatures[0])
    stems = _stems(_file_of(folder, here))  # all of a bag separate the same stems, and not all of them need be here
    if stem not in stems:
        raise TaskFailed(f"{name} in {folder} separates {', '.join(stems)}, and not {stem}. Choose another variant.")
    at = stems.index(stem)
    shares = {s: row[at] for s, row in zip(signatures, weights or [[1.0] * len(stems)] * len(signatures), strict=True)}
    whole = sum(shares.values())
    nets = {s: _network(_file_of(folder, s), device) for s, share in shares.items() if share}
    first = next(iter(nets.values()))
    longest = min([longest or Fraction(10**6), *(Fraction(net.segment) for net in nets.values())])
    length = min(Fraction(str(segment)), longest)
    for net in nets.values():
        net.segment = length
    parts = tuple(Part(net, shares[s] / whole) for s, net in nets.items())
    return Bag(parts, at, int(first.samplerate), int(first.audio_channels), length)


def _members(folder: Path, name: str) -> tuple[list[str], list[list[float]] | None, Fraction | None]:
    """Signatures, weights and segment of a bag; a signature is a bag of one."""
    import yaml

    own = folder / f"{name}.yaml"
    path = own if own.is_file() else _published(name)
    if path is None:
        return [name], None, None
    with reading(f"The demucs bag {path}", _ADVICE):
        bag = yaml.safe_load(path.read_text(encoding="utf-8"))
        signatures = [str(signature) for signature in bag["models"]]
        weights = [[float(w) for w in row] for row in bag["weights"]] if bag.get("weights") else None
        segment = Fraction(str(bag["segment"])) if bag.get("segment") else None
        if not signatures or (weights and len(weights) != len(signatures)):
            raise ValueError("models and weights differ in number")
    return signatures, weights, segment


def _published(name: str) -> Path | None:
    """The library's own list of a bag it publishes: torch hub's cache, where it leaves the networks, has none."""
    import demucs

    path = Path(demucs.__file__).parent / "remote" / f"{name}.yaml"
    return path if path.is_file() else None


def _files_of(folder: Path, signature: str) -> list[Path]:
    return [
        path
        for path in sorted(folder.glob("*"))
        if (path.suffix == ".th" and path.stem.partition("-")[0] == signature)
        or path.name == f"{signature}.safetensors"
    ]


def _file_of(folder: Path, signature: str) -> Path:
    found = _files_of(folder, signature)
    if not found:
        raise TaskFailed(
            f"There is no demucs network {signature} in {folder} ({signature}-*.th or {signature}.safetensors)."
        )
    return found[0]


def _stems(path: Path) -> list[str]:
    with reading(f"The demucs network {path}", _ADVICE):
        return [str(stem) for stem in _settings(path)["kwargs"]["sources"]]


def _settings(path: Path) -> Mapping[str, Any]:
    """What a file says of its network, `args` and `kwargs`, weights left where they are."""
    if path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
        if metadata["klass"].rpartition(".")[2] != "HTDemucs":
            raise ValueError(f"it holds a {metadata['klass']}, and only HTDemucs is known here")
        return {"args": _plain(json.loads(metadata["args"])), "kwargs": _plain(json.loads(metadata["kwargs"]))}
    return _package(unpickled(path, _allowed()))


def _package(package: Any) -> Mapping[str, Any]:
    if package["klass"] is not _allowed()[0]:
        raise ValueError(f"it holds a {package['klass']}, and only HTDemucs is known here")
    return dict(package)


def _allowed() -> list[Any]:
    from demucs.htdemucs import HTDemucs

    figures = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype")
    return [HTDemucs, Fraction, *((_Figure, name) for name in figures)]


class _Figure:
    """Stands for a number of numpy: packages say how well they did in training, which nobody reads here."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


def _plain(value: Any) -> Any:
    """JSON as demucs writes it, in which a fraction is an object."""
    if isinstance(value, dict) and value.get("_type") == "fraction":
        return Fraction(int(value["numerator"]), int(value["denominator"]))
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list) else value


def _network(path: Path, device: str) -> Any:
    import inspect

    from demucs.htdemucs import HTDemucs

    _check_digest(path)
    with reading(f"The demucs network {path}", _ADVICE):
        settings = _settings(path)
        state = read_checkpoint(path, _allowed())
        state = state if path.suffix == ".safetensors" else state["state"]
        known = inspect.signature(HTDemucs).parameters
        kwargs = {key: value for key, value in settings["kwargs"].items() if key in known}
        kwargs["rescale"] = 0  # the constructor would scale first weights, which those of the file replace
        return load_module(lambda: HTDemucs(*settings["args"], **kwargs), state, device, dtype=None)


def _check_digest(path: Path) -> None:
    """Demucs names a .th file by the beginning of its SHA-256."""
    _, _, wanted = path.stem.partition("-")
    if path.suffix != ".th" or not wanted:
        return
    digest = sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    if not digest.hexdigest().startswith(wanted):
        raise TaskFailed(
            f"{path} is damaged: its SHA-256 begins {digest.hexdigest()[:8]}, not {wanted}. Fetch it again."
        )
