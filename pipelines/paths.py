"""Where Headroom keeps things for a user, outside of the run folders: weights, measurements, and what can be made again.

| what | folder | named by | else, with `HEADROOM_HOME` | else |
| --- | --- | --- | --- | --- |
| weights | `weights` | `weights_dir=`, `HEADROOM_WEIGHTS` | `$HEADROOM_HOME/weights` | `<user data>/headroom/weights` |
| measured footprints, known leaks | `data` | | `$HEADROOM_HOME` | `<user data>/headroom` |
| digests, environments, detected cards | `cache` | `HEADROOM_CACHE` | `$HEADROOM_HOME/cache` | `<user cache>/headroom` |

`<user data>` and `<user cache>` are the operating system's: `~/.local/share` and `~/.cache` on Linux. With `HEADROOM_HOME`
set, and nothing else, everything lies under that one folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class UserFolders:
    """The three folders. They need not exist.

    data: what only measuring brings back. cache: what can be made again at the cost of time. weights: fetched checkpoints.
    """

    data: Path
    cache: Path
    weights: Path

    @property
    def footprints(self) -> Path:
        """The file of measured footprints."""
        return self.data / "footprints.jsonl"

    @property
    def leaks(self) -> Path:
        """The file of variants that were seen to leak memory."""
        return self.data / "leaks.json"

    @property
    def digests(self) -> Path:
        """The folder of remembered digests of weights."""
        return self.cache / "digests"

    @property
    def environments(self) -> Path:
        """The folder of Python environments built for single variants."""
        return self.cache / "environments"

    @property
    def detection(self) -> Path:
        """The file of the cards that were detected last."""
        return self.cache / "detection.json"


def user_folders(weights_dir: str | None = None, environment: Mapping[str, str] = os.environ) -> UserFolders:
    """The folders that the setting `weights_dir=` and the environment name. An empty value counts as none."""
    home = _named(environment.get("HEADROOM_HOME"))
    data = home or _system_folder("user_data_path")
    return UserFolders(
        data=data,
        cache=_named(environment.get("HEADROOM_CACHE"))
        or (home / "cache" if home else _system_folder("user_cache_path")),
        weights=_named(weights_dir) or _named(environment.get("HEADROOM_WEIGHTS")) or data / "weights",
    )


def _named(value: str | None) -> Path | None:
    return Path(value).expanduser() if value else None


def _system_folder(function: str) -> Path:
    import platformdirs

    folder: Path = getattr(platformdirs, function)("headroom", appauthor=False)
    return folder
