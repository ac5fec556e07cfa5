"""Where a variant's weights lie: an explicit path, then the weights folder, then nowhere, saying where was looked."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from pipelines.schema.config import Variant


@dataclass(frozen=True, slots=True)
class Located:
    """What was found for a variant. `missing` is empty where it can be used, else a sentence; `looked` are the places."""

    path: Path | None = None
    missing: str = ""
    looked: tuple[str, ...] = ()


def weights_home(explicit: str | None = None) -> Path:
    """The folder local checkpoints lie in: `weights_dir=`, else HEADROOM_WEIGHTS, else the user's data folder."""
    if explicit or os.environ.get("HEADROOM_WEIGHTS"):
        return Path(explicit or os.environ["HEADROOM_WEIGHTS"]).expanduser()
    from platformdirs import user_data_path

    return user_data_path("headroom") / "weights"


def locate(variant: Variant, home: Path) -> Located:
    """Find what `variant` needs without reading it: the modules it requires, then its weights."""
    absent = [module for module in variant.requires if importlib.util.find_spec(module.partition(".")[0]) is None]
    if absent:
        return Located(missing=f"{', '.join(absent)} {'is' if len(absent) == 1 else 'are'} not installed")
    if not variant.weights:
        return Located()
    explicit = variant.weights.get("path")
    places = [Path(explicit).expanduser()] if explicit else []
    folder = variant.weights.get("folder")
    stem = variant.name.partition("/")[2].partition("@")[0]
    places += [home / str(folder)] if folder else []
    places += [home / variant.role / stem]
    for place in places[:1] if explicit else places:
        if place.exists():
            return Located(path=place)
    looked = tuple(str(place) for place in places)
    return Located(missing=f"no weights in {' or '.join(looked)}", looked=looked)
