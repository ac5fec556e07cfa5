"""The device a command runs on, and how many of its bytes may be used."""

from __future__ import annotations

from pipelines.config.cards import simulated_card
from pipelines.devices import detect as detection
from pipelines.devices.protocol import Device
from pipelines.devices.registry import open_device
from pipelines.schema.errors import UsageError
from pipelines.schema.settings import Settings
from pipelines.schema.units import format_bytes


def device_of(settings: Settings, notes: list[str]) -> Device:
    """The device that `device=` names. What a person should know of the choice is added to `notes`."""
    device = _named_device(settings, notes)
    if settings.tier.streams > 0 or device.memory == "host":
        return device
    notes.append("tier.streams=0: everything runs on the CPU, and the tier's limit applies to its RAM.")
    return open_device("cpu")


def _named_device(settings: Settings, notes: list[str]) -> Device:
    spec = settings.device
    if spec.kind == "simulated":
        card = simulated_card(spec, settings.source.search)
        name = f"{card.name} of {format_bytes(card.total_bytes)}" + (" (simulated)" if spec.name else "")
        return open_device("simulated", total=card.total_bytes, name=name)
    kind = _found(notes) if spec.kind == "auto" else f"cuda:{spec.index}" if spec.kind == "cuda" else spec.kind
    device = open_device(kind, total=None if spec.cards_only else spec.total, name=spec.name)
    if spec.cards_only and device.memory == "host":
        notes.append(
            "MAX_CUDA_VRAM has no effect: it bounds a card, and this runs on the CPU. tier.limit= bounds its RAM."
        )
        return device
    return open_device(kind, total=spec.total, name=spec.name) if spec.cards_only else device


def _found(notes: list[str]) -> str:
    """What `device=auto` stands for: the card that detection chose, whose tier `tier=auto` is, or the CPU."""
    found = detection.detect()
    if found.card is not None:
        return f"cuda:{found.card.index}"
    notes += found.notes
    notes.append("device=auto found no CUDA device: this runs on the CPU, and the tier's limit applies to its RAM.")
    return "cpu"


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
