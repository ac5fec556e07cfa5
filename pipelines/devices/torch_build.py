"""What the installed torch asks of a card and its driver, read from its files: importing torch would take seconds."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

from pipelines.schema.hardware import Card


@dataclass(frozen=True, slots=True)
class TorchBuild:
    """An installed torch. cuda: the CUDA it was built for, None for a build without."""

    version: str
    cuda: tuple[int, int] | None

    @property
    def release(self) -> tuple[int, ...]:
        """`(2, 11, 0)` of `2.11.0+cu130`; empty for a version that cannot be compared."""
        from packaging.version import InvalidVersion, Version

        try:
            return Version(self.version).release
        except InvalidVersion:
            return ()

    def architectures(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Lowest and highest compute capability it has code for. Source: PyTorch's release matrix (RELEASE.md, issue 172352)."""
        if self.cuda is None:
            return (0, 0), (0, 0)
        if self.cuda >= (13, 0):
            return (7, 5), (12, 9)
        if self.cuda >= (12, 8):
            return ((7, 5) if self.release >= (2, 11) else (7, 0)), (12, 9)
        return (5, 0), (9, 0)


def installed_torch(python: str | Path | None = None) -> TorchBuild | None:
    """The torch of this environment, or of the virtual one that `python` is of; None where there is none. Does not import it."""
    if python is None:
        spec = importlib.util.find_spec("torch")
        found = [] if spec is None or spec.origin is None else [Path(spec.origin).parent / "version.py"]
    else:
        found = sorted(Path(python).parent.parent.glob("lib/python*/site-packages/torch/version.py"))
    try:
        return parse_build(found[0].read_text(encoding="utf-8")) if found else None
    except OSError:
        return None


def parse_build(text: str) -> TorchBuild | None:
    """From the text of torch's `version.py`.

    >>> parse_build("__version__ = '2.11.0+cu130'\\ncuda: Optional[str] = '13.0'")
    TorchBuild(version='2.11.0+cu130', cuda=(13, 0))
    """
    version = re.search(r"^__version__\s*=\s*['\"]([^'\"]+)", text, re.MULTILINE)
    cuda = re.search(r"^cuda[^=\n]*=\s*['\"](\d+)\.(\d+)", text, re.MULTILINE)
    return None if version is None else TorchBuild(version[1], (int(cuda[1]), int(cuda[2])) if cuda else None)


def why_unusable(build: TorchBuild | None, card: Card, driver: str, spoken: tuple[int, int] | None) -> str:
    """Why `build` cannot use `card`, with the next thing to do; empty where it can, or where nothing is known against it.

    driver: the driver's version. spoken: the newest CUDA it speaks; a driver runs every build of its own major version and of older ones.
    """
    if build is None:
        return ""
    if build.cuda is None:
        return f"torch {build.version} is a build without CUDA, so {card.name} cannot be used; install a CUDA build of torch."
    if spoken is not None and spoken[0] < build.cuda[0]:
        return (
            f"torch {build.version} needs a driver that speaks CUDA {build.cuda[0]}; "
            f"driver {driver or '?'} speaks {spoken[0]}.{spoken[1]}. "
            f"Update the driver{' to 580 or newer' if build.cuda[0] == 13 else ''}, or install a torch built for CUDA {spoken[0]}."
        )
    return "" if card.compute is None else _without_code(build, card.name, card.compute)


def _without_code(build: TorchBuild, name: str, compute: tuple[int, int]) -> str:
    """A sentence where `build` has no code for a card of that compute capability."""
    low, high = build.architectures()
    if low <= compute <= high:
        return ""
    if compute < low:
        then = f"it begins at {_dotted(low)}. Install a torch built for CUDA 12.6, the last with code for older cards."
    else:
        then = f"it ends at {_dotted(high)}. Install a torch built for CUDA 12.8 or newer."
    return f"torch {build.version} has no code for compute capability {_dotted(compute)} of {name}; {then}"


def _dotted(compute: tuple[int, int]) -> str:
    return f"{compute[0]}.{compute[1]}"
