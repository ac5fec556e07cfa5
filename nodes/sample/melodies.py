"""Public-domain melodies with public-domain words, as text, and their reader.

A line is a phrase: its words, syllables joined by hyphens, and its notes. A note is `E4/1.5` (pitch / quarter notes, one where
unsaid); notes joined by `+` share a syllable; `r/1` is a rest. Words are all from before 1915 and their authors died before 1935.
"""

from __future__ import annotations

from dataclasses import dataclass

_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


@dataclass(frozen=True, slots=True)
class Sung:
    """One note of a score: `beat` from the beginning and `length` in quarter notes; `text` as in `values.Note`."""

    beat: float
    length: float
    midi: int
    text: str


@dataclass(frozen=True, slots=True)
class Melody:
    """A tune: `meter` quarter notes a bar, `bpm` its usual tempo, `key` like `C major`, `lines` as the module says."""

    title: str
    key: str
    meter: int
    bpm: float
    lines: tuple[tuple[str, str], ...]

    @property
    def tonic(self) -> int:
        """The key's pitch class, 0 for C."""
        return pitch_of(self.key.split()[0] + "4") % 12


def pitch_of(name: str) -> int:
    """The MIDI number of a note name; C4 is 60.

    >>> pitch_of("F#4"), pitch_of("Bb3")
    (66, 58)
    """
    shift = name.count("#") - name[1:].count("b")
    return _STEPS[name[0]] + shift + 12 * (int(name[-1]) + 1)


def syllables_of(words: str) -> list[str]:
    """The syllables of a line, each with a leading space where a word begins.

    >>> syllables_of("Twin-kle star")
    [' Twin', 'kle', ' star']
    """
    return [
        (" " if first else "") + part
        for word in words.split()
        for first, part in zip([True] + [False] * word.count("-"), word.split("-"), strict=True)
    ]


def score_line(words: str, notes: str, beat: float) -> tuple[list[Sung], float]:
    """The notes of one line that begins at `beat`, and the beat it ends on.

    >>> [n.text for n in score_line("how sweet", "A4 r/1 G4/1.5+E4/.5", 0)[0]]
    [' how', ' sweet', '~']
    """
    sung: list[Sung] = []
    waiting = syllables_of(words)
    for token in notes.split():
        pieces = [(part.partition("/")[0], float(part.partition("/")[2] or 1)) for part in token.split("+")]
        text = "" if pieces[0][0] == "r" else waiting.pop(0)
        for index, (name, length) in enumerate(pieces):
            if name != "r":
                sung.append(Sung(beat, length, pitch_of(name), "~" if index else text))
            beat += length
    if waiting:
        raise ValueError(f"The line {words!r} has more syllables than notes.")
    return sung, beat


