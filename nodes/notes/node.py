"""The node that turns words and a pitch contour into notes; `frames` and `segment` find the notes, `syllables` places the words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, cast

from nodes.notes.frames import frames_of
from nodes.notes.music import breaks, key, tempo
from nodes.notes.segment import Costs, segments_of
from nodes.notes.syllables import sing
from pipelines.schema import values
from pipelines.schema.config import Footprint
from pipelines.schema.node import Context, Inputs, Outputs, Plain, Port
from pipelines.schema.units import MIB


class Notes(Plain):
    """Words, pitch and sound to notes. Notes come from what is sung; words give them text and a hint where they begin.

    Takes `words`, `contour`, `audio` (the mix) and `vocals`, at any rate and in any channels; gives `notes` with tempo, key and phrases.
    Consonants and swells, by which a pitch sung twice is two notes, are looked for in `vocals`; without them in the mix, where
    about one more note in ten is missed or made up.
    Licence: Apache-2.0 (this project), ISC (librosa, which finds the tempo). Figures: `footprint` below.

    shortest: the shortest note, at least 0.02 s.
    """

    inputs: ClassVar[Mapping[str, Port]] = {
        "words": Port("words"),
        "contour": Port("contour", "pitch of the singing"),
        "audio": Port("audio", "the mix: its tempo is the song's"),
        "vocals": Port("audio", "the singing alone: where notes begin", optional=True),
    }
    outputs: ClassVar[Mapping[str, Port]] = {"notes": Port("notes")}

    #: At 20, 60, 240 and 600 s of stereo: 57, 90, 167 and 414 MiB above librosa's own 205, and 0.6 to 7.4 s on one core.
    footprint: ClassVar[Footprint] = Footprint(
        workspace={"base": 60 * MIB, "per_second": 640 * 1024},
        seconds={"base": 0.5, "per_second": 0.012},
        # What librosa compiles on its first use on a machine stays in the process; later processes need 120 MiB less.
        context={"librosa": 330 * MIB},
        source="measured 2026-11 on two cores of a server CPU",
    )

    def __init__(self, *, shortest: float = 0.08) -> None:
        self.shortest = shortest

    def run(self, model: None, inputs: Inputs, context: Context) -> Outputs:
        """Notes; none at all where nothing is sung. Raises `TaskFailed` for sound that is empty or has NaN in it."""
        words, contour = cast("values.Words", inputs["words"]), cast("values.Contour", inputs["contour"])
        mix = cast("values.Audio", inputs["audio"])
        frames = frames_of(contour, cast("values.Audio", inputs.get("vocals", mix)), words)
        context.progress(0.3, "listening")
        segments = segments_of(frames, Costs(shortest=max(round(self.shortest * 100), 2)))
        context.progress(0.6, "tempo")
        bpm = tempo(mix)
        notes = sing(segments, words)
        if not notes:
            context.warn(f"Nothing sung was found in {context.item}.")
        return {"notes": values.Notes(tuple(notes), bpm, words.language, key(notes), breaks(notes))}
