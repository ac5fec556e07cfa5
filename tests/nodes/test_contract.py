"""The contract every shipped variant of every role keeps, on weights of the genuine formats: its ports, the same result twice,
bytes given back, no result changed by what only moves memory, and a sentence for every kind of bad weights or sound.

Nodes without a role keep it in `test_plain_contract.py`; plan, load, run and unload as a user has them are `test_planned_contract.py`.
"""

import gc
import importlib
import shutil
import sys
import warnings
import weakref
from contextlib import contextmanager, nullcontext
from fnmatch import fnmatch
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import yaml

from pipelines.paths import user_folders
from pipelines.schema.errors import TaskFailed
from pipelines.schema.node import Context, Place
from pipelines.schema.roles import ROLES
from pipelines.schema.values import PORTS, Audio, Contour, Text, Words
from pipelines.weights.environments import built_python
from pipelines.worker.client import IsolatedNode, Worker

CONF = Path(__file__).parents[2] / "conf" / "model"
#: Libraries warn of their own deprecated calls on import and use.
pytestmark = pytest.mark.filterwarnings("ignore")
WHISPERS = sorted(path.stem for path in (CONF / "transcribe").glob("*.yaml") if "whisper" in path.read_text())
#: Variants whose files differ only in size and name: one of each precision stands for them.
STANDS_FOR = {f"transcribe/{name}": f"transcribe/tiny{'_int8' * name.endswith('_int8')}" for name in WHISPERS}
#: What only moves memory: the result may not change by more than the tolerance. Other segments hear less around (converters and
#: separators), so what their memory bounds leave unchanged is in their own tests.
CHUNKED = [
    ("pitch/crepe_tiny", {"batch": 7}, 1e-6),
    ("pitch/crepe_full", {"batch": 3}, 1e-6),
    ("transcribe/tiny", {"batch": 3}, 0.05),
    ("transcribe/tiny_int8", {"batch": 3}, 0.05),
    ("speak/xtts", {"chunk": 3}, 0.0),
]
#: Where the user's own environments are, asked before the tests' fixtures look elsewhere.
ENVIRONMENTS = user_folders().environments
SETTINGS = {"speak/f5": {"voice_text": "Some call me nature."}}


def variants():
    return sorted(
        f"{path.parent.name}/{path.stem}"
        for role in ROLES
        for path in (CONF / role).glob("*.yaml")
        if path.stem != "auto"
    )


TRIED = [name for name in variants() if STANDS_FOR.get(name, name) == name]
WEIGHTED = [name for name in TRIED if yaml.safe_load((CONF / f"{name}.yaml").read_text())["weights"]]


def settings(name):
    return yaml.safe_load((CONF / f"{name}.yaml").read_text())


def make_weights(name, folder):
    """Tiny weights of `name`'s genuine format in `folder`, or None where it needs none."""
    role, stem = name.split("/")
    if role == "separate" and stem != "center":
        from tests.checkpoints.demucs import make_demucs

        return make_demucs(folder, segment=Fraction(1), rate=8000)
    if name in STANDS_FOR:
        from tests.checkpoints.whisper import make_whisper

        return make_whisper(folder)
    if name == "speak/xtts":
        from tests.checkpoints.xtts import make_xtts, small_vocoder

        with small_vocoder():
            return make_xtts(folder)
    if name in ("convert/rvc", "convert/freevc", "speak/f5"):
        module = importlib.import_module(f"tests.checkpoints.{stem}")
        return getattr(module, f"make_{stem}")(folder)
    assert not settings(name)["weights"], f"{name} needs weights: teach make_weights to make tiny ones."
    return None


def building(name):
    if name != "speak/xtts":
        return nullcontext()
    from tests.checkpoints.xtts import small_vocoder

    return small_vocoder()


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    made = {}

    def of(name):
        key = "separate/htdemucs" if name == "separate/htdemucs_ft" else name
        key = "transcribe/tiny" if name in STANDS_FOR else key
        if key not in made:
            made[key] = make_weights(key, tmp_path_factory.mktemp("weights") / key.replace("/", "_"))
        return made[key]

    return of


def node_of(name, **knobs):
    message = settings(name)
    module, _, kind = message["_target_"].rpartition(".")
    own = {"convert/rvc": {"pitch": "swift_f0"}, "speak/f5": {"steps": 2}}.get(name, {})
    given = {**message["knobs"], **own, **knobs}
    node = getattr(importlib.import_module(module), kind)(**given)
    if not message.get("environment"):
        return node
    return IsolatedNode(node, message["_target_"], given, name, python=python_of(name))


def python_of(name):
    """The interpreter of a variant's own environment; skips the test where the user has not built it."""
    python = built_python(settings(name)["environment"], ENVIRONMENTS)
    if python is None:
        pytest.skip(f"the environment of {name} is not built: headroom weights fetch {name} builds it")
    return python


