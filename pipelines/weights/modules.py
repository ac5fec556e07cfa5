"""Whether the Python modules that a variant needs are installed, in versions that belong together. Imports none of them."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from importlib import metadata

from packaging.version import InvalidVersion, Version

from pipelines.weights.extras import DISTRIBUTION, extras_for

#: Built against one minor version of the other, though their metadata does not say so: (this one, that one).
PAIRS = (("torchaudio", "torch"),)


def modules_fault(required: Sequence[str]) -> str:
    """Why the modules `required` cannot be imported, as a sentence's middle, with what to install; empty where they can."""
    absent = [module for module in required if importlib.util.find_spec(module.partition(".")[0]) is None]
    if absent:
        extras = extras_for(absent, required)
        advice = f" (pip install '{DISTRIBUTION}[{','.join(extras)}]')" if extras else ""
        return f"{', '.join(absent)} {'is' if len(absent) == 1 else 'are'} not installed{advice}"
    return next(filter(None, (_pair_fault(*pair) for pair in PAIRS if pair[0] in required)), "")


def _pair_fault(first: str, second: str) -> str:
    try:
        versions = metadata.version(first), metadata.version(second)
        minors = [f"{known.major}.{known.minor}" for known in map(Version, versions)]
    except (metadata.PackageNotFoundError, InvalidVersion):  # installed without metadata: nothing is known against it
        return ""
    if minors[0] == minors[1]:
        return ""
    return (
        f"{first} {versions[0]} does not work with {second} {versions[1]} (pip install '{second}=={minors[0]}.*' "
        f"'{first}=={minors[0]}.*')"
    )
