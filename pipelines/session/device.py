"""The device a command runs on, and how many of its bytes may be used."""

from __future__ import annotations

from pipelines.config.cards import simulated_card
from pipelines.devices import detect as detection
from pipelines.devices.protocol import Device
from pipelines.devices.registry import device_kinds, open_device, spec_of
from pipelines.schema.errors import UsageError
from pipelines.schema.settings import Settings
from pipelines.schema.units import format_bytes


def find_device(settings: Settings) -> tuple[Device, tuple[str, ...]]:
    """The device that `device=` names, and what a person should know of the choice."""
    device, notes = _named_device(settings)
    if settings.tier.streams > 0 or device.memory == "host":
        return device, notes
    note = "tier.streams=0: everything runs on the CPU, and the tier's limit applies to its RAM."
    return open_device("cpu"), (*notes, note)


def _named_device(settings: Settings) -> tuple[Device, tuple[str, ...]]:
    spec = settings.device
    if spec.kind != "auto" and device_kinds()[spec.kind].virtual:
        card = simulated_card(spec, settings.source.search)
        name = f"{card.name} of {format_bytes(card.total_bytes)}" + (" (simulated)" if spec.name else "")
        return open_device(spec.kind, total=card.total_bytes, name=name), ()
    kind, notes = _detected() if spec.kind == "auto" else (spec_of(spec.kind, spec.index), ())
    device = open_device(kind, total=None if spec.cards_only else spec.total, name=spec.name)
    if spec.cards_only and device.memory == "host":
        note = "MAX_CUDA_VRAM has no effect: it bounds a card, and this runs on the CPU. tier.limit= bounds its RAM."
        return device, (*notes, note)
    return open_device(kind, total=spec.total, name=spec.name) if spec.cards_only else device, notes


def _detected() -> tuple[str, tuple[str, ...]]:
    """What `device=auto` stands for: the card that detection chose, whose tier `tier=auto` is, or the CPU."""
    found = detection.detect()
    if found.card is not None:
        return found.card.spec, ()
    note = "device=auto found no card: this runs on the CPU, and the tier's limit applies to its RAM."
    return "cpu", (*found.notes, note)


def limit_of(settings: Settings, device: Device) -> int | None:
    """The bytes in force: the smaller of the tier's and the device's. `UsageError` for an explicit one above the device's."""
    wanted = settings.tier.limit_bytes
    if wanted is None:
        return device.total_bytes
    if wanted > device.total_bytes and settings.explicit_limit:
        raise UsageError(
            f"tier.limit={format_bytes(wanted)} (or VRPG_XTTS_GPU_VRAM_LIMIT_MB) is more than {device.name} has "
            f"({format_bytes(device.total_bytes)}). Ask for less, or leave it away to use what there is."
        )
    return min(wanted, device.total_bytes)
