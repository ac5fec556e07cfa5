"""The kinds of device there are, and from `device=...` to a device. A new kind is a class in a file of its own and one line here."""

from __future__ import annotations

from pipelines.devices.cpu import CpuDevice
from pipelines.devices.cuda import CudaDevice
from pipelines.devices.protocol import Device
from pipelines.devices.simulated import SimulatedDevice
from pipelines.schema.errors import SurroundingsFailed, UsageError, did_you_mean
from pipelines.schema.units import format_bytes

#: Every kind of device. `device=auto` is the best card that the kinds' probes find (`detect`, `schema.hardware.choose`), else
#: the CPU; a kind without a probe is used only where it is named. The order here is that of lists and messages.
DEVICES: tuple[type[Device], ...] = (
    CudaDevice,
    CpuDevice,
    SimulatedDevice,
)


def device_kinds() -> dict[str, type[Device]]:
    """The kinds by name."""
    return {device.kind: device for device in DEVICES}


def parse_spec(spec: str) -> tuple[type[Device], int]:
    """The kind and the number of `cpu`, `cuda` or `cuda:1`. Raises `UsageError` for what names no device."""
    name, colon, number = spec.partition(":")
    kind = device_kinds().get(name)
    if kind is None or (colon and not (kind.numbered and number.isdigit())):
        raise UsageError(
            f"device={spec} is not a device. {did_you_mean(name, device_kinds())} A second card is cuda:1."
        )
    return kind, int(number or 0)


def spec_of(kind: str, index: int) -> str:
    """What names device number `index` of a kind, as torch writes it: `cuda:1`, or `cpu` where there is only one."""
    return f"{kind}:{index}" if parse_spec(kind)[0].numbered else kind


def open_device(spec: str, *, total: int | None = None, name: str | None = None) -> Device:
    """The device that `spec` names: `cpu`, `cuda`, `cuda:1` or `simulated`. What `auto` stands for is found by `devices.detect`.

    total: bytes; the size of a simulated card, elsewhere a smaller size to keep to. name: for people, instead of its own.
    Raises `UsageError` for a spec or a size that cannot be, `SurroundingsFailed` where the machine has no such device.
    """
    kind, index = parse_spec(spec)
    device = kind.open(index, total, name)
    if device is None:
        raise SurroundingsFailed(f"device={spec}: no such {kind.label} here. Use device=cpu or device=simulated.")
    if total and total > device.total_bytes:
        have = format_bytes(device.total_bytes)
        raise UsageError(
            f"device.total={format_bytes(total)} (or MAX_CUDA_VRAM) is more than {device.name} has ({have})."
        )
    return device
