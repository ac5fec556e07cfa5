"""The tracker on real torch tensors: known answers, frees, refusal, and a real module."""

import gc

import pytest

torch = pytest.importorskip("torch")

from pipelines.devices.protocol import DeviceOutOfMemory  # noqa: E402
from pipelines.devices.simulated import SimulatedDevice  # noqa: E402
from pipelines.devices.tensor_tracker import TensorTracker, tensors_in  # noqa: E402

KB = 1024


def test_live_bytes_follow_allocation_views_and_frees() -> None:
    tracker = TensorTracker()
    with tracker.operations():
        a = torch.zeros(1024)
        view = a[10:20]
        b = a + 1
        assert tracker.live == 8 * KB
        del a
        assert tracker.live == 8 * KB  # the view holds it
        del view, b
    assert tracker.live == 0


def test_blocks_are_rounded_as_cuda_rounds_them() -> None:
    tracker = TensorTracker()
    with tracker.operations():
        kept = torch.zeros(1)
    assert tracker.live == 512
    del kept


def test_inputs_made_outside_count_once_touched() -> None:
    given = torch.zeros(1024)
    tracker = TensorTracker()
    with tracker.operations():
        kept = given.sum()
    assert tracker.live == 4 * KB + 512
    del kept


def test_a_peak_inside_a_step_is_known_exactly() -> None:
    device = SimulatedDevice(total_bytes=10**9, context=1000)
    with device.watch(declared_bytes=5) as reading:
        a = torch.zeros(1024 * 1024)
        b = a * 2
        del a
        c = b[:1024].clone()
        del b
    assert reading.source == "tracked"
    assert reading.peak_bytes == 1000 + 8 * 1024 * KB
    assert reading.end_bytes == 1000 + 4 * KB
    del c
    assert device.used_bytes() == 1000


def test_weights_of_a_loaded_module_count_until_they_are_freed() -> None:
    device = SimulatedDevice(total_bytes=10**9)
    model = {"net": torch.nn.Linear(256, 256, bias=False)}
    device.loaded("net", 123, model)
    assert device.used_bytes() == 256 * KB
    device.unloaded("net")
    assert device.used_bytes() == 256 * KB, "a leak must show"
    model.clear()
    gc.collect()
    assert device.used_bytes() == 0


def test_tied_weights_count_once() -> None:
    a = torch.nn.Linear(256, 256, bias=False)
    b = torch.nn.Linear(256, 256, bias=False)
    b.weight = a.weight
    device = SimulatedDevice(total_bytes=10**9)
    device.loaded("net", 0, [a, b])
    assert device.used_bytes() == 256 * KB


def test_engines_that_are_not_torch_count_as_declared() -> None:
    device = SimulatedDevice(total_bytes=10**9)
    device.loaded("whisper", 7000, object())
    with device.watch(500) as other:
        pass
    assert (other.peak_bytes, other.source) == (7500, "declared")
    with device.watch(500) as mixed:
        torch.zeros(1024)
    assert (mixed.peak_bytes, mixed.source) == (7000 + 4 * KB, "tracked+declared")


def test_a_tensor_too_large_is_refused_inside_the_step() -> None:
    device = SimulatedDevice(total_bytes=64 * KB)
    with device.watch(), pytest.raises(DeviceOutOfMemory):
        torch.zeros(32 * 1024)
    gc.collect()
    assert device.used_bytes() == 0


def test_an_inference_peak_matches_the_arithmetic() -> None:
    net = torch.nn.Sequential(
        torch.nn.Linear(1024, 4096, bias=False), torch.nn.ReLU(), torch.nn.Linear(4096, 64, bias=False)
    )
    weights = 4 * (1024 * 4096 + 4096 * 64)
    device = SimulatedDevice(total_bytes=10**9)
    device.loaded("net", 0, net)
    with torch.inference_mode(), device.watch() as reading:
        net(torch.zeros(128, 1024))
    # input + first activation + its ReLU at once
    assert reading.peak_bytes == weights + 4 * 128 * (1024 + 4096 + 4096)


class Wrapper:
    def __init__(self) -> None:
        self.inner = {"models": [torch.nn.Linear(4, 4)]}
        self.itself = self


def test_tensors_are_found_inside_plain_objects_and_cycles() -> None:
    assert len(tensors_in(Wrapper())) == 2
    assert tensors_in(None) == []


def test_a_storage_that_grows_and_shrinks_counts_as_it_is() -> None:
    grown: list[int] = []
    tracker = TensorTracker(grown.append)
    tensor = torch.zeros(1024)
    assert tracker.note(tensor) == 4 * KB
    assert tracker.note(tensor[:10]) == 4 * KB
    tensor.untyped_storage().resize_(8 * KB)
    assert tracker.note(tensor) == 8 * KB
    tensor.untyped_storage().resize_(2 * KB)
    tracker.note(tensor)
    assert tracker.live == 2 * KB
    assert grown == [4 * KB, 8 * KB]  # neither what is known nor what shrinks can pass a limit


def test_what_has_no_bytes_of_its_own_counts_as_none() -> None:
    tracker = TensorTracker()
    assert tracker.note(torch.zeros(1024, device="meta")) == 0
    assert tracker.note(torch.zeros(4, 4).to_sparse()) == 0
    assert tracker.live == 0


def test_each_operation_is_told_of() -> None:
    touches: list[int] = []
    with TensorTracker().operations(lambda: touches.append(1)):
        torch.zeros(4) + 1
    assert len(touches) == 2


class Slotted:
    __slots__ = ("empty", "tensor")

    def __init__(self) -> None:
        self.tensor = torch.zeros(1)


def nested(depth: int) -> object:
    return torch.zeros(1) if depth == 0 else [nested(depth - 1)]


def test_where_tensors_are_found() -> None:
    assert len(tensors_in({"a": (torch.zeros(1), {1: torch.zeros(1)}), "b": Slotted()})) == 3
    assert len(tensors_in(torch.nn.BatchNorm1d(4))) == 5  # two parameters, three buffers
    twice = torch.zeros(1)
    assert len(tensors_in([twice, twice, torch.zeros(1)])) == 2
    assert tensors_in([torch.Tensor, "text", 4, len, b"x"]) == []


@pytest.mark.parametrize(("depth", "found"), [(0, 1), (4, 1), (5, 0)])
def test_it_is_looked_for_no_deeper_than_models_are(depth: int, found: int) -> None:
    assert len(tensors_in(nested(depth))) == found


def test_a_table_of_very_many_objects_is_not_gone_through() -> None:
    assert tensors_in([[object() for _ in range(20_001)], [[torch.zeros(1)]]]) == []
    assert len(tensors_in([[object() for _ in range(19_000)], [[torch.zeros(1)]]])) == 1


def test_a_bare_ledger_counts_what_is_declared_though_there_are_tensors() -> None:
    device = SimulatedDevice(total_bytes=10**9, track=False)
    device.loaded("net", 7000, torch.zeros(1024))
    with device.watch(500) as reading:
        torch.zeros(1024)
    assert (device.used_bytes(), reading.peak_bytes, reading.source) == (7000, 7500, "declared")
