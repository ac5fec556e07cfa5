"""Every node that computes with torch, on a card that is not there: all it loads lies on it, and it makes what the CPU makes."""

import importlib

import numpy as np
import pytest

from pipelines.devices.tensor_tracker import tensors_in
from pipelines.schema.node import Context, Place
from pipelines.schema.values import Audio, Contour
from tests.nodes.test_contract import building, inputs_of, make_weights, settings

torch = pytest.importorskip("torch")

from tests.nodes.card import There, card  # noqa: E402

#: The libraries' own warnings, on import and use.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def test_the_card_refuses_what_a_real_one_refuses():
    with card():
        there, here = torch.arange(3.0, device="cuda"), torch.arange(3.0)
        assert isinstance(there + 1, There)
        assert (there[here.long()] + there).cpu().tolist() == [0.0, 2.0, 4.0]
        assert not isinstance(here[:2] + 1, There)
        for wrong in (
            lambda: there + here,
            lambda: torch.stft(there.repeat(9), 8, window=torch.hann_window(8), return_complex=True),
            lambda: torch.nn.Linear(3, 2).to("cuda")(here),
        ):
            with pytest.raises((AssertionError, RuntimeError), match=r"host|cpu"), torch.inference_mode():
                wrong()
        with pytest.raises((TypeError, RuntimeError), match="numpy"):
            there.numpy()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    made = {}

    def of(name):
        if name not in made:
            made[name] = make_weights(name, tmp_path_factory.mktemp("weights") / name.replace("/", "_"))
        return made[name]

    return of


@pytest.mark.parametrize(
    ("name", "knobs", "near"),
    [
        ("separate/htdemucs", {}, 0.0),
        ("pitch/crepe_tiny", {"batch": 7}, 0.0),
        ("convert/rvc", {"pitch": "rmvpe"}, 0.0),
        ("convert/rvc", {"pitch": "rmvpe", "precision": "float16"}, 0.01),
        ("convert/freevc", {}, 0.0),
        ("speak/xtts", {}, 0.0),
        ("speak/xtts", {"precision": "float16"}, 0.01),
    ],
)
def test_it_makes_on_a_card_what_it_makes_on_the_cpu(name, knobs, near, weights, tmp_path):
    folder = weights(name)
    module, _, kind = settings(name)["_target_"].rpartition(".")
    node = getattr(importlib.import_module(module), kind)(**{**settings(name)["knobs"], **knobs})
    with building(name):
        wanted = made_on("cpu", node, name, folder, tmp_path)
        with card():
            made = made_on("cuda:0", node, name, folder, tmp_path)
    assert made.keys() == wanted.keys()
    for port in made:
        assert made[port].shape == wanted[port].shape
        assert np.abs(made[port] - wanted[port]).max() <= near, port


def made_on(device, node, name, folder, tmp_path):
    model = node.load(Place(device, folder))
    held = tensors_in(model)
    assert held
    assert {tensor.device.type for tensor in held} == {device.partition(":")[0]}
    outputs = node.run(model, inputs_of(name), Context("a", tmp_path, device=device, seed=3))
    node.unload(model)
    return {port: numbers for port, value in outputs.items() if (numbers := numbers_of(value)) is not None}


def numbers_of(value):
    if isinstance(value, Audio):
        return value.read()
    return value.hertz if isinstance(value, Contour) else None
