"""What is asked of NVML: the real module with a machine of numbers under it. No card is needed."""

from types import SimpleNamespace

import pynvml
import pytest

from pipelines.devices.nvidia import Nvml
from pipelines.devices.registry import open_device
from pipelines.schema.errors import SurroundingsFailed
from pipelines.schema.units import GIB


@pytest.fixture
def machine(monkeypatch):
    """Two cards, of 8 and 24 GiB; a handle is a card's number."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    answers = {
        "nvmlInit": lambda: None,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetUUID": lambda card: f"GPU-{'ab'[card]}000",
        "nvmlDeviceGetName": lambda card: f"Card {card}",
        "nvmlDeviceGetMemoryInfo": lambda card: SimpleNamespace(total=(8, 24)[card] * GIB, free=GIB, used=GIB),
        "nvmlDeviceGetComputeRunningProcesses": lambda card: [SimpleNamespace(pid=7, usedGpuMemory=3)],
        "nvmlDeviceGetGraphicsRunningProcesses": lambda card: [SimpleNamespace(pid=8, usedGpuMemory=None)],
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, answer)
    return lambda name, answer: monkeypatch.setattr(pynvml, name, answer)


@pytest.mark.parametrize(
    ("visible", "sizes"),
    [(None, [8, 24]), ("1,0", [24, 8]), ("GPU-b", [24]), ("0,9,1", [8]), ("", []), ("-1", []), ("MIG-b000", [])],
)
def test_cards_are_numbered_as_cuda_shows_them(machine, monkeypatch, visible, sizes):
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    driver = Nvml()
    assert [driver.card(index).total // GIB for index in range(driver.count())] == sizes


def test_processes_without_a_figure_and_drivers_without_the_question(machine):
    assert Nvml().processes(0) == {7: 3, 8: 0}

    def older(card):
        raise pynvml.NVMLLibraryMismatchError

    machine("nvmlDeviceGetComputeRunningProcesses", older)
    assert Nvml().processes(0) == {8: 0}


def test_a_card_that_fell_off_the_bus_is_a_sentence(machine):
    def lost(index):
        raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)

    machine("nvmlDeviceGetHandleByIndex", lost)
    with pytest.raises(SurroundingsFailed, match="no such CUDA card"):
        open_device("cuda:0")
