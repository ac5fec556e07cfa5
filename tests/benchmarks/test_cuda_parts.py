"""The parts of the CUDA benchmark on a fake card: they see what is there, and say so when it is not as it should be."""

import pytest

torch = pytest.importorskip("torch")

from benchmarks.cuda.parts import Clockwork, returned, tracker_error, under_cap  # noqa: E402
from pipelines.devices.cuda import CudaDevice  # noqa: E402
from pipelines.devices.simulated import SimulatedDevice  # noqa: E402
from tests.devices.fakes import MB, OURS, FakeCard  # noqa: E402


def test_a_cap_that_holds_and_one_that_does_not() -> None:
    card = FakeCard()
    card.start(0)
    device = CudaDevice(card, card, pid=OURS, sample_seconds=0.001)

    class Block:
        def __init__(self, size: int) -> None:
            card.allocate(size)
            self.size = size

        def __del__(self) -> None:
            card.free(getattr(self, "size", 0))

    held = under_cap(device, 2000 * MB, Block, [300 * MB] * 10)
    assert held["ok"]
    assert held["peak_bytes"] <= 2000 * MB
    assert held["refused"] > 0
    card.limit = lambda index, size: None  # type: ignore[method-assign]
    assert not under_cap(device, 2000 * MB, Block, [300 * MB] * 10)["ok"]


@pytest.mark.parametrize(("share", "ok"), [(1.0, True), (1.04, True), (1.2, False)])
def test_the_tracker_is_compared_with_the_allocator(share: float, ok: bool) -> None:
    network = torch.nn.Sequential(torch.nn.Linear(256, 1024, bias=False), torch.nn.ReLU())
    true = 4 * 128 * (256 + 1024 + 1024)
    clockwork = Clockwork(lambda: None, lambda: None, lambda: 500, lambda: 500 + round(true * share))
    found = tracker_error(SimulatedDevice(10**9), clockwork, network, lambda: torch.zeros(128, 256))
    assert found["tracked_bytes"] == true
    assert found["ok"] is ok


def test_bytes_that_come_back_are_told_from_a_leak() -> None:
    device = SimulatedDevice(10**9)
    kept = []

    def leaking() -> torch.nn.Module:
        net = torch.nn.Linear(2048, 2048)
        device.loaded("net", 0, net)
        kept.append(net)
        return net

    def clean() -> torch.nn.Module:
        net = torch.nn.Linear(2048, 2048)
        device.loaded("net", 0, net)
        return net

    assert returned(device, clean)["ok"]
    assert not returned(device, leaking)["ok"]
