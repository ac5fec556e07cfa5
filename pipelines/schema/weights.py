"""Which files a variant needs, and where they may be found or fetched, as frozen data. Read by `pipelines.weights.spec`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Source:
    """One repository of a hub.

    Attributes
    ----------
    repo : `OWNER/NAME`.
    files, optional : glob patterns of names under `subfolder`. Each of `files` must match; `optional` may match nothing.
    subfolder : the folder of the repository that holds the files, `""` for its root.
    revision : a branch, a tag or a commit; None for the main branch.
    into : the folder below the weights folder that the files go to, `""` for the folder itself.
    """

    repo: str
    files: tuple[str, ...]
    optional: tuple[str, ...] = ()
    subfolder: str = ""
    revision: str | None = None
    into: str = ""


@dataclass(frozen=True, slots=True)
class WeightsSpec:
    """Which files a variant needs, and where they may be found or fetched.

    Attributes
    ----------
    path : a file or folder named by the user; then nothing else counts.
    folders : folders below the weights folder, in the order they are looked in. Weights are fetched to the first.
    files, optional : glob patterns of relative names. Each of `files` must match; `optional` may match nothing.
    sources : where the files are fetched from.
    size : bytes to fetch, None where not known.
    sha256 : relative name -> digest in hex.
    tts : the folder's name in the data folder of the TTS library.
    library : names of the same files in torch hub's cache.
    """

    path: str | None = None
    folders: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    size: int | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)
    tts: str | None = None
    library: tuple[str, ...] = ()
