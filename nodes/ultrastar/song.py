"""The node that makes a song for a karaoke game: `song.txt` and its audio beside it, in the folder of the task."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, cast

from nodes.audio.reading import checked
from nodes.ultrastar.write import one_line, song_text
from pipelines.schema.config import Footprint
from pipelines.schema.errors import TaskFailed
from pipelines.schema.names import safe_name
from pipelines.schema.node import Context, Inputs, Outputs, Plain, Port
from pipelines.schema.units import MIB
from pipelines.schema.values import Audio, File, Notes

#: What the games' players open; anything else is written anew as FLAC.
PLAYABLE = (".mp3", ".ogg", ".oga", ".m4a", ".aac", ".opus", ".flac", ".wav", ".webm", ".mp4")
_PICTURES = (".jpg", ".jpeg", ".png", ".webp")
_BLOCK_FRAMES = 1 << 16


class Song(Plain):
    """Notes and audio to an UltraStar song. Settings of the item used: artist, title, year, genre, language, cover, creator.

    Takes `notes` and `audio`, what is played; gives `song`, the file song.txt with the audio, and a cover where there is one, beside it.
    A file is copied as it is where games can play it; sound in memory becomes FLAC, whose bytes are the same every time (an Ogg
    file has a number in it that its library draws).
    Licence: Apache-2.0 (this project). Figures: `footprint` below.
    """

    inputs: ClassVar[Mapping[str, Port]] = {"notes": Port("notes"), "audio": Port("audio", "what is played: the mix")}
    outputs: ClassVar[Mapping[str, Port]] = {"song": Port("file", "song.txt, the audio beside it")}

    #: Copying takes nothing worth naming; writing a minute of stereo from memory as FLAC took 0.13 s.
    footprint: ClassVar[Footprint] = Footprint(
        workspace={"base": 2 * MIB},
        seconds={"base": 0.05, "per_second": 0.03},
        source="measured 2026-11 on two cores of a server CPU, as Ogg, which takes longer",
    )

    def run(self, model: None, inputs: Inputs, context: Context) -> Outputs:
        """Write both files. `TaskFailed` where there is no note to sing."""
        notes, audio = cast("Notes", inputs["notes"]), cast("Audio", inputs["audio"])
        if not notes.notes:
            raise TaskFailed(
                f"No sung note was found in {context.item}: check that it has singing, or pin another pitch model."
            )
        artist, title = names(context.settings, context.item)
        context.folder.mkdir(parents=True, exist_ok=True)
        stem = safe_name(f"{artist} - {title}" if artist else title, "song")
        sound = _place_audio(audio, context.folder, stem)
        picture = _place_cover(context.settings.get("cover"), context.folder, stem)
        text = song_text(notes, _headers(artist, title, sound, picture, context.settings))
        path = context.folder / "song.txt"
        path.write_text(text, encoding="utf-8", newline="\n")
        return {"song": File(path, beside=(sound, *((picture,) if picture else ())))}


def _place_audio(audio: Audio, folder: Path, stem: str) -> Path:
    if audio.path is not None and audio.path.suffix.lower() in PLAYABLE:
        target = folder / (stem + audio.path.suffix.lower())
        shutil.copyfile(audio.path, target)
        return target
    return _encode(audio, folder / f"{stem}.flac")


def _encode(audio: Audio, target: Path) -> Path:
    """Block by block: a long track need not fit in memory."""
    import soundfile

    with soundfile.SoundFile(target, "w", audio.rate, audio.channels, "PCM_16", format="FLAC") as file:
        for start in range(0, max(audio.frames, 1), _BLOCK_FRAMES):
            file.write(checked(audio, "The song's sound", start, start + _BLOCK_FRAMES).T)
    return target


def names(settings: Mapping[str, Any], item: str) -> tuple[str, str]:
    """Artist ("" if unknown) and title: the settings', or what an item called `Artist - Title` says.

    >>> names({}, "Newton - Amazing Grace")
    ('Newton', 'Amazing Grace')
    """
    before, dash, after = item.partition(" - ")
    guessed = (before, after) if dash and before.strip() and after.strip() else ("", item)
    artist, title = settings.get("artist") or guessed[0], settings.get("title") or guessed[1]
    return one_line(str(artist)), one_line(str(title)) or "Untitled"


def _place_cover(cover: Any, folder: Path, stem: str) -> Path | None:
    """A copy of the picture the settings name, if it is one."""
    source = Path(str(cover)).expanduser() if cover else None
    if source is None:
        return None
    if source.suffix.lower() not in _PICTURES or not source.is_file():
        raise TaskFailed(f"The cover {str(cover)!r} is not a picture file ({', '.join(_PICTURES)}). Check cover=.")
    return Path(shutil.copyfile(source, folder / f"{stem} [CO]{source.suffix.lower()}"))


def _headers(artist: str, title: str, sound: Path, picture: Path | None, settings: Mapping[str, Any]) -> dict[str, str]:
    """`#MP3` serves readers before version 1.1, `#AUDIO` those after."""
    return {
        "VERSION": "1.1.0",
        "TITLE": title,
        "ARTIST": artist or "Unknown Artist",
        "MP3": sound.name,
        "AUDIO": sound.name,
        "COVER": picture.name if picture else "",
        "GENRE": str(settings.get("genre", "")),
        "YEAR": str(settings.get("year", "")),
        "CREATOR": str(settings.get("creator", "Headroom")),
    }
