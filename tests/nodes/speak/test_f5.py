"""F5 on a tiny checkpoint of the genuine format: one sentence's samples are the library's, and what it needs is asked for.

f5-tts is no requirement, for its pins conflict with others'. `headroom weights fetch speak/f5 accept_licence=[f5]` builds the
environment it runs in; to run the tests that need it: HEADROOM_F5=ENVIRONMENT/lib/python3.11/site-packages pytest tests/nodes/speak
"""

import os
import shutil
import sys

import numpy as np
import pytest
import torch

from nodes.speak.f5.model import _without_training
from nodes.speak.f5.node import F5, Reference, longest_sentence, reference
from pipelines.schema.errors import TaskFailed
from pipelines.schema.node import Context, Place
from pipelines.schema.values import Audio, Text, Word, Words
from tests.checkpoints.f5 import make_f5

SPOKEN = "Some call me nature"


def tone(seconds, gain=0.05):
    return Audio.of(gain * np.sin(2 * np.pi * 200 * np.arange(int(seconds * 24000)) / 24000), 24000)


def context(tmp_path, reported=None, seed=1, **settings):
    return Context("a", tmp_path, settings, seed=seed, warn=(reported if reported is not None else []).append)


def test_a_references_words_come_from_the_setting_or_a_transcript(tmp_path):
    words = Words((Word("Some", 0.0, 0.5), Word("call", 0.5, 1.0)))
    set_ = reference({"voice": tone(2)}, context(tmp_path, voice_text=SPOKEN))
    detected = reference({"voice": tone(2), "voice_words": words}, context(tmp_path))
    assert (set_.text, detected.text) == (SPOKEN + ".  ", "Some call.  ")
    assert len(set_.samples) == 48000


def test_a_long_reference_is_cut_at_a_word(tmp_path):
    words = Words(tuple(Word("w" * (i + 1), i * 1.0, i + 0.9) for i in range(20)))
    cut = reference({"voice": tone(20), "voice_words": words}, context(tmp_path))
    assert cut.text.split() == [*("w" * i for i in range(1, 12)), "w" * 12 + "."]
    assert len(cut.samples) / 24000 == pytest.approx(12.0, abs=0.01)


def test_numbers_are_spelled_out_for_a_network_that_reads_letters(tmp_path):
    set_ = reference({"voice": tone(2)}, context(tmp_path, voice_text="24 hours", language="de"))
    assert set_.text == "vierundzwanzig hours.  "


def test_a_sentence_in_another_script_than_the_references_fills_the_same_time():
    letters, characters = "so he said to them ", "今天天气很好我们去"
    for message in (letters, characters):
        voice = Reference(np.zeros(10 * 24000, np.float32), message * 5)
        bytes_a_second = len(voice.text.encode()) / 10
        for written in (letters, characters):
            longest = (written * 100)[: longest_sentence(voice, 1.0, written)]
            assert len(longest.encode()) / bytes_a_second == pytest.approx(12.0, abs=0.4)


def test_the_words_of_a_reference_without_spaces_get_none(tmp_path):
    words = Words((Word("今", 0.0, 0.5), Word("天", 0.5, 1.0)), "zh")
    assert reference({"voice": tone(2), "voice_words": words}, context(tmp_path)).text == "今天.  "


@pytest.mark.parametrize(
    ("voice", "settings", "named"),
    [
        (None, {"voice_text": SPOKEN}, "needs a voice"),
        (tone(2), {}, "must know what the reference voice says"),
        (tone(20), {"voice_text": SPOKEN}, "lasts 20.0 s"),
        (tone(2, gain=0.0), {"voice_text": SPOKEN}, "silent or shorter"),
        (tone(0.1), {"voice_text": SPOKEN}, "silent or shorter"),
        (tone(600), {"voice_text": SPOKEN}, "lasts 600.0 s"),
        (Audio.of(np.full(24000, np.nan), 24000), {"voice_text": SPOKEN}, "not numbers"),
    ],
)
def test_bad_references_are_refused_by_name(voice, settings, named, tmp_path):
    with pytest.raises(TaskFailed, match=named):
        reference({"voice": voice} if voice else {}, context(tmp_path, **settings))


