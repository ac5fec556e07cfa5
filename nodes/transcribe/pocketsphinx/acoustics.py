"""How well each phone's states explain each frame of a sound, by PocketSphinx's acoustic model.

The library has no call for these scores; it writes them to a log when asked, 10 KB a frame, so they are taken some seconds at a time
and only those of the phones without context are kept: a singer's vowels have little of the context the others were trained in.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pipelines.schema.values import Samples

#: Frames a second, and states of each phone.
RATE, STATES = 100, 3
#: The model's phones in the order of its states; of each phone's states the scores lie side by side.
PHONES = (
    "+NSN+", "+SPN+", "AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F",
    "G", "HH", "IH", "IY", "JH", "K", "L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "SIL", "T",
    "TH", "UH", "UW", "V", "W", "Y", "Z", "ZH",
)  # fmt: skip
#: A score is a negative logarithm to the base 1.0001, its last ten bits cut off. Source: SENSCR_SHIFT of the library.
_NATS = 1024 * math.log(1.0001)
_MAGIC = b"endhdr\n"


class Listener:
    """A decoder that tells its scores. It seeks any phones at all, with beams so narrow that this costs next to nothing."""

    def __init__(self, log: Path) -> None:
        """log: a folder of its own, for 1 MB a second of what it is given at once."""
        import pocketsphinx

        self._log = log
        narrow = dict.fromkeys(("beam", "pbeam", "wbeam"), 1e-2)
        self._decoder: Any = pocketsphinx.Decoder(
            loglevel="FATAL",
            cmn="batch",
            topn=8,
            compallsen=True,
            senlogdir=str(log),
            lm=None,
            dict=None,
            **narrow,
        )
        self._decoder.add_allphone_file("phones")
        self._decoder.activate_search("phones")

    def scores(self, pcm: bytes) -> Samples:
        """[frames, phones * 3] of 16-bit sound at 16 kHz: nats by which each state explains a frame worse than the best does; <= 0."""
        self._decoder.start_utt()
        self._decoder.process_raw(pcm, full_utt=True)
        self._decoder.end_utt()
        logs = list(self._log.iterdir())
        found = [_read(path) for path in logs]
        for path in logs:
            path.unlink()
        return np.concatenate([np.zeros((0, len(PHONES) * STATES), np.float32), *found])


def _read(log: Path) -> Samples:
    header, _, body = log.read_bytes().partition(_MAGIC)
    states = int(header.partition(b"n_sen ")[2].split()[0])
    table = np.frombuffer(body[4:], np.int16).reshape(
        -1, states + 1
    )  # after the byte order; each row begins with its length
    costs = table[:, 1 : 1 + len(PHONES) * STATES].astype(np.float32)
    found: Samples = -_NATS * (costs - costs.min(axis=1, keepdims=True))
    return found
