"""`python -m benchmarks.song`: scores of the whole pipeline on generated songs, as a table and in results/song.json.

Seeds 0 to 19 were tuned on; 100 to 119 are reported. Every figure about notes is of the song file as read back.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.song import score
from benchmarks.song.chain import PITCH, Detected, hear, song_notes
from benchmarks.song.ultrasinger import ultrasinger
from pipelines.schema.values import Note, Words

RESULTS = Path(__file__).parents[1] / "results" / "song.json"
METHODS = ("ours", "UltraSinger's method")
TRANSCRIPTS = ("recognised", "lyrics given")


def notes_row(notes: Sequence[Note], detected: Detected) -> dict[str, float]:
    return {
        "F1 100 ms": score.notes_f1(notes, detected.truth.notes, 0.1),
        "F1 50 ms": score.notes_f1(notes, detected.truth.notes, 0.05),
        "notes pitch accuracy": score.notes_accuracy(notes, detected.truth),
    }


def song_row(seed: int, pitch: str) -> dict[str, Any]:
    """Every score of one song."""
    detected = hear(seed, pitch)
    transcripts: dict[str, Words] = dict(zip(TRANSCRIPTS, (detected.recognised, detected.aligned), strict=True))
    true_words = [score.plain(w.text) for w in detected.truth.words]
    row: dict[str, Any] = {
        "seed": seed,
        "contour pitch accuracy": score.contour_accuracy(detected.contour, detected.truth)[0],
        "word errors": score.word_errors([score.plain(w.text) for w in detected.recognised.words], true_words),
        "words": len(true_words),
        "words within 150 ms": score.words_near(detected.aligned.words, detected.truth.words),
    }
    for name, words in transcripts.items():
        row[f"ours, {name}"] = notes_row(song_notes(detected, words, seed), detected)
        theirs = ultrasinger(words, detected.contour, detected.vocals, detected.mix)
        row[f"UltraSinger's method, {name}"] = notes_row(theirs, detected)
    return row


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over the songs; the word error rate over all words."""
    sides = [f"{method}, {transcript}" for transcript in TRANSCRIPTS for method in METHODS]
    return {
        **{side: {k: float(np.mean([r[side][k] for r in rows])) for k in rows[0][side]} for side in sides},
        "contour pitch accuracy": float(np.mean([r["contour pitch accuracy"] for r in rows])),
        "word error rate": sum(r["word errors"] for r in rows) / sum(r["words"] for r in rows),
        "words within 150 ms": float(np.mean([r["words within 150 ms"] for r in rows])),
    }


def table(found: dict[str, Any]) -> str:
    sides = [name for name, value in found.items() if isinstance(value, dict)]
    columns = list(found[sides[0]])
    lines = ["| notes read back | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    lines += [f"| {side} | " + " | ".join(f"{found[side][c]:.3f}" for c in columns) + " |" for side in sides]
    lines += ["", "| | |", "|---|---:|"]
    lines += [f"| {name} | {value:.3f} |" for name, value in found.items() if not isinstance(value, dict)]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.song", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three songs instead of twenty, nothing written")
    parser.add_argument("--pitch", choices=sorted(PITCH), default="swift_f0")
    parser.add_argument("--first", type=int, default=100, help="the first seed (0 to 19 were tuned on)")
    parser.add_argument("--songs", type=int, default=20)
    given = parser.parse_args()
    count = 3 if given.quick else given.songs
    warnings.simplefilter("ignore")  # librosa's about short inputs would be printed for every song
    rows = []
    for seed in range(given.first, given.first + count):
        began = time.perf_counter()
        rows.append(song_row(seed, given.pitch))
        print(
            f"seed {seed}: F1 {rows[-1]['ours, recognised']['F1 100 ms']:.2f} ({time.perf_counter() - began:.0f} s)",
            flush=True,
        )
    found = summary(rows)
    print("\n" + table(found))
    if not given.quick:
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        record = {
            "pitch": given.pitch,
            "machine": platform.processor() or platform.machine(),
            "summary": found,
            "songs": rows,
        }
        RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
