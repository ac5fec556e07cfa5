"""What the folder of an earlier run says of it: its record, its overrides, its config folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipelines.config.catalog import load_yaml
from pipelines.config.flags import quoted
from pipelines.schema.errors import UsageError


def read_record(folder: Path) -> dict[str, Any]:
    """Its `run.json`; empty where it cannot be read."""
    try:
        data = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def read_overrides(folder: Path) -> list[str]:
    """Its overrides, and its folder as that of the run to come. Raises `UsageError` where it is no run folder."""
    listed = _read_hydra(folder, "overrides.yaml")
    return [*(str(override) for override in listed or []), f"hydra.run.dir={quoted(str(folder.resolve()))}"]


def read_config_folder(folder: Path) -> str | None:
    """Its config folder (-cd). It is read as any config is, but only `-cd` lets it say what to install."""
    try:
        sources = _read_hydra(folder, "hydra.yaml")["hydra"]["runtime"]["config_sources"]
        found = [str(source["path"]) for source in sources if source["provider"] == "command-line"]
    except (KeyError, TypeError):
        raise UsageError(
            f"{folder}/.hydra/hydra.yaml does not say which config was used. Name it with -cd FOLDER."
        ) from None
    if found and not Path(found[0]).is_dir():
        raise UsageError(
            f"The config folder {found[0]} that this run used is gone. Name where it is now with -cd FOLDER."
        )
    return found[0] if found else None


def _read_hydra(folder: Path, name: str) -> Any:
    try:
        return load_yaml((folder / ".hydra" / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UsageError(f"{folder} is not a run folder: it has no .hydra/{name} that can be read.") from None
