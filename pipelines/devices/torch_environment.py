"""What must stand in the process's environment before torch is imported: its allocator's settings, and how cards are numbered."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from pipelines.devices.torch_build import TorchBuild, installed_torch

#: Every name torch has read its allocator's settings from. Whichever the user has set is left alone.
_NAMES = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")


def torch_variables(
    allocator: Mapping[str, Any], torch: TorchBuild | None, environ: Mapping[str, str]
) -> dict[str, str]:
    """Variables to set, by name; nothing the user has set already.

    allocator: a tier's `allocator`. The name is `PYTORCH_ALLOC_CONF` since torch 2.9, `PYTORCH_CUDA_ALLOC_CONF` before.
    Cards are numbered by their place on the bus, as NVML and `nvidia-smi` number them; CUDA's own default is by speed.
    """
    wanted = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    if allocator and torch is not None and not any(name in environ for name in _NAMES):
        wanted[_name(torch)] = setting(allocator)
    return {name: value for name, value in wanted.items() if name not in environ}


def set_torch_variables(allocator: Mapping[str, Any]) -> None:
    """Set `torch_variables`'s variables in this process's own environment, which its workers inherit."""
    os.environ.update(torch_variables(allocator, installed_torch(), os.environ))


def variables_for(torch: TorchBuild | None, environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` for a process with another torch: the allocator's settings, whoever set them, under the name that one reads."""
    said = next((environ[name] for name in _NAMES if name in environ), None)
    others = {name: value for name, value in environ.items() if name not in _NAMES}
    return others if said is None or torch is None else {**others, _name(torch): said}


def _name(torch: TorchBuild) -> str:
    return _NAMES[0] if _release(torch.version) >= (2, 9) else _NAMES[1]


def setting(allocator: Mapping[str, Any]) -> str:
    """The allocator's settings as torch reads them.

    >>> setting({"garbage_collection_threshold": 0.6, "max_split_size_mb": 128})
    'garbage_collection_threshold:0.6,max_split_size_mb:128'
    """
    return ",".join(f"{name}:{value}" for name, value in allocator.items())


def _release(version: str) -> tuple[int, int]:
    match = re.match(r"(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2])) if match else (0, 0)
