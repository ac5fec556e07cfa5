"""The help pages: what each verb is for, examples to copy, its flags, and the settings that matter, in 80 columns."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Sequence

WIDTH = 79

#: Verbs that build a pipeline, and those that only read the config tree or nothing at all.
_BUILDING = ("run", "plan", "explain", "fit")
_READING = ("list", "detect", "measure", "weights")

_SETTINGS = """\
settings (Hydra overrides, in any order; `--cfg job` shows all of them):
  pipeline=NAME         what to do; `headroom list pipelines` has the names
  input=FILE            a sound file, glob, folder, or a .csv or .jsonl table
  text="..."            for pipelines that begin with words instead of sound
  tier=NAME             what of the device may be used; tier.limit=3GiB says it
  device=auto           cpu, cuda, or simulated with device.name="RTX 3060"
  model/ROLE=VARIANT    pin a variant; what is not pinned the plan chooses
  seed=N  lyrics=FILE  language=en  outputs_dir=FOLDER  offline=true
  -cd FOLDER            your own config folder; its files come before ours"""

_FEWER = """\
settings (Hydra overrides, in any order):
  weights_dir=FOLDER    where local checkpoints lie
  device=simulated device.name="RTX 3060"
  -cd FOLDER            your own config folder; its files come before ours"""

_EXAMPLES = (
    ("headroom sample", "make a song to try"),
    ("headroom plan pipeline=ultrasinger input=song.ogg", "see the peak first"),
    ("headroom run pipeline=ultrasinger input=song.ogg", "make the song file"),
    ("headroom run -m pipeline=ultrasinger input=song.ogg tier=low_end,modest", ""),
)

_CODES = """\
Exit codes: 0 ok, 1 a task failed, 2 usage or configuration, 3 graph, problem
or plan invalid, 4 does not fit, 5 out of memory, 6 the surroundings failed,
7 a comparison differs, 130/143 interrupted."""


def overview(verbs: dict[str, str]) -> str:
    """The page of `headroom --help`."""
    width = max(map(len, verbs))
    return "\n\n".join(
        [
            "usage: headroom <verb> [flags] [setting=value ...]",
            "Runs pipelines of audio models with the peak of device memory planned,\nproved and held.",
            "\n".join(f"  {name:<{width}}  {about}" for name, about in verbs.items()),
            _filled(
                "After a verb's own flags come settings (pipeline=ultrasinger tier=modest input=song.ogg seed=1) and "
                "Hydra's flags: -m sweeps over values with commas, --cfg job shows the config, -cd FOLDER adds your own."
            ),
            examples(_EXAMPLES),
            _CODES,
            "`headroom <verb> --help` says more of each.",
        ]
    )


def epilog(verb: str) -> str:
    """The settings that matter to a verb."""
    return _SETTINGS if verb in _BUILDING else _FEWER if verb in _READING else ""


def usage(parser: argparse.ArgumentParser, verb: str) -> str:
    """argparse's own usage, with the settings that it does not know of."""
    own = parser.format_usage().removeprefix("usage: ").rstrip()
    if not epilog(verb):
        return own
    indent = " " * len(f"usage: headroom {verb} ")
    last = own.rsplit("\n", 1)[-1]
    more = "[setting=value ...]"
    return f"{own} {more}" if len(last) + len(more) + 8 <= WIDTH else f"{own}\n{indent}{more}"


def description(docstring: str) -> str:
    """A module's docstring as a page: paragraphs filled, lines that begin with `headroom` as a table of examples."""
    parts = [part.strip("\n") for part in re.split(r"\n\s*\n", docstring.strip())]
    return "\n\n".join(_part(part) for part in parts)


def _part(text: str) -> str:
    lines = text.splitlines()
    if not all(line.startswith("headroom ") for line in lines):
        return _filled(text)
    pairs = [re.split(r"\s{3,}", line, maxsplit=1) for line in lines]
    return examples([(pair[0], pair[1] if len(pair) > 1 else "") for pair in pairs])


def examples(pairs: Sequence[tuple[str, str]]) -> str:
    """Commands with what they do beside them, or below them where a line would be too long."""
    width = max((len(command) for command, about in pairs if about), default=0)
    if all(width + len(about) + 4 <= WIDTH for _, about in pairs):
        return "\n".join(f"  {command:<{width}}  {about}".rstrip() for command, about in pairs)
    return "\n".join(f"  {command}" + (f"\n      {about}" if about else "") for command, about in pairs)


def _filled(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), WIDTH, break_on_hyphens=False, break_long_words=False)
