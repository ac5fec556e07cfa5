"""Loading torch weights in the time it takes to read them: nothing is filled twice, copied or executed.

A library's loader usually fills a fresh network with random numbers, reads the whole file into memory beside it and
copies one onto the other: three passes and twice the bytes or more. Here the network is built with its random fills
left out (untouched memory costs nothing), the file is mapped rather than read, and the mapped tensors *become* the
parameters. Buffers a constructor computes stay as computed, which a network built on torch's `meta` device would lose.

Mapped weights are pages of the file, so the file must not be truncated while they are in use; replacing it is harmless.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import pickle
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import torch

    Net = TypeVar("Net", bound=torch.nn.Module)

#: Linux 5.14: map the pages now, in one call, instead of one fault after another.
_POPULATE_READ = 22
#: Of tensors, and of `torch.nn.init` where it asks the mode before it begins.
_RANDOM_FILLS = {
    "normal_", "uniform_", "random_", "exponential_", "bernoulli_", "log_normal_", "cauchy_", "geometric_",
    "kaiming_uniform_",
}  # fmt: skip
_RANDOM_MAKERS = {"rand", "randn", "rand_like", "randn_like"}
#: The two factors of a normed weight as torch named them before 2.0, as most published files have them, and since.
_FACTORS = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}


def load_module(
    build: Callable[[], Net], state: Mapping[str, torch.Tensor], device: str = "cpu", dtype: torch.dtype | None = None
) -> Net:
    """The network `build` makes, with `state` as its weights, in eval mode and without gradients.

    Tensors already of the wanted dtype (`dtype`, or what `build` chose for each) are taken over without a copy. Others
    are converted one at a time. Raises `ValueError` naming the keys where `state` does not fit the network.
    """
    import torch

    with without_filling():
        net = build()
    wanted = net.state_dict()
    state = _renamed(wanted, state)
    _refuse_misfit(wanted, state)
    ready, mapped = {}, _file_mappings()
    for name, tensor in state.items():
        kind = dtype if dtype is not None and tensor.is_floating_point() else wanted[name].dtype
        ready[name] = tensor if tensor.dtype == kind else _converted(tensor, kind, mapped)
    del wanted
    net.load_state_dict(ready, assign=True)
    net.eval()  # not chained: some libraries override it and return nothing
    net.requires_grad_(False)
    if dtype is not None:
        net.to(dtype)  # buffers outside the state
    return net if torch.device(device).type == "cpu" else net.to(device)


def read_checkpoint(path: Path, allowed: Iterable[Any] = ()) -> Any:
    """What a `.safetensors` or torch file holds, its tensors mapped from the file and their pages present.

    allowed: classes a torch file may mention besides tensors and plain containers. Anything else is refused before it
    runs (`pickle.UnpicklingError`); a damaged file raises what its format's reader raises.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        found: Any = load_file(str(path))
    else:
        found = unpickled(path, allowed)
    for tensor in _tensors(found):
        _populate(tensor)
    return found


def unpickled(path: Path, allowed: Iterable[Any] = ()) -> Any:
    """What a torch file holds, its tensors mapped and not read yet. allowed, errors: as `read_checkpoint` has them."""
    import torch

    with torch.serialization.safe_globals(list(allowed)), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pickles by other protocols than torch's
        mapped = _is_zip(path)  # the format before torch 1.6 cannot be mapped
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped or None)
        except pickle.UnpicklingError as error:  # torch's own text advises to run what is in the file
            named = re.search(r"GLOBAL (\S+)", str(error))
            what = f"it asks for {named[1]}" if named else "it is not a torch file, or damaged"
            raise pickle.UnpicklingError(f"{what}, and only weights are read") from error


def fold_weight_norm(module: torch.nn.Module) -> None:
    """Compute each normed weight once and forget its two factors: fewer bytes, and no work in every call."""
    from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

    for part in module.modules():
        if is_parametrized(part, "weight"):
            remove_parametrizations(part, "weight")


