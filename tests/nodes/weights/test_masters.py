"""Masters on the host: the same network, no copies back, ties kept."""

import gc

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from nodes.weights.masters import Master  # noqa: E402
from pipelines.devices.simulated import SimulatedDevice  # noqa: E402


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 5)
        self.head = nn.Linear(5, 7, bias=False)
        self.head.weight = self.table.weight
        self.norm = nn.BatchNorm1d(7)
        self.scale = nn.Parameter(torch.randn(3).half())

    def forward(self, x: "torch.Tensor") -> "torch.Tensor":
        return self.norm(self.head(self.table(x))) * self.scale.float().sum()


def test_going_and_coming_changes_nothing() -> None:
    net, x = Net().eval(), torch.tensor([1, 2, 6])
    with torch.inference_mode():
        before = net(x)
        master = Master(net)
        for _ in range(2):
            master.onto("cpu")
            assert torch.equal(net(x), before)
            master.away()
            assert torch.equal(net(x), before)
    master.close()
    assert net.head.weight is net.table.weight


def test_each_weight_is_held_once_at_its_exact_size() -> None:
    net = nn.Sequential(nn.Linear(1024, 1024, bias=False), nn.Linear(64, 64, bias=False))
    assert Master(net).bytes == 4 * (1024 * 1024 + 64 * 64)


def test_leaving_gives_the_devices_copy_back() -> None:
    device = SimulatedDevice(total_bytes=10**9)
    net = nn.Linear(512, 512, bias=False)
    master = Master(net)
    with device.watch():
        master.onto("cpu")
    device.loaded("net", 0, net)
    assert device.used_bytes() >= 4 * 512 * 512
    held = device.used_bytes()
    master.away()
    gc.collect()
    assert held - device.used_bytes() >= 0
    assert net.weight.data_ptr() == master._arena.data_ptr()


def test_a_device_copy_is_not_the_master() -> None:
    net = nn.Linear(4, 4)
    master = Master(net)
    master.onto("cpu")
    with torch.no_grad():
        net.weight.zero_()
    master.away()
    assert net.weight.abs().sum() > 0
