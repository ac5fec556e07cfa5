"""What verbs that build a pipeline share: settings from the rest of the command line, or Hydra's own pages."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.config.compose import Composer
from pipelines.config.flags import parse_hydra_flags
from pipelines.config.settings import read_settings
from pipelines.schema.errors import UsageError
from pipelines.schema.settings import Settings


def names_and_settings(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """What a verb's positional arguments took: names of things, and the overrides that stood among them."""
    names = [word for word in words if "=" not in word]
    return names, [word for word in words if "=" in word]


def composed_settings(rest: Sequence[str]) -> Settings | None:
    """Settings of the overrides in `rest`; None where Hydra was only asked to show something, which is then done."""
    flags = parse_hydra_flags(rest)
    if flags.multirun:
        raise UsageError("-m sweeps with `headroom run` only. Give one configuration here.")
    with Composer(flags) as composer:
        if composer.is_show:
            composer.show()
            return None
        return read_settings(composer.compose())
