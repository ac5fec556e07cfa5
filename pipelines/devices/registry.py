"""From `device=...` to a device, with a sentence where there is none."""

from __future__ import annotations

import os

from pipelines.devices import glibc
from pipelines.devices.cpu import CpuDevice
from pipelines.devices.cuda import CudaDevice
from pipelines.devices.nvidia import Driver, Nvml
from pipelines.devices.protocol import Device
from pipelines.devices.simulated import SimulatedDevice
from pipelines.schema.errors import SurroundingsFailed, UsageError, did_you_mean
from pipelines.schema.units import format_bytes

KINDS = ("auto", "cpu", "cuda", "simulated")


def open_device(
    spec: str, *, total: int | None = None, name: str | None = None, context: int = 0, driver: Driver | None = None
) -> Device:
    """The device `spec` names: `auto`, `cpu`, `cuda`, `cuda:N` or `simulated`. `auto` is the first card, else the CPU.

    total: bytes; required for `simulated`, elsewhere a smaller size to keep to. name: for people.
    context: bytes a simulated card's libraries hold. driver: instead of NVML. For the CPU this process's allocator is made
    steady (`malloc`).
    Raises `UsageError` for a spec that cannot be, `SurroundingsFailed` where the machine has no such device.
    """
    kind, _, index = spec.partition(":")
    if kind not in KINDS or (":" in spec and (kind != "cuda" or not index.isdigit())):
        raise UsageError(f"device={spec} is not a device. {did_you_mean(kind, KINDS)} A second card is cuda:1.")
    if kind == "simulated":
        if not total:
            raise UsageError("device=simulated needs a size; add device.total=8GiB, say.")
        return SimulatedDevice(total_bytes=total, name=name or "simulated card", context=context)
    if kind in ("cuda", "auto"):
        card = _cuda(int(index or 0), total, name, driver)
        if card is not None:
            return card
        if kind == "cuda":
            raise SurroundingsFailed(f"device={spec}: no such CUDA card here. Use device=cpu or device=simulated.")
    glibc.fix_thresholds()
    cpu = CpuDevice(total_bytes=total or 0, name=name or "CPU")
    return _not_more_than(cpu, total)


def _cuda(index: int, total: int | None, name: str | None, driver: Driver | None) -> Device | None:
    # CUDA numbers cards by speed unless told otherwise, NVML by bus; they must speak of the same card.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    try:
        driver = driver or Nvml()
        if index >= driver.count():
            return None
        device = CudaDevice(driver, index=index, total_bytes=total or 0, name=name or "")
    except (OSError, SurroundingsFailed):
        return None
    return _not_more_than(device, total)


def _not_more_than(device: Device, total: int | None) -> Device:
    if total and total > device.total_bytes:
        have = format_bytes(device.total_bytes)
        raise UsageError(
            f"device.total={format_bytes(total)} (or MAX_CUDA_VRAM) is more than {device.name} has ({have})."
        )
    return device