def voice(seconds=1.3, rate=16000, channels=1):
    """Something like a vowel on a gliding pitch."""
    times = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(200 * 1.3 ** (times / seconds)) / rate
    made = sum(np.sin(k * phase) / k for k in range(1, 12)) * 0.1 * (1 + 0.5 * np.sin(2 * np.pi * 3 * times))
    return Audio.of(np.stack([made * (1 - 0.2 * c) for c in range(channels)]), rate)


def inputs_of(name, sound=None):
    role = name.partition("/")[0]
    if role == "speak":
        return {"text": Text("Hello there."), "voice": sound or voice(2.0, 22050)}
    if name == "convert/freevc":
        return {"audio": sound or voice(), "voice": voice(2.0)}
    if name == "pitch/crepe_full":
        return {"audio": sound or voice(0.1)}
    return {"audio": sound or voice(2.2 if role == "transcribe" else 1.3, channels=1 + (role == "separate"))}


def run(node, model, inputs, folder, reported=None):
    folder.mkdir(exist_ok=True, parents=True)
    given = SETTINGS.get(getattr(node, "name", ""), {})
    return node.run(
        model, inputs, Context("item", folder, given, seed=3, warn=(reported if reported is not None else []).append)
    )


def plain(value):
    """A value as numbers and texts that can be compared."""
    if isinstance(value, Audio):
        return {"rate": value.rate, "samples": value.read()}
    if isinstance(value, Contour):
        return {"times": value.times, "hertz": value.hertz, "confidence": value.confidence}
    assert isinstance(value, Words)
    return {"text": value.text, "times": np.array([(w.start, w.end) for w in value.words])}


def assert_same(one, other, within=0.0):
    assert one.keys() == other.keys()
    for port in one:
        a, b = plain(one[port]), plain(other[port])
        for key in a:
            if isinstance(a[key], np.ndarray):
                assert a[key].shape == b[key].shape
                assert np.allclose(a[key], b[key], atol=within, rtol=0), f"{port}.{key} differs"
            else:
                assert a[key] == b[key]


def assert_sound(node, outputs):
    """Every port stated is there, of its type, with values that can be."""
    assert outputs.keys() == node.outputs.keys()
    for port, value in outputs.items():
        assert isinstance(value, PORTS[node.outputs[port].type])
        for part in plain(value).values():
            assert not isinstance(part, np.ndarray) or np.isfinite(part).all()
        if isinstance(value, Contour):
            assert (np.diff(value.times) > 0).all()
            assert (value.hertz > 0).all()
            assert 0 <= value.confidence.min(initial=0) <= value.confidence.max(initial=1) <= 1
        if isinstance(value, Words):
            assert all(0 <= w.start <= w.end and w.text for w in value.words)
            assert [w.start for w in value.words] == sorted(w.start for w in value.words)


def test_none_is_left_out():
    for name in variants():
        message = settings(name)
        assert name in TRIED or STANDS_FOR[name] in TRIED
        assert message["licence"]
        assert isinstance(message["commercial_use"], bool)
        assert {"weights", "workspace", "seconds", "source"} <= message["footprint"].keys(), name
        role = ROLES[name.partition("/")[0]]
        module, _, kind = message["_target_"].rpartition(".")
        node = getattr(importlib.import_module(module), kind)(**message["knobs"])
        assert role.outputs.keys() <= node.outputs.keys()
        assert all(port.optional for key, port in node.inputs.items() if key not in role.inputs), name


@pytest.mark.slow
@pytest.mark.parametrize("name", TRIED)
def test_load_run_unload(name, weights, tmp_path, undisturbed):
    before = tensors()
    node = node_of(name)
    with building(name):
        model = node.load(Place("cpu", weights(name)))
    first = run(node, model, inputs_of(name), tmp_path / "a")
    assert_sound(node, first)
    assert_same(first, run(node, model, inputs_of(name), tmp_path / "b"))
    held = [weakref.ref(part) for part in torch_modules(model)]
    node.unload(model)
    assert not isinstance(model, Worker) or model.used_bytes() == 0
    del model
    gc.collect()
    alive = [ref() for ref in held if ref() is not None]
    assert not alive, f"a network outlives its unload, held by {holders(alive[0])}"
    assert tensors() <= before + 2**20


def holders(kept, depth=8):
    """Who holds `kept`, and who holds them, a level a line: what to look at when something is not let go of."""
    level, seen, lines = [kept], {id(kept)}, []
    for _ in range(depth):
        above = [
            referrer
            for referrer in gc.get_referrers(*level)
            if id(referrer) not in seen and referrer is not level and referrer is not sys._getframe()
        ]
        if not above:
            break
        seen.update(map(id, above))
        lines.append("; ".join(f"{type(one).__qualname__} {repr(one)[:160]}" for one in above[:6]))
        level = above
    return "\n".join(lines) or "no object the collector knows"


