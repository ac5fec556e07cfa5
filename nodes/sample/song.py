"""`write_sample`: a short song made here, with the notes, words, times and pitch that were sung written beside it."""

from __future__ import annotations

import bisect
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nodes.sample.accompany import accompany, harmony
from nodes.sample.melodies import MELODIES, Melody, Sung, score_line
from nodes.sample.sing import HOP, LONGEST_CLUSTER, Line, Tone, lay_out, render
from nodes.sample.speech import Spoken, speak
from pipelines.schema.errors import UsageError, did_you_mean
from pipelines.schema.values import Note, Word

RATE = 44100
VOICES = ("f2", "m3", "f3", "m1", "f4", "m7", "f1", "m2")
_COUNT_IN_BARS, _TAIL_SECONDS, _BREATH = 1, 1.0, 0.12
_CENTRES = {"f": 66, "m": 56}


@dataclass(frozen=True, eq=False)
class Truth:
    """What was sung. Times in seconds of the audio; `pitch` hertz every `HOP` seconds, 0 where nothing voiced sounds.

    A note begins with its vowel, a word with its first consonant. `phrases` are the indices of the notes that begin a phrase.
    """

    notes: tuple[Note, ...]
    words: tuple[Word, ...]
    phrases: tuple[int, ...]
    bpm: float
    key: str
    pitch: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Song:
    """A song in memory: float32 [2, frames] at `RATE`, the voice and the band apart (their sum is the mix)."""

    title: str
    voice: str
    seed: int
    vocals: NDArray[np.float32]
    band: NDArray[np.float32]
    truth: Truth

    @property
    def mix(self) -> NDArray[np.float32]:
        """Voice and band together, float32 [2, frames]."""
        return self.vocals + self.band


@dataclass(frozen=True, slots=True)
class Sample:
    """Where a written song lies."""

    audio: Path
    truth: Path
    lyrics: Path


