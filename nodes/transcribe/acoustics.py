"""How well each phone's states explain each frame of a sound, by PocketSphinx's acoustic model. Knows nothing of words.

The library has no call for these scores; it writes them to a log when asked, 10 KB a frame, so they are taken some seconds at a time
and only those of the phones without context are kept: a singer's vowels have little of the context the others were trained in.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from nodes.transcribe.stretches import Tape
    from pipelines.schema.values import Samples

#: Frames a second, and states of each phone.
RATE, STATES = 100, 3
#: The model's phones in the order of its states; of each phone's states the scores lie side by side.
PHONES = (
    "+NSN+", "+SPN+", "AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F",
    "G", "HH", "IH", "IY", "JH", "K", "L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "SIL", "T",
    "TH", "UH", "UW", "V", "W", "Y", "Z", "ZH",
)  # fmt: skip
#: Seconds scored at once, which are 20 MB of log.
_BLOCK = 20.0
#: A score is a negative logarithm to the base 1.0001, its last ten bits cut off. Source: SENSCR_SHIFT of the library.
_NATS = 1024 * math.log(1.0001)
_MAGIC = b"endhdr\n"


def scores(tape: Tape, start: float, end: float) -> Samples:
    """[frames, phones * 3] of the seconds [start, end): nats by which each state explains a frame worse than the best does; <= 0."""
    parts = [np.zeros((0, len(PHONES) * STATES), np.float32)]
    with tempfile.TemporaryDirectory(prefix="headroom-") as folder:
        decoder = _listener(Path(folder))
        while start < end:
            stop = end if end - start < 1.5 * _BLOCK else start + _BLOCK
            parts.append(_block(decoder, tape.pcm(start, stop), Path(folder), round((stop - start) * RATE)))
            start = stop
    return np.concatenate(parts)


def _listener(log: Path) -> Any:
    """A decoder that logs its scores. It seeks any phones at all, with beams so narrow that this costs next to nothing."""
    import pocketsphinx

    narrow = dict.fromkeys(("beam", "pbeam", "wbeam"), 1e-2)
    decoder = pocketsphinx.Decoder(
        loglevel="FATAL", cmn="batch", topn=8, compallsen=True, senlogdir=str(log), lm=None, dict=None, **narrow
    )
    decoder.add_allphone_file("phones")
    decoder.activate_search("phones")
    return decoder


def _block(decoder: Any, pcm: bytes, log: Path, frames: int) -> Samples:
    """The scores of one block: as many as `frames`, the last repeated where the library gives fewer."""
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()
    (path,) = log.iterdir()
    header, _, body = path.read_bytes().partition(_MAGIC)
    path.unlink()
    states = int(header.partition(b"n_sen ")[2].split()[0])
    table = np.frombuffer(body[4:], np.int16).reshape(
        -1, states + 1
    )  # after the byte order; each row begins with its length
    kept = table[:, 1 : 1 + len(PHONES) * STATES].astype(np.float32)
    found: Samples = -_NATS * (kept - kept.min(axis=1, keepdims=True))
    return np.pad(found, ((0, frames - len(found)), (0, 0)), "edge") if len(found) else found