@contextmanager
def without_filling() -> Iterator[None]:
    """Build networks in this block (and thread) without filling them with random numbers: loaded weights replace them.

    Constants, zeros and everything else a constructor computes are left as they are.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    unfilled: set[int] = set()

    class NoRandomFills(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            name = getattr(func, "__name__", "")
            first = args[0] if args and isinstance(args[0], torch.Tensor) else kwargs.get("tensor")
            if first is not None and (name in _RANDOM_FILLS or (_in_place(name) and first.data_ptr() in unfilled)):
                # What is done in place to numbers that were never drawn (scaling, clamping) is left out as well.
                unfilled.add(first.data_ptr())
                return first
            if name in _RANDOM_MAKERS and not kwargs.get("generator"):
                return getattr(torch, "empty_like" if name.endswith("_like") else "empty")(*args, **kwargs)
            return func(*args, **kwargs)

    with NoRandomFills():
        yield


def _in_place(name: str) -> bool:
    return name.endswith("_") and not name.endswith("__") and name not in ("requires_grad_", "zero_", "fill_", "copy_")


def _renamed(wanted: Mapping[str, Any], state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """`state` with the factors of normed weights under the names that the network has for them."""
    named = {}
    for name, tensor in state.items():
        stem, _, last = name.rpartition(".")
        now = f"{stem}.{_FACTORS.get(last, last)}"
        named[now if now in wanted else name] = tensor
    return named


def _refuse_misfit(wanted: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    missing, strange = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    shapes = [name for name in wanted.keys() & state.keys() if wanted[name].shape != state[name].shape]
    for what, names in (("lack", missing), ("have besides", strange), ("have in another shape", sorted(shapes))):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise ValueError(f"These weights are of another network: they {what} {', '.join(names[:3])}{more}.")


def _converted(tensor: torch.Tensor, kind: torch.dtype, mapped: Sequence[tuple[int, int]]) -> torch.Tensor:
    """A copy in another dtype; pages of the file it came from are let go at once, so that both never count in full."""
    copy = tensor.to(kind)
    start, length = _pages(tensor.data_ptr(), tensor.numel() * tensor.element_size(), inwards=True)
    if length and any(low <= start and start + length <= high for low, high in mapped):
        _libc().madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), mmap.MADV_DONTNEED)
    return copy


def _file_mappings() -> list[tuple[int, int]]:
    """Address ranges of this process that are large private mappings of files; dropping their pages loses nothing."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        span, mode, _, _, inode, *name = line.split(maxsplit=5)
        if inode != "0" and name and mode.startswith("rw-p") and ".so" not in name[0]:
            low, _, high = span.partition("-")
            found.append((int(low, 16), int(high, 16)))
    return found


def _populate(tensor: torch.Tensor) -> None:
    """Have the tensor's pages present, so that its bytes count where it was loaded and not in the first run."""
    storage = tensor.untyped_storage()
    start, length = _pages(storage.data_ptr(), storage.nbytes(), inwards=False)
    if length == 0 or _libc().madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), _POPULATE_READ) == 0:
        return
    flat = tensor.detach().reshape(-1)  # an older kernel: touch each page
    flat[:: max(1, mmap.PAGESIZE // max(1, flat.element_size()))].sum()


def _pages(start: int, length: int, inwards: bool) -> tuple[int, int]:
    """Whole pages around (or inside) `length` bytes at `start`."""
    page = mmap.PAGESIZE
    first = -(-start // page) * page if inwards else start // page * page
    last = (start + length) // page * page if inwards else -(-(start + length) // page) * page
    return first, max(0, last - first)


@cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
        return file.read(4) == b"PK\x03\x04"


def _tensors(found: Any) -> Iterator[torch.Tensor]:
    import torch

    if isinstance(found, torch.Tensor):
        yield found
    elif isinstance(found, Mapping):
        for value in found.values():
            yield from _tensors(value)
    elif isinstance(found, (list, tuple)):
        for value in found:
            yield from _tensors(value)
