"""Which extra brings the modules that are missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.weights import extras, locate
from pipelines.weights.extras import extras_for
from tests.weights.toys import variant

EXTRAS = [
    "numpy>=1.26",
    *(f"{name}; extra == 'demucs'" for name in ("torch>=2.6", "demucs<5,>=4.1", "safetensors>=0.4")),
    *(f'{name} ; extra == "crepe"' for name in ("torch>=2.6", "torchcrepe==0.0.24")),
    *(f"{name}; extra == 'xtts'" for name in ("torch>=2.6", "coqui-tts>=0.27.3", "six")),
    *(f"{name}; extra == 'audio'" for name in ("soxr>=0.5", "av>=14")),
    "faster-whisper; extra == 'whisper'",
    *(
        f"{name}; extra == 'all'"
        for name in ("torch", "demucs", "safetensors", "torchcrepe", "coqui-tts", "soxr", "faster_whisper")
    ),
]


@pytest.mark.parametrize(
    ("absent", "required", "wanted"),
    [
        (["torchcrepe"], ["torch", "torchcrepe", "soxr"], ["crepe"]),
        (["torch"], ["torch", "torchcrepe", "soxr"], ["crepe"]),
        (["torch"], ["torch", "demucs"], ["demucs"]),
        (["TTS"], ["TTS", "torchaudio"], ["xtts"]),
        (["faster_whisper"], ["faster_whisper"], ["whisper"]),
        (["soxr"], ["soxr"], ["audio"]),
        (["faster_whisper", "soxr"], ["faster_whisper", "soxr"], ["audio", "whisper"]),
        (["nobodys_module"], ["nobodys_module"], []),
        (["torch", "nobodys_module"], ["torch"], []),
    ],
)
def test_the_nearest_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, absent: list[str], required: list[str], wanted: list[str]
) -> None:
    monkeypatch.setattr(extras.metadata, "requires", lambda name: EXTRAS)
    assert sorted(extras_for(absent, required)) == wanted


def test_a_missing_module_names_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(extras.metadata, "requires", lambda name: ["no-such-module; extra == 'toy'"])
    found = locate(variant(requires=("no_such_module", "os")), tmp_path)
    assert found.missing == "no_such_module is not installed (pip install 'headroom-runner[toy]')"
    assert not found.fetchable
