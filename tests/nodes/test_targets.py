"""The names of nodes that YAML files may hold: each goes on resolving, and none imports a heavy library."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.node_classes import node_class

ROOT = Path(__file__).parents[2]
#: Every `_target_` that was ever shipped or documented, and the class it means.
TARGETS = {
    "nodes.convert.freevc.FreeVc": "FreeVc",
    "nodes.convert.rvc.Rvc": "Rvc",
    "nodes.convert.world.World": "World",
    "nodes.dub.fit.Fit": "Fit",
    "nodes.dub.lines.Lines": "Lines",
    "nodes.dub.mix.Mix": "Mix",
    "nodes.dub.time_fit.Fit": "Fit",
    "nodes.notes.Notes": "Notes",
    "nodes.notes.node.Notes": "Notes",
    "nodes.pitch.crepe.Crepe": "Crepe",
    "nodes.pitch.swift.Swift": "Swift",
    "nodes.separate.center.Center": "Center",
    "nodes.separate.demucs.Demucs": "Demucs",
    "nodes.speak.espeak.Espeak": "Espeak",
    "nodes.speak.f5.F5": "F5",
    "nodes.speak.xtts.Xtts": "Xtts",
    "nodes.transcribe.pocketsphinx.PocketSphinx": "PocketSphinx",
    "nodes.transcribe.whisper.Whisper": "Whisper",
    "nodes.ultrastar.Song": "Song",
    "nodes.ultrastar.song.Song": "Song",
    "nodes.wav.Wav": "Wav",
}
HEAVY = (
    "torch",
    "torchaudio",
    "librosa",
    "scipy",
    "numba",
    "transformers",
    "TTS",
    "demucs",
    "faster_whisper",
    "onnxruntime",
)


@pytest.mark.parametrize("target", TARGETS)
def test_a_name_in_somebodys_yaml_goes_on_resolving(target):
    assert node_class(target).__name__ == TARGETS[target]


@pytest.mark.parametrize("target", TARGETS)
def test_a_docstring_says_ports_licence_and_where_figures_are_from(target):
    node = node_class(target)
    message = inspect.getdoc(node) or ""
    assert [port for port in (*node.inputs, *node.outputs) if f"`{port}`" not in message] == []
    assert "Licence: " in message
    assert "Figures: " in message
    for path in re.findall(r"`(conf/[^`]*)`", message):
        assert (ROOT / path).exists()


def test_naming_every_node_imports_no_heavy_library():
    code = (
        "import sys; from pipelines.node_classes import node_class\n"
        f"for target in {list(TARGETS)!r}: node_class(target)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    message = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert message.stdout.strip() == "[]"
