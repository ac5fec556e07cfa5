"""The roles a pipeline may ask for, and the ports every variant of a role must have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.schema.node import Port


@dataclass(frozen=True, slots=True)
class Role:
    """What a step of this kind takes and gives, whichever variant does it."""

    name: str
    about: str
    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]


_VOICE = Port("audio", "a reference recording of the voice", optional=True)

ROLES: dict[str, Role] = {
    role.name: role
    for role in (
        Role(
            "separate",
            "separates a mix into singing and the rest",
            {"audio": Port("audio", "the mix")},
            {"vocals": Port("audio", "the singing"), "instrumental": Port("audio", "the rest")},
        ),
        Role("transcribe", "recognises words and their times", {"audio": Port("audio")}, {"words": Port("words")}),
        Role("pitch", "tracks the fundamental frequency", {"audio": Port("audio")}, {"contour": Port("contour")}),
        Role(
            "speak",
            "says a text",
            {
                "text": Port("text"),
                "voice": _VOICE,
                "voice_words": Port(
                    "words", "what the reference says and when, for models that must know", optional=True
                ),
            },
            {"audio": Port("audio", "speech"), "words": Port("words", "the lines of the text and when each is said")},
        ),
        Role(
            "convert",
            "replaces the voice of a recording",
            {"audio": Port("audio"), "voice": _VOICE},
            {"audio": Port("audio", "the same words in the other voice")},
        ),
    )
}
