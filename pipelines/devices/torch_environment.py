"""Environment variables that torch reads once, when it is imported: settings of its allocator, and what devices need."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pipelines.devices.registry import device_kinds
from pipelines.devices.torch_build import TorchBuild, installed_torch

#: Every name torch has read its allocator's settings from. What the user has set stays in force.
_NAMES = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")


def torch_variables(
    allocator: Mapping[str, Any], torch: TorchBuild | None, environ: Mapping[str, str]
) -> dict[str, str]:
    """Variables to set, by name; nothing the user has set already.

    allocator: a tier's `allocator`. The name is `PYTORCH_ALLOC_CONF` since torch 2.9, `PYTORCH_CUDA_ALLOC_CONF` before.
    Each kind of device adds its `environment`: for CUDA, that cards are numbered by their place on the bus, as NVML and
    `nvidia-smi` number them, and not by speed.
    """
    wanted = {name: value for device in device_kinds().values() for name, value in device.environment.items()}
    if allocator and torch is not None and not any(name in environ for name in _NAMES):
        wanted[_name(torch)] = setting(allocator)
    return {name: value for name, value in wanted.items() if name not in environ}


def set_torch_variables(allocator: Mapping[str, Any]) -> None:
    """Set the variables of `torch_variables` in this process's own environment, which its workers inherit."""
    os.environ.update(torch_variables(allocator, installed_torch(), os.environ))


def variables_for(torch: TorchBuild | None, environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` for a process with another torch: the allocator's settings, whoever set them, under the name that one reads."""
    value = next((environ[name] for name in _NAMES if name in environ), None)
    others = {name: value for name, value in environ.items() if name not in _NAMES}
    return others if value is None or torch is None else {**others, _name(torch): value}


def _name(torch: TorchBuild) -> str:
    return _NAMES[0] if torch.release >= (2, 9) else _NAMES[1]


def setting(allocator: Mapping[str, Any]) -> str:
    """The allocator's settings as torch reads them.

    >>> setting({"garbage_collection_threshold": 0.6, "max_split_size_mb": 128})
    'garbage_collection_threshold:0.6,max_split_size_mb:128'
    """
    return ",".join(f"{name}:{value}" for name, value in allocator.items())
