"""Host masters: a network's weights in one piece of host memory, so that it leaves a card for nothing and returns in one copy.

`.to("cpu")` copies weights back that never changed, and `.to("cuda")` copies them tensor by tensor from pageable memory.
A master holds them once. Leaving the card is dropping the card's copy; returning is one allocation and one copy from
pinned memory. The memory is pinned by registering it at its exact size, because torch's own pinned allocator rounds
every block up to a power of two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

#: Of every tensor's start inside the arena; what CUDA's own allocator aligns to.
_ALIGN = 512


class Master:
    """The host copy of `net`'s parameters and buffers. Making it moves `net` to the host, onto the master's memory.

    pin: register the memory with CUDA; left out where there is no CUDA. Close it before its memory is let go.
    """

    def __init__(self, net: torch.nn.Module, pin: bool = True) -> None:
        import torch

        self._net = net
        self._places: list[tuple[torch.Tensor, int]] = []
        at = 0
        for tensor in _tensors(net):
            self._places.append((tensor, at))
            at += -(-tensor.numel() * tensor.element_size() // _ALIGN) * _ALIGN
        self._arena = torch.empty(at, dtype=torch.uint8)
        for tensor, start in self._places:
            _view(self._arena, start, tensor).copy_(tensor.detach())
        self._pinned = bool(pin and torch.cuda.is_available() and at and _register(self._arena))
        self.away()

    @property
    def bytes(self) -> int:
        """Host memory it takes: the weights, and at most 511 bytes a tensor."""
        return self._arena.numel()

    @property
    def pinned(self) -> bool:
        """Whether copies from it go at full speed."""
        return self._pinned

    def onto(self, device: str) -> None:
        """Put the weights on `device` in one copy; queued on the current stream, as all work that follows there."""
        there = self._arena.to(device, non_blocking=self._pinned, copy=True)
        self._point_to(there)

    def away(self) -> None:
        """Drop the device's copy. Nothing is copied back: the weights have not changed."""
        self._point_to(self._arena)

    def close(self) -> None:
        """Unregister the memory; the network stays usable on the host."""
        self.away()
        if self._pinned:
            import torch

            torch.cuda.cudart().cudaHostUnregister(self._arena.data_ptr())  # type: ignore[no-untyped-call]
            self._pinned = False

    def _point_to(self, arena: torch.Tensor) -> None:
        for tensor, start in self._places:
            tensor.data = _view(arena, start, tensor)


def _tensors(net: torch.nn.Module) -> list[Any]:
    """Parameters and buffers, each once; tied ones stay tied because the very objects are kept."""
    found = {id(tensor): tensor for tensor in [*net.parameters(), *net.buffers()]}
    return list(found.values())


def _view(arena: torch.Tensor, start: int, like: torch.Tensor) -> torch.Tensor:
    size = like.numel() * like.element_size()
    return arena[start : start + size].view(like.dtype).view(like.shape)


def _register(arena: torch.Tensor) -> bool:
    import torch

    return int(torch.cuda.cudart().cudaHostRegister(arena.data_ptr(), arena.numel(), 0)) == 0  # type: ignore[no-untyped-call]
