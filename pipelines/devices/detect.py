"""What this machine has, which tier that is, and why. Drivers are asked once and their answers remembered; torch is not imported."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from pipelines.devices.registry import device_kinds
from pipelines.devices.torch_build import TorchBuild, installed_torch
from pipelines.files import write_atomic
from pipelines.paths import user_folders
from pipelines.schema.errors import UsageError
from pipelines.schema.hardware import Card, Hardware, choose, classify, sold_as
from pipelines.schema.units import MIB, format_bytes

_SCHEMA = "headroom/detection/1"


class Probe(Protocol):
    """What detection knows a machine by. Tests have their own."""

    def fingerprint(self) -> str:
        """A cheap text that changes whenever `hardware` might: a remembered answer holds while it stays."""

    def hardware(self) -> Hardware:
        """Everything there is; a broken driver is `Hardware.trouble`, never an exception."""

    def torch(self) -> TorchBuild | None:
        """The torch installed here."""


@dataclass(frozen=True, slots=True)
class Detection:
    """A machine and its tier. card: the one to use, None for the CPU. chosen: why that card. notes: sentences for a person."""

    hardware: Hardware
    tier: str
    reason: str
    card: Card | None = None
    chosen: str = ""
    notes: tuple[str, ...] = ()
    torch: TorchBuild | None = None
    remembered: bool = False


def decide(hardware: Hardware, torch: TorchBuild | None = None) -> Detection:
    """The tier of `hardware` under `torch`. Pure. Cards torch cannot use are left out, each with a note."""
    faults = {card.spec: _why_unusable(card, hardware, torch) for card in hardware.cards}
    usable = [card for card in hardware.cards if not faults[card.spec]]
    notes = [hardware.trouble] if hardware.trouble else []
    notes += [f"{spec}: {fault}" for spec, fault in faults.items() if fault]
    card, chosen = choose(usable)
    tier, reason = classify(card)
    if card is None and hardware.cards:
        best, _ = choose(hardware.cards)
        by_itself = f"{best.name} would be {classify(best)[0]}" if best else ""
        reason = f"No card here can be used by the installed torch (by its hardware {by_itself})."
    elif card is None and hardware.trouble:
        reason = "No card answers, so this goes by the CPU."
    notes += [_crowded(card)] if card is not None and _crowded(card) else []
    return Detection(hardware, tier, reason, card, chosen, tuple(notes), torch)


def _why_unusable(card: Card, hardware: Hardware, torch: TorchBuild | None) -> str:
    probe = device_kinds()[card.kind].probe
    return probe.why_unusable(card, hardware, torch) if probe is not None else ""


def as_if(found: Detection, total_bytes: int) -> Detection:
    """`found` as if its card had only `total_bytes` (`MAX_CUDA_VRAM`, `device.total`): another tier, the same card. Pure.

    Without a card the tier stays `cpu`. Raises `UsageError` for more than the card has.
    """
    card = found.card
    if card is None:
        return found
    if total_bytes > card.total_bytes:
        raise UsageError(
            f"device.total (or MAX_CUDA_VRAM) asks for {format_bytes(total_bytes)}, which is more than {card.name} has "
            f"({format_bytes(card.total_bytes)})."
        )
    smaller = replace(card, total_bytes=total_bytes)
    tier, reason = classify(smaller)
    return replace(found, card=smaller, tier=tier, reason=f"Held to {format_bytes(total_bytes)} of it: {reason}")


def _crowded(card: Card) -> str:
    if card.used_bytes < card.total_bytes // 10:
        return ""
    who = ", ".join(f"{name} (pid {pid}) {format_bytes(size)}" for pid, name, size in card.processes[:3])
    return f"{card.spec}: others hold {format_bytes(card.used_bytes)} of it{': ' + who if who else ''}."


def detect(probe: Probe | None = None, *, cache: Path | None = None, force: bool = False) -> Detection:
    """The tier of this machine. The cards are remembered in `cache` (a file; None: the user's) while the fingerprint stays.

    Where there are none, the probes are asked every time: it costs nothing, and under WSL a new driver may not show in the fingerprint.
    force: ask anew. A cache that cannot be read or written costs nothing but the time to ask.
    """
    probe = probe or MachineProbe()
    file = cache or user_folders().detection
    mark = hashlib.sha256(probe.fingerprint().encode()).hexdigest()
    known = None if force else _recall(file, mark)
    hardware = known or probe.hardware()
    if known is None and hardware.cards and not hardware.trouble:
        _remember(file, mark, hardware)
    return replace(decide(hardware, probe.torch()), remembered=known is not None)


def _recall(file: Path, mark: str) -> Hardware | None:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        if data["schema"] != _SCHEMA or data["mark"] != mark:
            return None
        return _hardware_from(data["hardware"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _remember(file: Path, mark: str, hardware: Hardware) -> None:
    # What changes by the minute is not remembered: who else is on the card, and how much they hold.
    still = replace(hardware, cards=tuple(replace(card, used_bytes=0, processes=()) for card in hardware.cards))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, json.dumps({"schema": _SCHEMA, "mark": mark, "hardware": asdict(still)}))
    except OSError:
        return


def _hardware_from(data: Mapping[str, Any]) -> Hardware:
    cards = tuple(
        Card(
            str(row["name"]),
            int(row["total_bytes"]),
            _pair(row["compute"]),
            int(row["index"]),
            kind=str(row.get("kind", "cuda")),  # remembered by a version that knew no other kind
        )
        for row in data["cards"]
    )
    return Hardware(
        cards,
        int(data["ram_bytes"]),
        int(data["ram_limit_bytes"]),
        int(data["cores"]),
        str(data["driver"]),
        _pair(data["cuda"]),
    )


def _pair(value: Any) -> tuple[int, int] | None:
    return None if value is None else (int(value[0]), int(value[1]))


class MachineProbe:
    """`Probe` of the machine this runs on: its memory by the kernel, its cards by the probe of each kind of device."""

    def fingerprint(self) -> str:
        """The host, the memory this process may hold, and what each kind of device goes by."""
        probes = [device.probe.fingerprint() for device in device_kinds().values() if device.probe is not None]
        return "\n".join([platform.node(), *probes, str(_memory())])

    def hardware(self) -> Hardware:
        """The cards of every kind of device."""
        installed, limit = _memory()
        found = [device.probe.find() for device in device_kinds().values() if device.probe is not None]
        return Hardware(
            tuple(card for each in found for card in each.cards),
            installed,
            limit,
            len(os.sched_getaffinity(0)),
            driver=next((each.driver for each in found if each.driver), ""),
            cuda=next((each.cuda for each in found if each.cuda), None),
            trouble=" ".join(each.trouble for each in found if each.trouble),
        )

    def torch(self) -> TorchBuild | None:
        """Read from its files."""
        return installed_torch()


def _memory() -> tuple[int, int]:
    """Bytes of RAM installed, and bytes this process may hold."""
    import psutil

    from pipelines.devices.linux import LinuxMemory

    installed = int(psutil.virtual_memory().total)
    return installed, min(installed, LinuxMemory().total_bytes())


def render(found: Detection) -> tuple[str, ...]:
    """A detection as lines of text for a person."""
    machine = found.hardware
    lines = [f"tier: {found.tier}", f"  {found.reason}"]
    if found.card is not None:
        lines.append(f"  {found.chosen}")
    lines += [_card_line(card, found.card) for card in machine.cards]
    if machine.driver:
        spoken = f", speaks CUDA {machine.cuda[0]}.{machine.cuda[1]}" if machine.cuda else ""
        lines.append(f"driver: {machine.driver}{spoken}")
    if found.torch is not None:
        built = f"for CUDA {found.torch.cuda[0]}.{found.torch.cuda[1]}" if found.torch.cuda else "without CUDA"
        lines.append(f"torch: {found.torch.version}, built {built}")
    lines.append(f"memory: {format_bytes(machine.ram_bytes)} installed{_group(machine)}, {machine.cores} cores")
    lines += [f"note: {note}" for note in found.notes]
    if found.remembered and machine.cards:
        lines.append("The cards are as remembered from an earlier look; --force looks anew.")
    return tuple(lines)


def _card_line(card: Card, chosen: Card | None) -> str:
    compute = f", compute capability {card.compute[0]}.{card.compute[1]}" if card.compute else ""
    used = f", {format_bytes(card.used_bytes)} in use" if card.used_bytes >= 64 * MIB else ""
    mark = "*" if card == chosen else " "
    return f"{mark} {card.spec} {card.name}: {sold_as(card.total_bytes):g} GB ({format_bytes(card.total_bytes)}){compute}{used}"


def _group(machine: Hardware) -> str:
    if machine.ram_limit_bytes >= machine.ram_bytes:
        return ""
    return f", {format_bytes(machine.ram_limit_bytes)} for this process (its control group's limit)"