def write_sample(
    folder: Path,
    *,
    melody: str | None = None,
    seed: int = 0,
    tempo: float | None = None,
    voice: str | None = None,
    seconds: float = 20.0,
    form: str = "wav",
) -> Sample:
    """Make a song as `make_song` does and write `song.<form>` (`wav`, `flac` or `ogg`), `truth.json` and `lyrics.txt`.

    The same arguments give the same sound (and, but for `ogg`, whose streams are numbered at random, the same bytes).
    """
    import soundfile

    song = make_song(melody=melody, seed=seed, tempo=tempo, voice=voice, seconds=seconds)
    folder.mkdir(parents=True, exist_ok=True)
    sample = Sample(folder / f"song.{form}", folder / "truth.json", folder / "lyrics.txt")
    soundfile.write(sample.audio, song.mix.T, RATE, subtype="VORBIS" if form == "ogg" else "PCM_16")
    sample.truth.write_text(json.dumps(truth_json(song), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sample.lyrics.write_text(lyrics_of(song.truth) + "\n", encoding="utf-8")
    return sample


def make_song(
    *,
    melody: str | None = None,
    seed: int = 0,
    tempo: float | None = None,
    voice: str | None = None,
    seconds: float = 20.0,
) -> Song:
    """Sing a melody against a band at equal loudness. What is not given is drawn from `seed`: the melody, its tempo (up to a
    tenth off the usual), the key, the voice (`f1`-`f5`, `m1`-`m8` of espeak-ng), vibrato and glides.

    Whole phrases are sung, at least one, to end as near to `seconds` as can be; UsageError for an unknown melody or an impossible tempo.
    """
    random = np.random.default_rng(seed)
    drawn = (
        random.permutation(list(MELODIES))[0],
        float(random.uniform(0.9, 1.1)),
        VOICES[int(random.integers(len(VOICES)))],
    )
    name, voice = melody or str(drawn[0]), voice or drawn[2]
    if name not in MELODIES:
        raise UsageError(f"There is no melody {name!r}. {did_you_mean(name, MELODIES)}")
    tune = MELODIES[name]
    bpm = round(tune.bpm * drawn[1] if tempo is None else tempo, 2)
    if not 40 <= bpm <= 240:
        raise UsageError(f"A tempo of {bpm:g} beats a minute cannot be sung; give one from 40 to 240.")
    score, phrases, beats = _phrases_within(tune, seconds, bpm)
    score, tonic = _transposed(score, tune, voice, int(random.integers(-2, 3)))
    vocals, truth = _sing(score, phrases, tune, tonic, bpm, voice, seed)
    bars = int(np.ceil(beats / tune.meter))
    chords = harmony([_moved(n, 0, -_COUNT_IN_BARS * tune.meter) for n in score], tonic, tune.meter, bars)
    band = accompany([chords[0]] * _COUNT_IN_BARS + chords, tune.meter, bpm, vocals.shape[0] / RATE, RATE, seed)
    return _mixed(tune.title, voice, seed, vocals, band, truth)


def _moved(note: Sung, semitones: int, beats: float) -> Sung:
    return Sung(note.beat + beats, note.length, note.midi + semitones, note.text)


def _phrases_within(tune: Melody, seconds: float, bpm: float) -> tuple[list[Sung], list[int], float]:
    """Whole lines, the tune repeated as needed, to end as near to `seconds` as can be; notes count from the count-in's start."""
    lead = float(_COUNT_IN_BARS * tune.meter)
    room = (seconds - _TAIL_SECONDS) * bpm / 60
    score: list[Sung] = []
    phrases: list[int] = []
    beat = lead
    for words, notes in tune.lines * 8:
        line, after = score_line(words, notes, beat)
        if score and after - room > room - beat:
            break
        phrases.append(len(score))
        score += line
        beat = after
    return score, phrases, beat - lead


def _transposed(score: list[Sung], tune: Melody, voice: str, shift: int) -> tuple[list[Sung], int]:
    """Into the voice's range, then `shift` semitones off it; and the tonic's pitch class there."""
    middle = round(float(np.median([n.midi for n in score])))
    by = _CENTRES.get(voice[:1], 60) + shift - middle
    return [_moved(n, by, 0) for n in score], (tune.tonic + by) % 12


def _sing(
    score: list[Sung], phrases: list[int], tune: Melody, tonic: int, bpm: float, voice: str, seed: int
) -> tuple[NDArray[np.float64], Truth]:
    """The voice as float64 [frames] at `RATE`, and what it sang."""
    import soxr

    tones = _tones(score, phrases, bpm)
    groups = _words(score)
    texts = ["".join(score[i].text for i in g if score[i].text != "~").strip() for g in groups]
    spoken = speak(texts, f"en-us+{voice}")
    lines = _lay_out_all(spoken, [[tones[i] for i in g] for g in groups])
    seconds = tones[-1].end + _TAIL_SECONDS
    sung, pitch = render(lines, tones, seconds, spoken[0].rate, seed)
    ends = {g[-1]: _last_sound(pitch, tones[g[-1]].start, line.end) for g, line in zip(groups, lines, strict=True)}
    notes = tuple(Note(t.start, ends.get(i, t.end), t.midi, score[i].text) for i, t in enumerate(tones))
    words = tuple(Word(text, line.start, line.end) for text, line in zip(texts, lines, strict=True))
    names = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
    truth = Truth(notes, words, tuple(phrases), bpm, f"{names[tonic]} {tune.key.split()[1]}", pitch)
    return soxr.resample(sung, spoken[0].rate, RATE), truth


def _last_sound(pitch: NDArray[np.float64], start: float, end: float) -> float:
    """The end of the last voiced frame between `start` and `end`."""
    first = int(start / HOP)
    voiced = np.flatnonzero(pitch[first : int(end / HOP)])
    return (first + int(voiced[-1]) + 1) * HOP if len(voiced) else end


def _tones(score: list[Sung], phrases: list[int], bpm: float) -> list[Tone]:
    """Beats as seconds; the last note of a phrase gives a little of its time for a breath."""
    beat = 60 / bpm
    last = {index - 1 for index in phrases} | {len(score) - 1}
    return [
        Tone(n.beat * beat, (n.beat + n.length) * beat - (_BREATH if i in last else 0.0), n.midi, n.text == "~")
        for i, n in enumerate(score)
    ]


def _words(score: list[Sung]) -> list[list[int]]:
    """The indices of each word's notes."""
    groups: list[list[int]] = []
    for index, note in enumerate(score):
        if note.text.startswith(" "):
            groups.append([])
        groups[-1].append(index)
    return groups


def _lay_out_all(spoken: Sequence[Spoken], words: Sequence[Sequence[Tone]]) -> list[Line]:
    """Each word given the time its consonants need: first those before its vowel, which the word before makes room for."""
    lines: list[Line] = []
    onsets = [min(_onset(s), LONGEST_CLUSTER) for s in spoken]
    for index, (sound, tones) in enumerate(zip(spoken, words, strict=True)):
        before = tones[0].start - (lines[-1].end if lines else 0.0)
        following = words[index + 1][0].start - onsets[index + 1] if index + 1 < len(words) else np.inf
        lines.append(lay_out(sound, tones, max(before, 0.0), min(following - tones[-1].end, 0.0)))
    return lines


def _onset(spoken: Spoken) -> float:
    """Seconds of consonants before the first vowel."""
    vowel = next((p.start for p in spoken.phonemes if p.vowel), spoken.phonemes[0].start)
    return vowel - spoken.phonemes[0].start


def _mixed(
    title: str, voice: str, seed: int, vocals: NDArray[np.float64], band: NDArray[np.float64], truth: Truth
) -> Song:
    """Voice in the centre and band at equal power while the voice sounds, together just under full scale."""
    frames = min(len(vocals), band.shape[1])
    sung = np.stack([vocals[:frames]] * 2)
    played = band[:, :frames]
    active = np.abs(sung[0]) > 0.02 * np.abs(sung[0]).max()
    played = played * np.sqrt(np.mean(sung[:, active] ** 2) / np.mean(played[:, active] ** 2))
    scale = 0.89 / np.abs(sung + played).max()
    return Song(title, voice, seed, (sung * scale).astype(np.float32), (played * scale).astype(np.float32), truth)


def lyrics_of(truth: Truth) -> str:
    """The words, a phrase a line."""
    starts = [truth.notes[i].start for i in truth.phrases[1:]]
    lines: list[list[str]] = [[] for _ in truth.phrases]
    for word in truth.words:
        middle = (word.start + word.end) / 2
        lines[bisect.bisect_right(starts, middle)].append(word.text)
    return "\n".join(" ".join(line) for line in lines)


def truth_json(song: Song) -> dict[str, Any]:
    """`truth.json`: seconds, MIDI numbers, hertz; `syllable` begins with a space where a word begins, `~` holds the last one."""
    truth = song.truth
    return {
        "schema": "headroom/sample/1",
        "title": song.title,
        "voice": song.voice,
        "seed": song.seed,
        "language": "en",
        "bpm": truth.bpm,
        "key": truth.key,
        "seconds": round(song.mix.shape[1] / RATE, 6),
        "notes": [
            {"start": round(n.start, 6), "end": round(n.end, 6), "midi": n.midi, "syllable": n.text}
            for n in truth.notes
        ],
        "words": [{"text": w.text, "start": round(w.start, 6), "end": round(w.end, 6)} for w in truth.words],
        "phrases": list(truth.phrases),
        "pitch": {"hop": HOP, "hertz": [round(float(h), 2) for h in truth.pitch]},
    }
