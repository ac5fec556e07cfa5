"""What is asked of torch's allocator: the real module with a card of numbers under it."""

from types import SimpleNamespace

import pytest

from pipelines.devices.torch_allocator import AllocatorBytes, TorchAllocator
from pipelines.schema.units import GIB


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


def test_its_bytes_are_torch_s_statistics_of_that_card(cuda, monkeypatch):
    import torch

    figures = {"allocated_bytes": (1, 4), "active_bytes": (2, 5), "reserved_bytes": (3, 6)}
    stats = {
        f"{name}.all.{what}": value
        for name, pair in figures.items()
        for what, value in zip(("current", "peak"), pair, strict=True)
    }
    monkeypatch.setattr(torch.cuda, "memory_stats", lambda index: stats if index == 1 else {})
    assert TorchAllocator().bytes(1) == AllocatorBytes(1, 2, 3, 4, 5, 6)
    assert TorchAllocator().bytes(0) == AllocatorBytes(0, 0, 0, 0, 0, 0)


def test_before_cuda_has_started_it_holds_nothing_and_is_asked_nothing(cuda, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    allocator = TorchAllocator()
    assert not allocator.started()
    assert allocator.bytes(0) == AllocatorBytes(0, 0, 0, 0, 0, 0)
    allocator.reset_peak(0)
    allocator.empty_cache(0)
    allocator.limit(0, GIB)
    assert cuda == []


def test_the_context_is_made_by_one_small_allocation_on_that_card(cuda, monkeypatch):
    import torch

    made = []
    monkeypatch.setattr(torch, "zeros", lambda count, device: made.append((count, device)))
    TorchAllocator().start(1)
    assert made == [(1, "cuda:1")]
    assert cuda == [("synchronize", 1)]


def test_marks_are_brought_down_on_that_card(cuda, monkeypatch):
    import torch

    reset = []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset.append)
    TorchAllocator().reset_peak(1)
    assert reset == [1]
