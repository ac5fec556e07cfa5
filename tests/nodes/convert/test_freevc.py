"""FreeVC on tiny weights of the genuine formats: the library's samples, nothing downloaded, nothing evaluated."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from nodes.convert.freevc import FreeVc
from nodes.convert.freevc.model import FILES, _plain
from pipelines.schema.errors import TaskFailed
from pipelines.schema.node import Context, Place
from pipelines.schema.values import Audio
from tests.checkpoints.freevc import WAVLM, freevc_network, make_freevc

# Importing coqui-tts takes up to 20 s; it and what it imports warn of their own deprecated calls.
slow = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def tone(seconds, hertz=180, rate=16000):
    times = np.arange(int(seconds * rate)) / rate
    return Audio.of(0.3 * np.sin(2 * np.pi * hertz * times) * (1 + np.sin(2 * np.pi * 3 * times)) / 2, rate)


def test_what_would_be_evaluated_is_read_as_data():
    assert _plain(WAVLM)["conv_feature_layers"] == repr([(32, 10, 5)] + [(32, 3, 2)] * 4 + [(32, 2, 2)] * 2)


@pytest.mark.parametrize(
    "text", ["__import__('os').system('echo')", "[(1,2,3)] * 99", "[()]*(9**9)", "3", "[(1,2", "[(1,2,3)] * [2]"]
)
def test_code_in_a_checkpoint_is_refused(text):
    with pytest.raises((ValueError, SyntaxError, TypeError)):
        _plain({"conv_feature_layers": text})


def test_missing_files_are_named_with_where_they_are_from(tmp_path):
    with pytest.raises(
        TaskFailed, match=r"no model\.pth, config\.json, WavLM-Large\.pt, speaker_encoder\.pt in .*github\.com"
    ):
        FreeVc().load(Place("cpu", tmp_path))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    pytest.importorskip("TTS.vc.models.freevc", reason="coqui-tts is not installed")
    folder = make_freevc(tmp_path_factory.mktemp("freevc"))
    return folder, freevc_network(), FreeVc().load(Place("cpu", folder))


def convert(model, audio, tmp_path, voice=None, reported=None, node=None):
    inputs = {"audio": audio} | ({"voice": voice} if voice else {})
    context = Context("a", tmp_path, seed=3, warn=(reported if reported is not None else []).append)
    return (node or FreeVc()).run(model, inputs, context)["audio"]


class TestConverting:
    pytestmark = slow

    def test_samples_are_the_librarys(self, made, tmp_path):
        _, library, model = made
        source, target = tone(2.0), tone(3.0, 300)
        around = np.pad(source.data[0], (0, 8000), mode="reflect")
        with torch.inference_mode():
            voice = library._extract_target_se([torch.from_numpy(target.data[0])])
            features = library.extract_wavlm_features(torch.from_numpy(around)[None])
            torch.manual_seed(3)
            theirs = library.inference(features, g=voice)[0, 0].numpy()
        ours = convert(model, source, tmp_path, target)
        assert (ours.rate, ours.seconds) == (24000, 2.0)
        assert np.abs(ours.data[0] - theirs[:48000]).max() < 1e-4
        assert np.abs(theirs).max() > 0.01

    def test_long_sounds_are_cut_and_keep_their_length(self, made, tmp_path):
        ours = convert(made[2], tone(7.3), tmp_path, tone(2.0, 300), node=FreeVc(segment=2.0))
        assert ours.seconds == pytest.approx(7.3)
        again = convert(made[2], tone(7.3), tmp_path, tone(2.0, 300), node=FreeVc(segment=2.0))
        assert np.array_equal(ours.data, again.data)

    def test_bad_sound_is_refused_and_silence_stays(self, made, tmp_path):
        reported = []
        assert not convert(made[2], Audio.of(np.zeros(16000), 16000), tmp_path, tone(1.0), reported).data.any()
        assert "silent" in reported[0]
        for audio, voice, named in (
            (tone(1.0), None, "needs a target voice"),
            (tone(1.0), Audio.of(np.zeros(16000), 16000), "silent or shorter"),
            (Audio.of(np.full(16000, np.nan), 16000), tone(1.0), "not numbers"),
        ):
            with pytest.raises(TaskFailed, match=named):
                convert(made[2], audio, tmp_path, voice)

    @pytest.mark.parametrize("name", FILES)
    def test_damaged_files_are_refused(self, name, made, tmp_path):
        shutil.copytree(made[0], tmp_path / "w")
        (tmp_path / "w" / name).write_bytes(b"{}")
        with pytest.raises(TaskFailed, match="cannot be used"):
            FreeVc().load(Place("cpu", tmp_path / "w"))

    def test_unload_lets_go(self, made, undisturbed):
        import gc
        import weakref

        node = FreeVc()
        model = node.load(Place("cpu", made[0]))
        network = weakref.ref(model.network)
        node.unload(model)
        gc.collect()
        assert network() is None

    def test_what_it_hears_by_is_imported_before_there_is_a_network(self, made):
        """Imported in the first run instead, librosa's parts would count as what that run needs."""
        command = [sys.executable, "-W", "ignore", "-c", LATE, str(made[0])]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        assert done.stdout.splitlines()[-1] == "late: []"


#: Loads and runs in a fresh process, and prints what of librosa and numba was imported between the two.
LATE = """
import sys
from pathlib import Path
from nodes.convert.freevc import FreeVc
from pipelines.schema.node import Context, Place
from tests.nodes.convert.test_freevc import tone
node = FreeVc()
model = node.load(Place("cpu", Path(sys.argv[1])))
before = set(sys.modules)
node.run(model, {"audio": tone(0.5), "voice": tone(1)}, Context("a", Path(sys.argv[1]), seed=3))
late = [name for name in set(sys.modules) - before if name.split(".")[0] in ("librosa", "numba")]
print("late:", late)
"""
