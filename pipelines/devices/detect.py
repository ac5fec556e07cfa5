"""What this machine has and which tier that is: asks the driver once, remembers, and says why. No torch is imported."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from pipelines.devices.nvidia import Nvml
from pipelines.devices.torch_build import TorchBuild, complaint, installed_torch
from pipelines.files import write_atomic
from pipelines.paths import user_folders
from pipelines.schema.errors import UsageError
from pipelines.schema.hardware import Card, Hardware, choose, classify, sold_as
from pipelines.schema.units import MIB, format_bytes

_SCHEMA = "headroom/detection/1"


class Probe(Protocol):
    """Asks the machine. Tests and simulations bring their own."""

    def fingerprint(self) -> str:
        """A cheap text that changes whenever `hardware` might: a remembered answer holds while it stays."""

    def hardware(self) -> Hardware:
        """Everything there is; a broken driver is `Hardware.trouble`, never an exception."""

    def torch(self) -> TorchBuild | None:
        """The torch installed here."""


@dataclass(frozen=True, slots=True)
class Detection:
    """A machine and its tier. card: the one to use, None for the CPU. chosen: why that card. notes: what a person should know."""

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
    faults = {card.index: complaint(torch, card, hardware.driver, hardware.cuda) for card in hardware.cards}
    usable = [card for card in hardware.cards if not faults[card.index]]
    notes = [hardware.trouble] if hardware.trouble else []
    notes += [f"cuda:{index}: {fault}" for index, fault in faults.items() if fault]
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
    return f"cuda:{card.index}: others hold {format_bytes(card.used_bytes)} of it{': ' + who if who else ''}."


def detect(probe: Probe | None = None, *, cache: Path | None = None, force: bool = False) -> Detection:
    """The tier of this machine. The cards are remembered in `cache` (a file; None: the user's) while the fingerprint stays.

    That there is none is asked every time: it costs nothing, and not every system's fingerprint shows a new driver (WSL's does not).
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
        Card(str(row["name"]), int(row["total_bytes"]), _pair(row["compute"]), int(row["index"]))
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
    """`Probe` of the machine this runs on, by NVML and the kernel."""

    def fingerprint(self) -> str:
        """Host, driver, cards on the bus, which of them are visible, and the memory this process may hold."""
        driver = Path("/proc/driver/nvidia")
        buses = sorted(path.name for path in driver.glob("gpus/*"))
        version = (driver / "version").read_text() if (driver / "version").is_file() else _windows_driver()
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
        return "\n".join([platform.node(), version, *buses, visible, str(_memory())])

    def hardware(self) -> Hardware:
        """Cards by NVML, memory by the kernel."""
        installed, limit = _memory()
        machine = Hardware((), installed, limit, len(os.sched_getaffinity(0)))
        try:
            return _with_cards(machine)
        except Exception as error:  # a half-installed driver fails in ways of its own; each ends here, on the CPU
            return replace(machine, trouble=_trouble(error))

    def torch(self) -> TorchBuild | None:
        """Read from its files."""
        return installed_torch()


def _windows_driver(library: Path = Path("/usr/lib/wsl/lib/libnvidia-ml.so.1")) -> str:
    """Under WSL the driver is Windows' own and tells of itself nowhere else; a new one brings a new library."""
    try:
        return str(library.stat().st_mtime_ns)
    except OSError:
        return ""


def _memory() -> tuple[int, int]:
    """Bytes of RAM installed, and bytes this process may hold."""
    import psutil

    from pipelines.devices.linux import LinuxMemory

    installed = int(psutil.virtual_memory().total)
    return installed, min(installed, LinuxMemory().total_bytes())


def _with_cards(machine: Hardware) -> Hardware:
    driver = Nvml()
    cards, silent = [], []
    for index in range(driver.count()):
        try:
            cards.append(_card(driver, index))
        except Exception as error:  # one card off the bus must not take the others with it
            silent.append(f"cuda:{index} does not answer ({' '.join(str(error).split())}) and is left out.")
    if os.environ.get("CUDA_VISIBLE_DEVICES", "").startswith("MIG-"):
        silent.append("CUDA_VISIBLE_DEVICES names a part of a card (MIG), and only whole cards can be used here.")
    return replace(machine, cards=tuple(cards), driver=driver.version(), cuda=driver.cuda(), trouble=" ".join(silent))


def _card(driver: Nvml, index: int) -> Card:
    now = driver.card(index)
    held = sorted(driver.processes(index).items(), key=lambda entry: -entry[1])
    processes = tuple((pid, _name(pid), size) for pid, size in held if pid != os.getpid())
    return Card(now.name, now.total, driver.compute(index), index, now.used, processes)


def _name(pid: int) -> str:
    import psutil

    try:
        return str(psutil.Process(pid).name())
    except psutil.Error:
        return "another world's"


def _trouble(error: Exception) -> str:
    """One line for a driver that is there and broken; empty where there is simply none."""
    text = " ".join(str(error).split())
    if (
        isinstance(error, OSError)
        and ("Not Found" in text or "not found" in text)
        and not Path("/proc/driver/nvidia").exists()
    ):
        return ""
    return f"NVIDIA's driver does not answer ({text or type(error).__name__}), so this goes by the CPU; `nvidia-smi` should say more."


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
    return f"{mark} cuda:{card.index} {card.name}: {sold_as(card.total_bytes):g} GB ({format_bytes(card.total_bytes)}){compute}{used}"


def _group(machine: Hardware) -> str:
    if machine.ram_limit_bytes >= machine.ram_bytes:
        return ""
    return f", {format_bytes(machine.ram_limit_bytes)} for this process (its control group's limit)"
