"""Make a song with known notes, words and times: sung by a synthesised voice, nothing is downloaded.

headroom sample                          into outputs/sample
headroom sample --melody list            the melodies
headroom sample --melody grace --seed 3 --out songs/grace
headroom sample --count 5 --out songs    songs/0, songs/1, ...
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pipelines.cli.main import no_rest
from pipelines.schema.errors import SurroundingsFailed, UsageError, did_you_mean


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `headroom sample`."""
    parser.add_argument("--out", type=Path, default=Path("outputs/sample"), metavar="FOLDER",
                        help="where song.wav, truth.json and lyrics.txt go; default outputs/sample")  # fmt: skip
    parser.add_argument("--melody", metavar="NAME", help="`list` shows them; default: the seed chooses")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the same seed makes the same song; default 0")
    parser.add_argument("--tempo", type=float, metavar="BPM", help="quarter notes a minute; default: the seed chooses")
    parser.add_argument("--voice", metavar="NAME", help="f1 to f4, m1, m2, m3 or m7; default: the seed chooses")
    parser.add_argument(
        "--seconds", type=float, default=20.0, metavar="S", help="about how long; whole phrases are sung; default 20"
    )
    parser.add_argument("--count", type=int, default=1, metavar="N", help="how many songs, with seeds from --seed on")
    parser.add_argument("--form", choices=("wav", "flac", "ogg"), default="wav", help="the kind of file; default wav")


def main(args: argparse.Namespace, rest: list[str]) -> int:
    """Write the song or songs and say where."""
    no_rest(rest, "sample")
    from nodes.sample.melodies import MELODIES
    from nodes.sample.song import VOICES, write_sample

    if args.melody == "list":
        print("\n".join(MELODIES))
        return 0
    if args.voice is not None and args.voice not in VOICES:
        raise UsageError(f"There is no voice {args.voice!r}. {did_you_mean(args.voice, VOICES)}")
    if not 1 <= args.count <= 10_000 or not 1 <= args.seconds <= 3600 or args.seed < 0:
        raise UsageError("--count must be 1 to 10,000, --seconds 1 to 3600 and --seed at least 0.")
    for index in range(args.count):
        folder = args.out if args.count == 1 else args.out / str(index)
        try:
            made = write_sample(
                folder, melody=args.melody, seed=args.seed + index, tempo=args.tempo, voice=args.voice,
                seconds=args.seconds, form=args.form,
            )  # fmt: skip
        except OSError as error:
            raise SurroundingsFailed(
                f"{folder} cannot be written ({error.strerror or error}). Choose another with --out."
            ) from error
        print(f"{made.audio}  (truth: {made.truth.name}, words: {made.lyrics.name})")
    return 0
