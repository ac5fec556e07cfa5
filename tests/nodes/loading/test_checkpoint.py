"""Fast loading gives the very weights, keeps computed buffers, and refuses what does not fit or would execute."""

import pickle
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from nodes.loading.checkpoint import load_module, read_checkpoint, without_filling  # noqa: E402
from pipelines.devices.cpu import CpuDevice  # noqa: E402
from pipelines.schema.units import MIB  # noqa: E402


class Net(nn.Module):
    """A bit of everything: random, truncated and constant fills, computed buffers in and out of the state."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.line = nn.Linear(width, width)
        self.convolution = nn.utils.parametrizations.weight_norm(nn.Conv1d(width, width, 3))
        self.norm = nn.LayerNorm(width)
        self.table = nn.Embedding(width, width)
        nn.init.trunc_normal_(self.table.weight, std=0.02)
        nn.init.orthogonal_(self.line.weight)
        self.scale = nn.Parameter(torch.randn(width) * 0.5)
        self.register_buffer("window", torch.hann_window(width), persistent=False)
        self.register_buffer("steps", torch.arange(width).float().mul_(2))
        self.plain = torch.linspace(0, 1, width)

    def forward(self, x: "torch.Tensor") -> "torch.Tensor":
        y = self.norm(self.line(x)) * self.scale + self.window * self.plain + self.steps
        return self.convolution(y.T[None])[0]


@pytest.fixture(params=["torch", "old", "safetensors"])
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Net, Path]:
    torch.manual_seed(1)
    net = Net().eval()
    if request.param == "safetensors":
        from safetensors.torch import save_file

        save_file(net.state_dict(), tmp_path / "net.safetensors")
        return net, tmp_path / "net.safetensors"
    torch.save(net.state_dict(), tmp_path / "net.pth", _use_new_zipfile_serialization=request.param == "torch")
    return net, tmp_path / "net.pth"


def test_the_result_is_the_librarys_own(saved: tuple[Net, Path]) -> None:
    net, path = saved
    found = load_module(Net, read_checkpoint(path))
    x = torch.randn(20, 16)
    assert torch.equal(found(x), net(x))
    assert not found.training
    assert not any(parameter.requires_grad for parameter in found.parameters())


def test_another_dtype_is_converted(saved: tuple[Net, Path]) -> None:
    net, path = saved
    half = {name: value.half() if value.is_floating_point() else value for name, value in net.state_dict().items()}
    torch.save(half, path.with_suffix(".half.pth"))
    found = load_module(Net, read_checkpoint(path.with_suffix(".half.pth")))
    assert found.line.weight.dtype is torch.float32
    assert torch.equal(found.line.weight, net.line.weight.half().float())
    found = load_module(Net, read_checkpoint(path), dtype=torch.float16)
    assert {value.dtype for value in found.state_dict().values()} == {torch.float16}
    assert found.window.dtype is torch.float16


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("line.bias"), "lack line.bias"),
        (lambda state: state.update(extra=torch.zeros(1)), "besides extra"),
        (lambda state: state.update({"scale": torch.zeros(3)}), "another shape scale"),
    ],
)
def test_weights_of_another_network_are_refused(change: object, words: str) -> None:
    state = dict(Net().state_dict())
    change(state)  # type: ignore[operator]
    with pytest.raises(ValueError, match=words):
        load_module(Net, state)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('executed')",)


def test_a_checkpoint_cannot_execute_code(tmp_path: Path) -> None:
    torch.save({"state": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(pickle.UnpicklingError):
        read_checkpoint(tmp_path / "evil.pth")


@pytest.mark.parametrize("cut", [0, 3, 1000])
def test_a_damaged_file_raises_and_gives_nothing(tmp_path: Path, cut: int) -> None:
    torch.save(Net().state_dict(), tmp_path / "net.pth")
    whole = (tmp_path / "net.pth").read_bytes()
    (tmp_path / "net.pth").write_bytes(whole[:cut])
    with pytest.raises((RuntimeError, EOFError, pickle.UnpicklingError, OSError, ValueError)):
        read_checkpoint(tmp_path / "net.pth")


def test_outside_the_block_networks_are_filled_as_ever() -> None:
    with without_filling():
        pass
    assert nn.Linear(64, 64).weight.std() > 0.01


def test_a_load_takes_the_weights_bytes_and_they_count_at_the_load(tmp_path: Path) -> None:
    width = 4096

    def build() -> nn.Module:
        return nn.Linear(width, width, bias=False)

    torch.save(build().state_dict(), tmp_path / "net.pth")
    load_module(build, read_checkpoint(tmp_path / "net.pth"))
    device = CpuDevice()
    device.reclaim()
    with device.watch() as load:
        net = load_module(build, read_checkpoint(tmp_path / "net.pth"))
    with device.watch() as use, torch.inference_mode():
        net(torch.zeros(1, width))
    weights = 4 * width * width
    assert load.peak_bytes - load.start_bytes <= 1.15 * weights
    assert load.end_bytes - load.start_bytes >= 0.9 * weights
    assert use.peak_bytes - use.start_bytes < 16 * MIB
    del net


def test_building_without_fills_touches_no_memory() -> None:
    device = CpuDevice()
    with device.watch() as reading, without_filling():
        nn.Sequential(*[nn.Linear(3000, 3000) for _ in range(10)])
    assert reading.peak_bytes - reading.start_bytes < 20 * MIB
