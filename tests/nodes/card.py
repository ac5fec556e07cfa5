"""A CUDA card that is not there: tensors that say `cuda:0`, compute on the CPU, and refuse to meet the host's as a real card's do.

It shows what a run on the CPU cannot: a window, a mask or a weight left on the host while the network is on a card. It knows
nothing of memory, time, random numbers, kernels that only a card has, or recurrent layers by cuDNN.
"""

from contextlib import ExitStack, contextmanager
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

#: What takes tensors of both sides: copies, and indices that lie on the host.
_BOTH = {"_to_copy", "copy_", "index", "index_put", "index_put_", "_index_put_impl_"}
#: Where the result lies is decided inside.
_DECIDING = {"to", "type_as"}


class There(torch.Tensor):
    """A tensor on the card; `held` has its numbers."""

    @staticmethod
    def __new__(cls, held):
        return torch.Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype, device="cuda:0"
        )  # fmt: skip

    def __init__(self, held):
        self.held = held

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _done(func, args, kwargs or {})


class _Mode(TorchDispatchMode):
    _mode_key = torch._C._TorchDispatchModeKey.FAKE  # with a mode under this key torch does not look for a driver

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in _DECIDING:
            with self:
                return func.decompose(*args, **(kwargs or {}))
        return _done(func, args, kwargs or {})


class _Generator(torch.Generator):
    def __new__(cls, device="cpu"):
        return super().__new__(cls)


def _done(func, args, kwargs):
    """`func` on the numbers, its result where its arguments are or where it was asked for."""
    name = func.overloadpacket.__name__
    leaves = tree_leaves((args, kwargs))
    there = [leaf for leaf in leaves if isinstance(leaf, There)]
    here = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor) and leaf.ndim and not isinstance(leaf, There)]
    assert not (there and here) or name in _BOTH, f"{name} of the card's tensors and the host's {here[0].shape}"
    requested = kwargs.get("device")
    on_card = bool(there) if requested is None else torch.device(requested).type == "cuda"
    on_card = isinstance(args[0], There) if name in ("copy_", "index") else on_card
    with torch.inference_mode(False), torch.no_grad():
        made = func(*tree_map(_held, args), **tree_map(_held, kwargs))
        assert all(tensor.shape == tensor.held.shape for tensor in there), f"{name} changes a shape in place"
        return tree_map(lambda leaf: There(leaf) if on_card and isinstance(leaf, torch.Tensor) else leaf, made)


def _held(leaf):
    if isinstance(leaf, torch.device):
        return torch.device("cpu")
    return leaf.held if isinstance(leaf, There) else leaf


@contextmanager
def card():
    """In this block, and thread, there is `cuda:0`."""
    torch._C._ensureCUDADeviceGuardSet()
    before = torch.__future__.get_overwrite_module_params_on_conversion(), torch._C._only_lift_cpu_tensors()
    torch.__future__.set_overwrite_module_params_on_conversion(True)  # a parameter cannot become a `There` in place
    torch._C._set_only_lift_cpu_tensors(True)
    with ExitStack() as stack:
        stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        stack.enter_context(mock.patch("torch.Generator", _Generator))
        for name in ("get_rng_state", "set_rng_state"):
            stack.enter_context(mock.patch(f"torch.cuda.{name}"))
        try:
            with _Mode():
                yield
        finally:
            torch.__future__.set_overwrite_module_params_on_conversion(before[0])
            torch._C._set_only_lift_cpu_tensors(before[1])
