"""Puts a folder of fetched weights in its place, whole or not at all, and knows whether one in place is whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from pipelines.files import sha256_of
from pipelines.schema.weights import WeightsSpec
from pipelines.weights.manifest import NAME, Manifest, read_manifest
from pipelines.weights.patterns import files_in, unmatched


def is_whole(folder: Path, spec: WeightsSpec) -> bool:
    """Whether `folder` holds every file: those of its manifest, or those that the variant's file names."""
    recorded = read_manifest(folder)
    if recorded is not None:
        return all((folder / name).is_file() for name in recorded.sha256)
    return folder.is_dir() and bool(spec.files) and not unmatched(files_in(folder), spec.files)


def install(stage: Path, target: Path, manifest: Manifest) -> None:
    """Put the files of `manifest` from the folder `stage` into `target`, with the manifest beside them. Raises `OSError`.

    Files of a person's own that were in `target` stay; one that has a fetched file's name gets `.before` appended.
    """
    (stage / NAME).write_text(manifest.to_json(), encoding="utf-8")
    _remove_others(stage, manifest.sha256)
    if target.exists():
        _move_into(stage, target)
    else:
        os.replace(stage, target)


def _remove_others(stage: Path, wanted: Mapping[str, str]) -> None:
    """Remove what earlier tries left: wrong files set aside, other revisions' beginnings."""
    for path in list(stage.rglob("*")):
        if path.is_file() and path.relative_to(stage).as_posix() not in {*wanted, NAME}:
            path.unlink()


def _move_into(stage: Path, target: Path) -> None:
    for path in sorted(stage.rglob("*")):
        if path.is_file() and path.name != NAME:
            place = target / path.relative_to(stage)
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.exists() and sha256_of(place) != sha256_of(path):
                os.replace(place, place.with_name(place.name + ".before"))
            os.replace(path, place)
    os.replace(stage / NAME, target / NAME)  # last: with it the folder counts as whole
    shutil.rmtree(stage)
