"""What verbs that build a pipeline share: settings from the rest of the command line, or Hydra's own pages."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.config import catalog
from pipelines.config.compose import Composer
from pipelines.config.flags import parse_hydra_flags
from pipelines.config.settings import read_settings
from pipelines.config.variants import load_variant
from pipelines.schema.config import Variant
from pipelines.schema.errors import UsageError, did_you_mean
from pipelines.schema.roles import ROLES
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


def all_variants(settings: Settings) -> list[Variant]:
    """Every variant of the config folders, by role, best first."""
    search = settings.source.search
    by_role = (
        [load_variant(search, role, name) for name in catalog.options(search, f"model/{role}")] for role in ROLES
    )
    return [each for found in by_role for each in sorted(found, key=lambda v: (-v.quality, v.name))]


def named_variants(settings: Settings, names: Sequence[str]) -> list[Variant]:
    """The variants of these names, each once. Raises `UsageError` with the nearest names for one that is not there."""
    search = settings.source.search
    known = [f"{role}/{name}" for role in ROLES for name in catalog.options(search, f"model/{role}")]
    for name in names:
        if name not in known:
            raise UsageError(f"There is no variant {name!r}. {did_you_mean(name, known)}")
    return [load_variant(search, *name.split("/", 1)) for name in dict.fromkeys(names)]
