"""What NVIDIA's driver and torch's allocator say, each behind a small protocol, so that the CUDA device is testable anywhere."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from pipelines.devices.protocol import Health
from pipelines.schema.errors import SurroundingsFailed


@dataclass(frozen=True, slots=True)
class Card:
    """One card now. total, free and used are bytes of the whole card; others' processes are in `used`."""

    name: str
    total: int
    free: int
    used: int


@dataclass(frozen=True, slots=True)
class AllocatorBytes:
    """torch's caching allocator: bytes in tensors, in blocks that cannot be given back, taken from the driver."""

    allocated: int = 0
    active: int = 0
    reserved: int = 0
    peak_allocated: int = 0
    peak_active: int = 0
    peak_reserved: int = 0


class Driver(Protocol):
    """The driver's view; `index` is the card's number as CUDA programs see it."""

    def count(self) -> int:
        """Cards visible to this process."""

    def card(self, index: int) -> Card:
        """The card now."""

    def processes(self, index: int) -> dict[int, int]:
        """Bytes by pid of every process with memory on the card; 0 where the driver does not say."""

    def health(self, index: int) -> Health:
        """Utilisation, temperature, power."""


class Allocator(Protocol):
    """torch's view. Nothing here initialises CUDA unless `start` is called."""

    def started(self) -> bool:
        """Whether torch holds a context in this process."""

    def start(self, index: int) -> None:
        """Make the context, so that its bytes can be measured."""

    def bytes(self, index: int) -> AllocatorBytes:
        """The allocator now, and its marks since `reset_peak`."""

    def reset_peak(self, index: int) -> None:
        """Bring the marks down to now."""

    def empty_cache(self, index: int) -> None:
        """Give cached blocks back to the driver."""

    def limit(self, index: int, size: int | None) -> None:
        """Refuse to reserve more than `size` bytes of the card; None lifts it."""


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

    def card(self, index: int) -> Card:
        """The card now. Raises `SurroundingsFailed` where it does not answer, as one that fell off the bus."""
        try:
            handle = self._handle(index)
            memory = self._nvml.nvmlDeviceGetMemoryInfo(handle)
        except self._nvml.NVMLError as error:
            raise SurroundingsFailed(f"cuda:{index} does not answer: {error}. nvidia-smi may say more.") from error
        return Card(_text(self._nvml.nvmlDeviceGetName(handle)), memory.total, memory.free, memory.used)

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


class TorchAllocator:
    """`Allocator` by `torch.cuda`. Does not import torch until somebody else has, but for `start`."""

    def started(self) -> bool:
        """Whether torch is imported and its CUDA context made."""
        torch = sys.modules.get("torch")
        return torch is not None and bool(torch.cuda.is_initialized())

    def start(self, index: int) -> None:
        """Make the context with one small allocation."""
        import torch

        torch.zeros(1, device=f"cuda:{index}")
        torch.cuda.synchronize(index)

    def bytes(self, index: int) -> AllocatorBytes:
        """The allocator now; zeros before it started."""
        if not self.started():
            return AllocatorBytes()
        import torch

        stats = torch.cuda.memory_stats(index)
        names = ("allocated_bytes", "active_bytes", "reserved_bytes")
        now = [int(stats.get(f"{name}.all.current", 0)) for name in names]
        peak = [int(stats.get(f"{name}.all.peak", 0)) for name in names]
        return AllocatorBytes(*now, *peak)

    def reset_peak(self, index: int) -> None:
        """Bring the marks down to now."""
        if self.started():
            import torch

            torch.cuda.reset_peak_memory_stats(index)

    def empty_cache(self, index: int) -> None:
        """Wait for the card, then give cached blocks back."""
        if self.started():
            import torch

            # After a fault on the card every call fails. The fault was told where it happened; here it would hide itself.
            with suppress(RuntimeError):
                torch.cuda.synchronize(index)  # of the current card, another, it would make a context there
                torch.cuda.empty_cache()

    def limit(self, index: int, size: int | None) -> None:
        """Hold torch's reservations to so many bytes. No effect before `started`."""
        if self.started():
            import torch

            whole = torch.cuda.get_device_properties(index).total_memory  # less than the driver's: it keeps some itself
            share = 1.0 if size is None else min(1.0, max(0, size) / whole)
            with suppress(RuntimeError):  # as above
                torch.cuda.set_per_process_memory_fraction(share, index)


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