def test_missing_files_are_named(tmp_path):
    with pytest.raises(TaskFailed, match=r"no one model_\*\.safetensors, vocab\.txt"):
        F5().load(Place("cpu", tmp_path))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    if os.environ.get("HEADROOM_F5"):
        sys.path.append(os.environ["HEADROOM_F5"])
    pytest.importorskip("vocos", reason="f5-tts is not installed (see this file's docstring)")
    pytest.importorskip("f5_tts", reason="f5-tts is not installed (see this file's docstring)")
    return make_f5(tmp_path_factory.mktemp("f5"))


# The library and what it imports warn of their own deprecated calls.
needs_library = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


class TestWithTheLibrary:
    pytestmark = needs_library

    def say(self, folder, text, tmp_path, model=None, **knobs):
        node = F5(steps=4, **knobs)
        inputs = {"text": Text(text), "voice": tone(3)}
        return node.run(model or node.load(Place("cpu", folder)), inputs, context(tmp_path, voice_text=SPOKEN))

    def test_one_sentences_samples_are_the_librarys(self, folder, tmp_path):
        with _without_training():
            library = pytest.importorskip(
                "f5_tts.infer.utils_infer", reason="the library's inference cannot be imported"
            )
            from f5_tts.model.backbones.dit import DiT
        from tests.checkpoints.f5 import ARCH

        vocoder = library.load_vocoder("vocos", True, str(folder / "vocos"), "cpu")
        path, vocabulary = str(folder / "model_1250000.safetensors"), str(folder / "vocab.txt")
        model = library.load_model(DiT, ARCH, path, "vocos", vocabulary, "euler", True, "cpu")
        torch.manual_seed(1)
        sound = torch.from_numpy(tone(3).data)
        made = library.infer_batch_process(
            (sound, 24000),
            SPOKEN + ". ",
            ["Hello there world."],
            model,
            vocoder,
            nfe_step=4,
            device="cpu",
            progress=None,
        )
        theirs = next(made)[0]
        ours = self.say(folder, "Hello there world.", tmp_path)["audio"].data[0]
        assert len(ours) == len(theirs) > 10_000
        assert np.abs(ours[240:-240] - theirs[240:-240]).max() < 1e-4
        assert np.abs(theirs).max() > 0.01

    def test_the_same_seed_gives_the_same_samples_in_a_run_and_a_stream(self, folder, tmp_path):
        model, text = F5().load(Place("cpu", folder)), "Hello there. " * 12 + "\nBye now my dear."
        torch.manual_seed(7)
        before = torch.random.get_rng_state()
        whole, again = (self.say(folder, text, tmp_path, model) for _ in range(2))
        pieces = list(
            F5(steps=4).stream(
                model, {"text": Text(text), "voice": tone(3)}, None, context(tmp_path, voice_text=SPOKEN)
            )
        )
        assert len(pieces) == 13
        assert len(whole["words"].words) == 2
        assert np.array_equal(whole["audio"].data, again["audio"].data)
        assert np.array_equal(np.concatenate([piece.data for piece in pieces], axis=1), whole["audio"].data)
        assert torch.equal(torch.random.get_rng_state(), before)

    def test_nothing_that_trains_or_listens_is_imported(self, folder, tmp_path):
        import subprocess

        code = (
            "import sys; from pathlib import Path; from nodes.speak.f5 import F5; from pipelines.schema.node import Place\n"
            f"sys.path.append({os.environ.get('HEADROOM_F5', '')!r}); F5().load(Place('cpu', Path({str(folder)!r})))\n"
            "print([m for m in ('wandb', 'datasets', 'accelerate', 'f5_tts.infer', 'f5_tts.model.trainer') if m in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "[]"

    @pytest.mark.parametrize(
        ("file", "content"),
        [
            ("model_1250000.safetensors", b"no weights"),
            ("vocab.txt", b"a\nb\n"),
            ("arch.json", b'{"dim": "x"}'),
            ("vocos/config.yaml", b"feature_extractor: {class_path: os.system, init_args: {command: echo}}"),
            ("vocos/pytorch_model.bin", b""),
        ],
    )
    def test_damaged_files_are_refused(self, file, content, folder, tmp_path):
        shutil.copytree(folder, tmp_path / "w")
        (tmp_path / "w" / file).write_bytes(content)
        with pytest.raises(TaskFailed, match="cannot be used"):
            F5().load(Place("cpu", tmp_path / "w"))
