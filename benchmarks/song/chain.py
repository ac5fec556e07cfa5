"""The ultrasinger pipeline in one process, its slow steps kept in a temp folder so that a change to the notes is quick to score."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from nodes.notes import Notes
from nodes.pitch.crepe import Crepe
from nodes.pitch.swift import Swift
from nodes.sample.song import RATE, Truth, lyrics_of, make_song
from nodes.separate.center import Center
from nodes.ultrastar import Song
from pipelines.schema.node import Context, Node, Place
from pipelines.schema.values import Audio, Contour, File, Note, Word, Words
from tests.ultrastar_reader import read

ROOT = Path(__file__).parents[2]
CACHE = Path(tempfile.gettempdir()) / "headroom-bench-song"
PITCH: dict[str, Callable[[], Node]] = {
    "crepe_tiny": lambda: Crepe(size="tiny", low=65.0, high=1100.0),
    "crepe_full": lambda: Crepe(size="full", low=65.0, high=1100.0),
    "swift_f0": Swift,
}


@dataclass(frozen=True)
class Detected:
    """Everything up to the notes. `recognised` and `aligned` are what pocketsphinx makes of it without and with the lyrics."""

    truth: Truth
    mix: Audio
    vocals: Audio
    contour: Contour
    recognised: Words
    aligned: Words


def hear(seed: int, pitch: str) -> Detected:
    """Sample, separate, track, transcribe; each from the cache where neither its code nor its inputs changed."""
    truth, mix = _sample(seed)
    vocals_folder = _folder("separate", seed, "nodes/sample", "nodes/separate")
    vocals_file = vocals_folder / "vocals.wav"
    if not vocals_file.exists():
        _run(Center(), {"audio": mix}, vocals_folder)
    vocals = Audio.open(vocals_file)
    contour = _contour(seed, pitch, vocals)
    lyrics = lyrics_of(truth)
    return Detected(truth, mix, vocals, contour, _words(seed, vocals, None), _words(seed, vocals, lyrics))


def song_notes(detected: Detected, words: Words, seed: int) -> list[Note]:
    """The notes node and the song node, and what an independent reader finds in the file."""
    inputs = {"words": words, "contour": detected.contour, "audio": detected.mix, "vocals": detected.vocals}
    with tempfile.TemporaryDirectory() as folder:
        notes = _run(Notes(), inputs, Path(folder))["notes"]
        if not notes.notes:
            return []
        file = _run(Song(), {"notes": notes, "audio": Audio.of(np.zeros(64), 8000)}, Path(folder))["song"]
        assert isinstance(file, File)
        return [Note(start, end, midi, text) for start, end, midi, text in read(file.path).timed]


def _run(node: Node, inputs: dict, folder: Path, settings: dict | None = None) -> dict:
    model = node.load(Place())
    try:
        return dict(node.run(model, inputs, Context(item="song", folder=folder, settings=settings or {})))
    finally:
        node.unload(model)


def _folder(step: str, seed: int, *sources: str) -> Path:
    """A folder of the cache, named after the step, the seed and the code that fills it."""
    digest = hashlib.sha256()
    for source in sources:
        for file in sorted((ROOT / source).rglob("*.py")) if (ROOT / source).is_dir() else [ROOT / source]:
            digest.update(file.read_bytes())
    folder = CACHE / f"{step}-{seed}-{digest.hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _sample(seed: int) -> tuple[Truth, Audio]:
    folder = _folder("sample", seed, "nodes/sample")
    file, sound = folder / "truth.json", folder / "mix.wav"
    if not file.exists():
        song = make_song(seed=seed)
        soundfile.write(sound, song.mix.T, RATE, subtype="FLOAT")
        np.save(folder / "pitch.npy", song.truth.pitch)
        file.write_text(json.dumps(_truth_record(song.truth)), encoding="utf-8")
    record = json.loads(file.read_text(encoding="utf-8"))
    notes = tuple(Note(*row) for row in record["notes"])
    words = tuple(Word(*row) for row in record["words"])
    pitch = np.load(folder / "pitch.npy")
    return Truth(notes, words, tuple(record["phrases"]), record["bpm"], record["key"], pitch), Audio.open(sound)


def _truth_record(truth: Truth) -> dict:
    return {
        "notes": [(n.start, n.end, n.midi, n.text) for n in truth.notes],
        "words": [(w.text, w.start, w.end) for w in truth.words],
        "phrases": truth.phrases,
        "bpm": truth.bpm,
        "key": truth.key,
    }


def _contour(seed: int, pitch: str, vocals: Audio) -> Contour:
    source = "nodes/pitch/swift.py" if pitch == "swift_f0" else "nodes/pitch/crepe.py"
    file = _folder(pitch, seed, "nodes/sample", "nodes/separate", source) / "contour.npy"
    if not file.exists():
        made = _run(PITCH[pitch](), {"audio": vocals}, file.parent)["contour"]
        np.save(file, np.stack([made.times, made.hertz, made.confidence]))
    times, hertz, confidence = np.load(file)
    return Contour(times, hertz, confidence)


def _words(seed: int, vocals: Audio, lyrics: str | None) -> Words:
    from nodes.transcribe.pocketsphinx import PocketSphinx

    step = "align" if lyrics else "recognise"
    file = _folder(step, seed, "nodes/sample", "nodes/separate", "nodes/transcribe") / "words.json"
    if not file.exists():
        settings = {"lyrics": lyrics} if lyrics else {}
        made = _run(PocketSphinx(), {"audio": vocals}, file.parent, settings)["words"]
        file.write_text(json.dumps([(w.text, w.start, w.end, w.confidence) for w in made.words]), encoding="utf-8")
    return Words(tuple(Word(*row) for row in json.loads(file.read_text(encoding="utf-8"))))
