"""What is asked of NVML and of torch, by their real modules with a machine of numbers under them: no card is needed."""

from types import SimpleNamespace

import pynvml
import pytest

from pipelines.devices.nvidia import Nvml
from pipelines.devices.out_of_memory import is_out_of_memory
from pipelines.devices.registry import open_device
from pipelines.devices.torch_allocator import TorchAllocator
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


@pytest.fixture
def cuda(monkeypatch):
    """torch.cuda as on a card of 10 GiB, the second of two, with every call written down."""
    cuda, calls = pytest.importorskip("torch").cuda, []

    def note(name, answer=None):
        monkeypatch.setattr(cuda, name, lambda *given: (calls.append((name, *given)), answer)[1])

    note("is_initialized", answer=True)
    note("get_device_properties", answer=SimpleNamespace(total_memory=10 * GIB))
    for name in ("synchronize", "empty_cache", "set_per_process_memory_fraction"):
        note(name)
    return calls


def test_a_limit_is_a_share_of_what_torch_calls_the_card(cuda):
    for size in (4 * GIB, 11 * GIB, -1, None):
        TorchAllocator().limit(1, size)
    shares = [given for name, *given in cuda if name == "set_per_process_memory_fraction"]
    assert shares == [[0.4, 1], [1.0, 1], [0.0, 1], [1.0, 1]]


def test_no_other_card_is_touched(cuda):
    TorchAllocator().empty_cache(1)
    assert ("synchronize", 1) in cuda
    assert ("empty_cache",) in cuda


def test_a_card_that_has_faulted_does_not_hide_its_fault(cuda, monkeypatch):
    import torch

    def broken(*_):
        raise torch.AcceleratorError("CUDA error: device-side assert triggered")

    for name in ("synchronize", "set_per_process_memory_fraction"):
        monkeypatch.setattr(torch.cuda, name, broken)
    TorchAllocator().empty_cache(0)
    TorchAllocator().limit(0, GIB)


@pytest.mark.parametrize(
    "said",
    [
        "CUDA error: out of memory",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "GET was unable to find an engine to execute this computation",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ],
)
def test_a_card_says_in_many_ways_that_it_is_full(said):
    assert is_out_of_memory(RuntimeError(said))


def test_onnxruntimes_own_classes_say_it_too():
    state = pytest.importorskip("onnxruntime.capi.onnxruntime_pybind11_state")
    assert is_out_of_memory(state.RuntimeException("Failed to allocate memory for requested buffer of size 8"))
    assert not is_out_of_memory(state.RuntimeException("Invalid rank for input"))