def torch_modules(model, depth=3):
    """The networks a loaded model holds, wherever a few levels down."""
    import torch

    if isinstance(model, torch.nn.Module):
        return [model]
    inner = vars(model).values() if hasattr(model, "__dict__") else getattr(model, "__slots__", ())
    inner = model if isinstance(model, (list, tuple)) else model.values() if isinstance(model, dict) else inner
    return [found for part in inner for found in torch_modules(part, depth - 1)] if depth else []


def tensors():
    """Bytes of all living tensors."""
    import torch

    gc.collect()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sum(
            o.untyped_storage().nbytes() for o in gc.get_objects() if type(o) in (torch.Tensor, torch.nn.Parameter)
        )


@pytest.mark.slow
@pytest.mark.parametrize(("name", "knobs", "within"), CHUNKED)
def test_what_moves_memory_changes_no_result(name, knobs, within, weights, tmp_path):
    node, tight = node_of(name), node_of(name, **knobs)
    with building(name):
        model = node.load(Place("cpu", weights(name)))
    whole = run(node, model, inputs_of(name), tmp_path / "a")
    assert_same(whole, run(tight, model, inputs_of(name), tmp_path / "b"), within)
    node.unload(model)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRIED)
def test_sound_of_every_kind(name, weights, tmp_path):
    node = node_of(name)
    with building(name):
        model = node.load(Place("cpu", weights(name)))
    for kind, sound in {
        "8 kHz": voice(2.2, 8000),
        "mono at 44.1 kHz": voice(1.1, 44100),
        "stereo": voice(1.1, 16000, 2),
        "silence": Audio.of(np.zeros((2, 16000)), 16000),
        "short": voice(0.03),
    }.items():
        # A reference may be too short to be one, and a voice may be needed; whatever else it is given, it takes.
        refusing = catching(TaskFailed) if kind in ("silence", "short") else nullcontext([])
        with refusing as caught:
            assert_sound(node, run(node, model, inputs_of(name, shorter(name, sound)), tmp_path / kind))
        for error in caught:
            assert_sentence(error)
    for sound in (Audio.of(np.full(8000, np.nan), 16000), Audio.of(np.zeros((1, 0)), 16000)):
        if "voice" in node.inputs and name == "speak/espeak":
            continue  # it cannot use a reference at all, and says so
        with pytest.raises(TaskFailed) as caught:
            run(node, model, inputs_of(name, sound), tmp_path / "bad")
        assert_sentence(caught.value)
    node.unload(model)


@contextmanager
def catching(kind):
    """What of `kind` was raised inside, if anything."""
    caught = []
    try:
        yield caught
    except kind as error:
        caught.append(error)


def shorter(name, sound):
    """A tenth of it for the variant that would take minutes."""
    return Audio.of(sound.read(0, -(-sound.frames // 10)), sound.rate) if name == "pitch/crepe_full" else sound


def assert_sentence(error):
    text = str(error)
    assert text[0].isupper() or text[0] in "/.0123456789" or text.partition(" ")[0].islower()
    assert text.rstrip().endswith((".", ")", "`"))
    assert "Traceback" not in text


@pytest.mark.slow
@pytest.mark.parametrize("name", WEIGHTED)
def test_weights_that_are_missing(name, weights):
    for place in (None, weights(name).parent / "nowhere"):
        with pytest.raises(TaskFailed) as caught:
            node_of(name).load(Place("cpu", place))
        assert_sentence(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", WEIGHTED)
def test_weights_that_are_damaged(name, weights, tmp_path):
    """Each file in turn, cut or overwritten: the large ones are always noticed, and whatever is noticed is a sentence."""
    whole = weights(name)
    for path in (path for path in sorted(whole.rglob("*")) if path.is_file()):
        content = path.read_bytes()
        damages = {"cut": content[: len(content) // 3], "empty": b"", "noise": b"\x93\xff" * 700}
        for kind, bad in damages.items():
            if kind != "cut" and settings(name).get("environment"):
                continue  # each is a process of seconds; its own tests say the rest
            torn = shutil.copytree(whole, tmp_path / "torn", dirs_exist_ok=True)
            (torn / path.relative_to(whole)).write_bytes(bad)
            with catching(TaskFailed) as caught, building(name):
                node = node_of(name, **({"pitch": "rmvpe"} if name == "convert/rvc" else {}))
                node.unload(node.load(Place("cpu", torn)))
            for error in caught:
                assert_sentence(error)
            named = path.relative_to(whole)
            assert caught or not is_essential(name, named), f"{named} ({kind}) was not noticed"


def is_essential(name, file):
    """Whether a variant's file says that it cannot do without: what is used by another bag or read on first use is not looked at."""
    wanted = settings(name)["weights"]["files"]
    if name.startswith("separate/"):
        return file.name in ("htdemucs_ft.yaml", "tiny0003.th") if name.endswith("_ft") else file.name == "tiny0000.th"
    return file.suffix in (".pt", ".pth", ".bin", ".safetensors") and any(
        fnmatch(str(part), pattern) for part in (file, *file.parents) for pattern in wanted
    )
