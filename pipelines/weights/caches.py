"""Weights that other programs fetched: the caches of huggingface_hub, of TTS and of torch hub, looked at without any network.

The layouts are the documented ones, read directly, so that looking needs no library and costs no import.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.schema.weights import Source, WeightsSpec
from pipelines.weights.patterns import files_in, unmatched


@dataclass(frozen=True, slots=True)
class CachePlace:
    """A folder in a library's cache. where: whose cache it is, in words. files: patterns of what a whole model has there."""

    where: str
    folder: Path
    files: tuple[str, ...]

    def is_whole(self) -> bool:
        """Whether every file is there."""
        return self.folder.is_dir() and not unmatched(files_in(self.folder), self.files)


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


def cache_places(spec: WeightsSpec) -> list[CachePlace]:
    """Every place in a library's cache where the weights of `spec` would lie, in the order they are looked in."""
    found = []
    if len(spec.sources) == 1 and not spec.sources[0].into:  # a snapshot is one repository; no model spans two there
        found.append(CachePlace("huggingface cache", _snapshot(spec.sources[0]), spec.files))
    if spec.tts:
        found.append(CachePlace("TTS data folder", tts_data() / spec.tts, spec.files))
    if spec.library:
        found.append(CachePlace("torch hub cache", torch_hub(), spec.library))
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
