"""Which of Headroom's extras bring modules that are missing, from the installed distribution's own metadata."""

from __future__ import annotations

import re
from collections.abc import Collection
from importlib import metadata

DISTRIBUTION = "headroom-runner"
#: Modules whose distribution has another name.
_DISTRIBUTIONS = {"TTS": "coqui-tts"}
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")


def extras_for(absent: Collection[str], required: Collection[str]) -> list[str]:
    """The fewest extras that bring the modules in `absent`, each the nearest to what is `required` altogether; [] where none do."""
    known = _extras()
    missing, wanted = ({_distribution(name) for name in names} for names in (absent, required))
    chosen: list[str] = []
    while missing:
        best = max(
            known,
            key=lambda name: (len(known[name] & missing), len(known[name] & wanted), -len(known[name])),
            default=None,
        )
        if best is None or not known[best] & missing:
            return chosen if not missing else []
        chosen.append(best)
        missing -= known[best]
    return chosen


def _extras() -> dict[str, set[str]]:
    """Extra -> normalised names of the distributions it brings."""
    try:
        lines = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return {}
    found: dict[str, set[str]] = {}
    for line in lines:
        extra, name = _EXTRA.search(line), re.match(r"[A-Za-z0-9._-]+", line)
        if extra and name:
            found.setdefault(extra[1], set()).add(_normal(name[0]))
    return found


def _distribution(module: str) -> str:
    head = module.partition(".")[0]
    return _normal(_DISTRIBUTIONS.get(head, head))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
