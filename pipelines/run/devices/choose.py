"""From `device=...` to a device, with a sentence where there is none."""

from __future__ import annotations

from pipelines.run.devices.cpu import CpuDevice
from pipelines.run.devices.protocol import Device
from pipelines.run.devices.simulated import SimulatedDevice
from pipelines.schema.errors import SurroundingsFailed, UsageError, did_you_mean
from pipelines.schema.units import format_bytes

KINDS = ("auto", "cpu", "cuda", "simulated")


def open_device(spec: str, *, total: int | None = None, name: str | None = None, context: int = 0) -> Device:
    """The device `spec` names: `auto`, `cpu`, `cuda`, `cuda:N` or `simulated`.

    total: bytes; required for `simulated`, elsewhere a smaller size to keep to. name: for people.
    context: bytes a simulated card's libraries hold.
    Raises `UsageError` for a spec that cannot be, `SurroundingsFailed` where the machine has no such device.
    """
    kind, _, index = spec.partition(":")
    if kind not in KINDS or (index and (kind != "cuda" or not index.isdigit())):
        raise UsageError(f"device={spec} is not a device. {did_you_mean(kind, KINDS)} A second card is cuda:1.")
    if kind == "simulated":
        if not total:
            raise UsageError("device=simulated needs a size; add device.total=8GiB, say.")
        return SimulatedDevice(total_bytes=total, name=name or "simulated card", context_bytes=context)
    if kind == "cuda":
        raise SurroundingsFailed(f"device={spec}: no CUDA device answers here. Use device=cpu or device=simulated.")
    device = CpuDevice(total_bytes=total or 0, name=name or "CPU")
    if total and total > device.total_bytes:
        have = format_bytes(device.total_bytes)
        raise UsageError(f"device.total={format_bytes(total)} is more than this machine may hold ({have}).")
    return device
