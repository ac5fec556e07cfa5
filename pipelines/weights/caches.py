"""Weights that other programs fetched: the caches of huggingface_hub, of TTS and of torch hub, looked at without any network.

The layouts are the documented ones, read directly, so that looking needs no library and costs no import.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pipelines.weights.need import Need, Source, files_in, unmatched


def hub_cache(environment: Mapping[str, str] = os.environ) -> Path:
    """The cache of huggingface_hub."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if environment.get(name):
            return Path(environment[name]).expanduser()
    if environment.get("HF_HOME"):
        return Path(environment["HF_HOME"]).expanduser() / "hub"
    cache = environment.get("XDG_CACHE_HOME")
    return (Path(cache).expanduser() if cache else Path.home() / ".cache") / "huggingface" / "hub"


def tts_data(environment: Mapping[str, str] = os.environ) -> Path:
    """The data folder of the TTS library (coqui-tts), on Linux."""
    for name in ("TTS_HOME", "XDG_DATA_HOME"):
        if environment.get(name):
            return Path(environment[name]).expanduser() / "tts"
    return Path.home() / ".local" / "share" / "tts"


def torch_hub(environment: Mapping[str, str] = os.environ) -> Path:
    """Where torch hub keeps checkpoints."""
    if environment.get("TORCH_HOME"):
        return Path(environment["TORCH_HOME"]).expanduser() / "hub" / "checkpoints"
    cache = environment.get("XDG_CACHE_HOME")
    return (Path(cache).expanduser() if cache else Path.home() / ".cache") / "torch" / "hub" / "checkpoints"


def cached(need: Need) -> tuple[Path | None, str, list[str]]:
    """(a folder with all of it, whose cache it is, every place that was looked in)."""
    looked: list[str] = []
    for whose, place, wanted in _places(need):
        looked.append(str(place))
        if place.is_dir() and not unmatched(files_in(place), wanted):
            return place, whose, looked
    return None, "", looked


def _places(need: Need) -> list[tuple[str, Path, tuple[str, ...]]]:
    found = []
    if len(need.sources) == 1 and not need.sources[0].into:  # a snapshot is one repository; no model spans two there
        found.append(("huggingface cache", _snapshot(need.sources[0]), need.files))
    if need.tts:
        found.append(("TTS data folder", tts_data() / need.tts, need.files))
    if need.library:
        found.append(("torch hub cache", torch_hub(), need.library))
    return found


def _snapshot(source: Source) -> Path:
    """The folder of the revision that is in the cache, or the repository's where there is none."""
    repo = hub_cache() / ("models--" + source.repo.replace("/", "--"))
    revision = source.revision or "main"
    try:
        commit = (repo / "refs" / revision).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        commit = revision
    if "/" in commit or commit.startswith(".") or not (repo / "snapshots" / commit).is_dir():
        return repo
    return repo / "snapshots" / commit / source.subfolder
