"""docs/verified.md: every command on it runs as it stands on made weights, and no variant that needs weights is without one."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.paths import user_folders
from pipelines.weights.environments import built_python
from tests.checkpoints.every import SAYS, needing
from tests.e2e.test_made import RATE, sung, words_in
from tests.nodes.test_contract import settings

PAGE = (Path(__file__).parents[2] / "docs" / "verified.md").read_text(encoding="utf-8")
COMMANDS = [shlex.split(line) for line in re.findall(r"^    headroom (.*)$", PAGE, re.MULTILINE)]
#: Where the user's own environments are, asked before the tests' fixtures look elsewhere.
ENVIRONMENTS = user_folders().environments


def variants_of(command):
    """`model/speak=xtts` -> `speak/xtts`, and what `weights fetch` names."""
    chosen = [word.removeprefix("model/").replace("=", "/") for word in command if word.startswith("model/")]
    return [*chosen, *(word for word in command if re.fullmatch(r"[a-z]+/\w+", word))]


def test_no_variant_that_needs_weights_is_without_a_command():
    tried = {variant for command in COMMANDS for variant in variants_of(command)}
    assert needing().keys() <= tried


def test_every_variant_is_spoken_of():
    for path in (Path(__file__).parents[2] / "conf" / "model").glob("*/*.yaml"):
        size = path.parent.name == "transcribe" and path.stem != "pocketsphinx"
        assert path.stem == "auto" or size or f"`{path.stem}`" in PAGE or f"`{path.parent.name}/{path.stem}`" in PAGE


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the libraries' own, on import and use
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(variants_of(command)) or " ".join(command))
def test_commands_run(command, headroom, made_weights, monkeypatch):
    if "speak/f5" in variants_of(command):
        if built_python(settings("speak/f5")["environment"], ENVIRONMENTS) is None:
            pytest.skip("the environment of speak/f5 is not built: headroom weights fetch speak/f5 builds it")
        monkeypatch.setenv("HEADROOM_CACHE", str(ENVIRONMENTS.parent))
    Path("made").symlink_to(made_weights)
    soundfile.write("song.wav", sung(220.0, 261.63), RATE)
    soundfile.write("voice.wav", sung(200.0, seconds=3.0), RATE)
    result = headroom(*command, *(["memory_plot=false"] if command[0] == "run" else []))
    assert result.code == 0, result.err
    if command[0] != "run":
        return
    for words in Path("outputs").rglob("transcribe/words.json"):
        assert words_in(words) == SAYS
    sounds = [path for path in Path("outputs").rglob("*.wav") if "artifacts" in path.parts]
    songs = list(Path("outputs").rglob("song.txt"))
    assert songs or sounds
    for path in sounds:
        samples, _ = soundfile.read(path)
        assert np.isfinite(samples).all()
        assert "instrumental" in path.name or np.abs(samples).max() > 1e-4, path