MELODIES: dict[str, Melody] = {
    "twinkle": Melody(
        "Twinkle, Twinkle, Little Star",
        "C major",
        4,
        100,
        (
            ("Twin-kle twin-kle lit-tle star", "C4 C4 G4 G4 A4 A4 G4/2"),
            ("How I won-der what you are", "F4 F4 E4 E4 D4 D4 C4/2"),
            ("Up a-bove the world so high", "G4 G4 F4 F4 E4 E4 D4/2"),
            ("Like a dia-mond in the sky", "G4 G4 F4 F4 E4 E4 D4/2"),
            ("Twin-kle twin-kle lit-tle star", "C4 C4 G4 G4 A4 A4 G4/2"),
            ("How I won-der what you are", "F4 F4 E4 E4 D4 D4 C4/2"),
        ),
    ),
    "grace": Melody(
        "Amazing Grace",
        "G major",
        3,
        96,
        (
            ("A-ma-zing grace how sweet the sound", "r/2 D4 G4/2 B4/.5+G4/.5 B4/2 A4 G4/2 E4 D4/2"),
            ("That saved a wretch like me", "D4 G4/2 B4/.5+G4/.5 B4/2 A4 D5/4 r/1"),
            ("I once was lost but now am found", "B4 D5/2 D5/.5+B4/.5 G4/2 D4 E4/2 G4/.5+E4/.5 D4/2"),
            ("Was blind but now I see", "D4 G4/2 B4/.5+G4/.5 B4/2 A4 G4/4 r/2"),
        ),
    ),
    "row": Melody(
        "Row, Row, Row Your Boat",
        "C major",
        3,
        120,
        (
            ("Row row row your boat", "C4/1.5 C4/1.5 C4/1 D4/.5 E4/1.5"),
            ("Gent-ly down the stream", "E4/1 D4/.5 E4/1 F4/.5 G4/2.5 r/.5"),
            (
                "Mer-ri-ly mer-ri-ly mer-ri-ly mer-ri-ly",
                "C5/.5 C5/.5 C5/.5 G4/.5 G4/.5 G4/.5 E4/.5 E4/.5 E4/.5 C4/.5 C4/.5 C4/.5",
            ),
            ("Life is but a dream", "G4/1 F4/.5 E4/1 D4/.5 C4/2.5 r/.5"),
        ),
    ),
    "lamb": Melody(
        "Mary Had a Little Lamb",
        "C major",
        4,
        112,
        (
            ("Ma-ry had a lit-tle lamb", "E4/1.5 D4/.5 C4 D4 E4 E4 E4/2"),
            ("lit-tle lamb lit-tle lamb", "D4 D4 D4/2 E4 G4 G4/2"),
            ("Ma-ry had a lit-tle lamb its", "E4/1.5 D4/.5 C4 D4 E4 E4 E4 E4"),
            ("fleece was white as snow", "D4 D4 E4 D4 C4/3 r/1"),
        ),
    ),
    "bridge": Melody(
        "London Bridge",
        "C major",
        4,
        116,
        (
            ("Lon-don Bridge is fal-ling down", "G4/1.5 A4/.5 G4 F4 E4 F4 G4/2"),
            ("Fal-ling down fal-ling down", "D4 E4 F4/2 E4 F4 G4/2"),
            ("Lon-don Bridge is fal-ling down", "G4/1.5 A4/.5 G4 F4 E4 F4 G4/2"),
            ("My fair la-dy", "D4/2 G4/2 E4/1 C4/2 r/1"),
        ),
    ),
    "joyful": Melody(
        "Joyful, Joyful, We Adore Thee",
        "D major",
        4,
        108,
        (
            ("Joy-ful joy-ful we a-dore thee", "F#4 F#4 G4 A4 A4 G4 F#4 E4"),
            ("God of glo-ry Lord of love", "D4 D4 E4 F#4 F#4/1.5 E4/.5 E4/1.75 r/.25"),
            ("Hearts un-fold like flowers be-fore thee", "F#4 F#4 G4 A4 A4 G4 F#4 E4"),
            ("O-pening to the sun a-bove", "D4 D4 E4 F#4 E4/1.5 D4/.5 D4/1.75 r/.25"),
        ),
    ),
    "syne": Melody(
        "Auld Lang Syne",
        "F major",
        4,
        92,
        (
            ("Should old ac-quain-tance be for-got", "r/3 C4 F4/1.5 F4/.5 F4 A4 G4/1.5 F4/.5 G4"),
            ("And ne-ver brought to mind", "A4 F4/1.5 F4/.5 A4 C5 D5/2.5 r/.5"),
            ("Should old ac-quain-tance be for-got", "D5 C5/1.5 A4/.5 A4 F4 G4/1.5 F4/.5 G4"),
            ("And days of long a-go", "A4 F4/1.5 D4/.5 D4 C4 F4/3"),
        ),
    ),
    "jingle": Melody(
        "Jingle Bells",
        "G major",
        4,
        120,
        (
            ("Jin-gle bells jin-gle bells", "B4 B4 B4/2 B4 B4 B4/2"),
            ("Jin-gle all the way", "B4 D5 G4/1.5 A4/.5 B4/3 r/1"),
            ("Oh what fun it is to ride in a", "C5 C5 C5/1.5 C5/.5 C5 B4 B4 B4/.5 B4/.5"),
            ("One horse o-pen sleigh", "D5 D5 C5 A4 G4/3 r/1"),
        ),
    ),
    "susanna": Melody(
        "Oh! Susanna",
        "C major",
        4,
        112,
        (
            ("Oh Su-san-na oh don't you cry for me", "F4/2 F4/2 A4 A4/2 A4 G4 G4 E4 C4 D4/2.5 r/.5"),
            ("For I come from A-la-ba-ma", "C4/.5 D4/.5 E4 G4 G4/1.5 A4/.5 G4 E4"),
            ("With my ban-jo on my knee", "C4/1.5 D4/.5 E4 E4 D4 D4 C4/3 r/1"),
        ),
    ),
    "silent": Melody(
        "Silent Night",
        "C major",
        3,
        88,
        (
            ("Si-lent night ho-ly night", "G4/1.5+A4/.5 G4 E4/2.5 r/.5 G4/1.5+A4/.5 G4 E4/2.5 r/.5"),
            ("All is calm all is bright", "D5/2 D5 B4/2.5 r/.5 C5/2 C5 G4/2.5 r/.5"),
            ("Round yon vir-gin mo-ther and child", "A4/2 A4 C5/1.5+B4/.5 A4 G4/1.5 A4/.5 G4 E4/2.5 r/.5"),
            ("Ho-ly in-fant so ten-der and mild", "A4/2 A4 C5/1.5 B4/.5 A4 G4/1.5 A4/.5 G4 E4/2.5 r/.5"),
        ),
    ),
    "king": Melody(
        "Good King Wenceslas",
        "G major",
        4,
        116,
        (
            ("Good King Wen-ces-las looked out", "G4 G4 G4 A4 G4 G4 D4/2"),
            ("On the feast of Ste-phen", "E4 D4 E4 F#4 G4/2 G4/1.5 r/.5"),
            ("When the snow lay round a-bout", "G4 G4 G4 A4 G4 G4 D4/2"),
            ("Deep and crisp and e-ven", "E4 D4 E4 F#4 G4/2 G4/1.5 r/.5"),
            ("Bright-ly shone the moon that night", "D5 C5 B4 A4 B4 A4 G4/2"),
            ("Though the frost was cru-el", "E4 D4 E4 F#4 G4/2 G4/1.5 r/.5"),
        ),
    ),
    "bonnie": Melody(
        "My Bonnie Lies over the Ocean",
        "C major",
        3,
        120,
        (
            ("My Bon-nie lies o-ver the o-cean", "r/2 G4 E5 D5 C5 D5 C5 A4 G4 E4/2.5 r/1.5"),
            ("My Bon-nie lies o-ver the sea", "G4 E5 D5 C5 C5 B4 C5 D5/3.5 r/1.5"),
            ("My Bon-nie lies o-ver the o-cean", "G4 E5 D5 C5 D5 C5 A4 G4 E4/2.5 r/1.5"),
            ("Oh bring back my Bon-nie to me", "G4 A4 D5 C5 B4 A4 B4 C5/4 r/1"),
        ),
    ),
}
