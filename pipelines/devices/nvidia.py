"""NVIDIA's driver: the memory and health of a card by NVML, behind a small protocol, and how the cards are found."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pipelines.devices.protocol import FoundCards, Health
from pipelines.devices.torch_build import TorchBuild, why_unusable
from pipelines.schema.errors import SurroundingsFailed
from pipelines.schema.hardware import Card, Hardware


@dataclass(frozen=True, slots=True)
class CardMemory:
    """The memory of one card now. total, free and used are bytes of the whole card; others' processes are in `used`."""

    name: str
    total: int
    free: int
    used: int


class Driver(Protocol):
    """The driver's view; `index` is the card's number as CUDA programs see it."""

    def count(self) -> int:
        """Cards visible to this process."""

    def card(self, index: int) -> CardMemory:
        """The card now."""

    def processes(self, index: int) -> dict[int, int]:
        """Bytes by pid of every process with memory on the card; 0 where the driver does not say."""

    def health(self, index: int) -> Health:
        """Utilisation, temperature, power."""


class Nvml:
    """`Driver` by NVML. Raises `OSError` where there is no driver or no card."""

    def __init__(self) -> None:
        import pynvml

        self._nvml: Any = pynvml
        try:
            pynvml.nvmlInit()
            uuids = self._uuids()
        except pynvml.NVMLError as error:
            raise OSError(f"NVML does not answer: {error}") from error
        self._order = _visible(os.environ.get("CUDA_VISIBLE_DEVICES"), uuids)

    def count(self) -> int:
        """Cards visible to this process."""
        return len(self._order)

    def card(self, index: int) -> CardMemory:
        """The card now. Raises `SurroundingsFailed` where it does not answer, as one that fell off the bus."""
        try:
            handle = self._handle(index)
            memory = self._nvml.nvmlDeviceGetMemoryInfo(handle)
        except self._nvml.NVMLError as error:
            raise SurroundingsFailed(f"cuda:{index} does not answer: {error}. nvidia-smi may say more.") from error
        return CardMemory(_text(self._nvml.nvmlDeviceGetName(handle)), memory.total, memory.free, memory.used)

    def processes(self, index: int) -> dict[int, int]:
        """Bytes by pid, compute and graphics processes alike."""
        handle = self._handle(index)
        found: dict[int, int] = {}
        for ask in (self._nvml.nvmlDeviceGetComputeRunningProcesses, self._nvml.nvmlDeviceGetGraphicsRunningProcesses):
            for process in self._or_none(ask, handle) or ():
                found[process.pid] = max(found.get(process.pid, 0), process.usedGpuMemory or 0)
        return found

    def compute(self, index: int) -> tuple[int, int]:
        """The card's compute capability."""
        major, minor = self._nvml.nvmlDeviceGetCudaComputeCapability(self._handle(index))
        return int(major), int(minor)

    def version(self) -> str:
        """The driver's own."""
        return _text(self._nvml.nvmlSystemGetDriverVersion())

    def cuda(self) -> tuple[int, int]:
        """The newest CUDA the driver speaks."""
        spoken = int(self._nvml.nvmlSystemGetCudaDriverVersion_v2())
        return spoken // 1000, spoken % 1000 // 10

    def health(self, index: int) -> Health:
        """Utilisation, temperature, power; what the card does not report is None."""
        nvml, handle = self._nvml, self._handle(index)
        rates = self._or_none(nvml.nvmlDeviceGetUtilizationRates, handle)
        milliwatts = self._or_none(nvml.nvmlDeviceGetPowerUsage, handle)
        reasons = self._or_none(nvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle) or 0
        slow = nvml.nvmlClocksThrottleReasonHwSlowdown | nvml.nvmlClocksThrottleReasonSwThermalSlowdown
        return Health(
            utilisation=None if rates is None else rates.gpu / 100,
            temperature=self._or_none(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU),
            power=None if milliwatts is None else milliwatts / 1000,
            throttled=bool(reasons & slow),
        )

    def _handle(self, index: int) -> Any:
        return self._nvml.nvmlDeviceGetHandleByIndex(self._order[index])

    def _uuids(self) -> list[str]:
        count = self._nvml.nvmlDeviceGetCount()
        return [_text(self._or_none(self._uuid, index) or "") for index in range(count)]

    def _uuid(self, index: int) -> str | bytes:
        uuid: str | bytes = self._nvml.nvmlDeviceGetUUID(self._nvml.nvmlDeviceGetHandleByIndex(index))
        return uuid

    def _or_none(self, ask: Any, *given: Any) -> Any:
        # The second: a driver older than the question.
        unanswered = self._nvml.NVMLError, self._nvml.NVMLLibraryMismatchError
        try:
            return ask(*given)
        except unanswered:
            return None


class NvidiaProbe:
    """`CardProbe` by NVML and the files of the driver."""

    def fingerprint(self) -> str:
        """The driver, the cards on the bus, and which of them are visible."""
        driver = Path("/proc/driver/nvidia")
        buses = sorted(path.name for path in driver.glob("gpus/*"))
        version = (driver / "version").read_text() if (driver / "version").is_file() else _windows_driver()
        return "\n".join([version, *buses, os.environ.get("CUDA_VISIBLE_DEVICES", "all")])

    def find(self) -> FoundCards:
        """The cards by NVML."""
        try:
            return _found_cards()
        except Exception as error:  # a half-installed driver fails in ways of its own; each ends here, without a card
            return FoundCards(trouble=_trouble(error))

    def why_unusable(self, card: Card, hardware: Hardware, torch: TorchBuild | None) -> str:
        """By compute capability, and by the CUDA that driver and torch speak."""
        return why_unusable(torch, card, hardware.driver, hardware.cuda)


def _found_cards() -> FoundCards:
    driver = Nvml()
    cards, silent = [], []
    for index in range(driver.count()):
        try:
            cards.append(_card(driver, index))
        except Exception as error:  # one card off the bus must not take the others with it
            silent.append(f"cuda:{index} does not answer ({' '.join(str(error).split())}) and is left out.")
    if os.environ.get("CUDA_VISIBLE_DEVICES", "").startswith("MIG-"):
        silent.append("CUDA_VISIBLE_DEVICES names a part of a card (MIG), and only whole cards can be used here.")
    return FoundCards(tuple(cards), driver.version(), driver.cuda(), trouble=" ".join(silent))


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
        return "a process of another container"


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


def _windows_driver(library: Path = Path("/usr/lib/wsl/lib/libnvidia-ml.so.1")) -> str:
    """Under WSL the driver is that of Windows, and only its library's time shows that it is a new one."""
    try:
        return str(library.stat().st_mtime_ns)
    except OSError:
        return ""


def _visible(setting: str | None, uuids: list[str]) -> list[int]:
    """NVML's numbers of the cards CUDA shows, in CUDA's order, from CUDA_VISIBLE_DEVICES.

    >>> _visible("1,GPU-a", ["GPU-aa", "GPU-bb"])
    [1, 0]
    >>> _visible(None, ["GPU-aa", "GPU-bb"])
    [0, 1]
    """
    if setting is None:
        return list(range(len(uuids)))
    order: list[int] = []
    for entry in (part.strip() for part in setting.split(",")):
        if entry.isdigit() and int(entry) < len(uuids):
            order.append(int(entry))
            continue
        matches = [index for index, uuid in enumerate(uuids) if entry.startswith("GPU-") and uuid.startswith(entry)]
        if len(matches) != 1:
            break  # as CUDA does: a bad entry hides itself and all that follow
        order.append(matches[0])
    return order


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
