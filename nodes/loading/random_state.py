"""Random numbers of torch for one task, so that nobody else's are disturbed and every run draws the same."""

from __future__ import annotations

from contextlib import AbstractContextManager


def own_random(device: str) -> AbstractContextManager[None]:
    """While it lasts, torch may be seeded and draw on the CPU and on `device`; afterwards its states are as before."""
    import torch

    place = torch.device(device)
    if place.type == "cpu":
        return torch.random.fork_rng([])
    return torch.random.fork_rng([place], device_type=place.type)
