"""What was measured on this machine, remembered in one user-level file, a line an observation; read back as footprints.

An observation counts only for the same weights, variant and knobs, library versions and device. Anything else is stale
and the declared figure holds, with its larger margin. Never written inside site-packages, a run's folder or the config.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pipelines.files import file_lock, write_atomic
from pipelines.footprints.regression import DECLARED_MARGIN, Regression, Sample, margin, regress
from pipelines.libraries import memory_versions
from pipelines.schema.config import Footprint, Item, Variant
from pipelines.schema.errors import SurroundingsFailed

#: The newest observations that are used for one key; older ones add little and cost time.
_NEWEST = 200


@dataclass(frozen=True, slots=True)
class Key:
    """What must be the same for a measurement to count again. digest: of the weights, empty where the library has them."""

    variant: str
    digest: str
    knobs: str
    versions: str
    device: str

    @staticmethod
    def of(variant: Variant, digest: str, device: str, versions: str | None = None) -> Key:
        """device: its `footprint_key`. versions: of the installed libraries unless given."""
        fixed = {name: value for name, value in variant.knobs.items() if name not in ("batch", "segment")}
        return Key(variant.name, digest, json.dumps(fixed, sort_keys=True), versions or memory_versions(), device)


@dataclass(frozen=True, slots=True)
class Observation:
    """One measured load or run. Bytes above what was held when it began, unless stated otherwise.

    op: `load` (bytes are the peak, held_bytes what stays: the weights) or `run` (bytes are workspace and outputs).
    predicted_bytes: what the plan had expected before its margin. source: as in `Reading`.
    """

    op: str
    bytes: int
    seconds: float
    held_bytes: int = 0
    item_seconds: float = 0.0
    channels: int = 1
    characters: int = 0
    batch: float = 1.0
    segment: float | None = None
    predicted_bytes: int | None = None
    source: str = ""

    def sample(self) -> Sample:
        """As the regression takes it."""
        item = Item("", seconds=self.item_seconds, channels=self.channels, characters=self.characters)
        return Sample(item, self._knobs(), float(self.bytes))

    def _knobs(self) -> dict[str, float]:
        return {"batch": self.batch, **({} if self.segment is None else {"segment": self.segment})}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A footprint to plan with.

    margin: the share to add, 0.1 for 10 %. measured: whether it was measured here. regression: of what was measured, if so.
    """

    footprint: Footprint
    margin: float
    measured: bool
    regression: Regression | None = None


@dataclass(frozen=True)
class Observations:
    """What the store held when it was read, oldest first."""

    seen: tuple[tuple[Key, Observation], ...] = ()

    def of(self, key: Key) -> tuple[Observation, ...]:
        """What was measured under exactly this key."""
        return tuple(self._by_key.get(key, ()))[-_NEWEST:]

    def variants(self) -> frozenset[str]:
        """Names of the variants of which anything was ever measured, whatever their weights."""
        return frozenset(key.variant for key in self._by_key)

    def digest(self) -> str:
        """A fingerprint of all of it, for the record."""
        text = "".join(_line(key, seen) for key, seen in self.seen)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @cached_property
    def _by_key(self) -> Mapping[Key, list[Observation]]:
        found: dict[Key, list[Observation]] = {}
        for key, seen in self.seen:
            found.setdefault(key, []).append(seen)
        return found


@dataclass
class FootprintStore:
    """The file of observations. `frozen` (within a sweep) reads as it was at first sight and adds nothing."""

    path: Path
    frozen: bool = False
    warn: Callable[[str], None] = lambda sentence: None
    _now: Observations | None = field(default=None, init=False)

    def read(self) -> Observations:
        """All that the file holds, as it is now (`frozen`: as it was at first sight)."""
        if self._now is None:
            self._now = Observations(tuple(self._read()))
        return self._now

    def add(self, key: Key, seen: Sequence[Observation]) -> None:
        """Append. Raises `SurroundingsFailed` where the file cannot be written."""
        if self.frozen or not seen:
            return
        lines = "".join(_line(key, each) for each in seen)
        try:
            with file_lock(self.path.with_suffix(".lock")), self.path.open("a", encoding="utf-8") as file:
                file.write(lines)  # one buffered write: a crash loses at most the last line
        except OSError as error:
            raise SurroundingsFailed(
                f"Measured footprints cannot be stored in {self.path}: {error}. HEADROOM_HOME names another folder."
            ) from error
        self._now = None

    def _read(self) -> list[tuple[Key, Observation]]:
        try:
            good, bad = self._lines()
        except FileNotFoundError:
            return []
        except OSError as error:
            self.warn(f"Measured footprints in {self.path} cannot be read ({error}); declared figures are used.")
            return []
        if bad and self.frozen:
            self.warn(f"{bad} lines of {self.path} are damaged and were not used.")
        elif bad:
            return self._mended(good, bad)
        return good

    def _lines(self) -> tuple[list[tuple[Key, Observation]], int]:
        """The observations in the file, and how many of its lines are damaged."""
        lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        good = [parsed for line in lines if (parsed := _parse(line)) is not None]
        return good, len(lines) - len(good)

    def _mended(self, good: list[tuple[Key, Observation]], bad: int) -> list[tuple[Key, Observation]]:
        """Set the damaged file aside under another name, and go on with its good lines."""
        aside = self.path.with_suffix(".damaged")
        try:
            with file_lock(self.path.with_suffix(".lock")):
                good, bad = self._lines()  # others may have added to it meanwhile, or were in the middle of a line
                if not bad:
                    return good
                aside.write_bytes(self.path.read_bytes())
                write_atomic(self.path, "".join(_line(key, seen) for key, seen in good))
        except OSError as error:
            self.warn(f"{bad} lines of {self.path} are damaged, and it cannot be repaired: {error}.")
            return good
        self.warn(
            f"{bad} lines of {self.path} were damaged. The file was set aside as {aside.name}; the rest is in use."
        )
        return good


def estimate(seen: Sequence[Observation], declared: Footprint) -> Estimate:
    """The footprint that `seen` supports; parts never observed stay as declared."""
    runs = [each for each in seen if each.op == "run"]
    loads = [each for each in seen if each.op == "load"]
    if not runs:
        return Estimate(declared, DECLARED_MARGIN, measured=False)
    fitted = regress([each.sample() for each in runs])
    past = [
        (each.bytes - each.predicted_bytes) / each.predicted_bytes
        for each in runs
        if each.predicted_bytes is not None and each.predicted_bytes > 0
    ]
    measured = replace(declared, workspace=fitted.terms, source=f"measured here, {len(seen)} observations")
    if loads:
        measured = replace(
            measured,
            weights=max(each.held_bytes for each in loads),
            load_peak=max(max(each.bytes, each.held_bytes) for each in loads),
            load_seconds=max(each.seconds for each in loads),
            reload_seconds=min(each.seconds for each in loads),
        )
    return Estimate(measured, margin([*fitted.errors, *past]), measured=True, regression=fitted)


def _line(key: Key, seen: Observation) -> str:
    return json.dumps({"key": asdict(key), "seen": asdict(seen)}, sort_keys=True) + "\n"


def _parse(line: str) -> tuple[Key, Observation] | None:
    """One line, None for a damaged one. Fields of later versions are passed over."""
    try:
        body = json.loads(line)
        key = Key(**{name: str(body["key"][name]) for name in Key.__dataclass_fields__})
        known = {name: value for name, value in body["seen"].items() if name in Observation.__dataclass_fields__}
        return key, _checked(Observation(**known))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _checked(seen: Observation) -> Observation:
    numbers: list[Any] = [
        seen.bytes,
        seen.held_bytes,
        seen.seconds,
        seen.item_seconds,
        seen.channels,
        seen.characters,
        seen.batch,
    ]
    numbers += [number for number in (seen.segment, seen.predicted_bytes) if number is not None]
    if seen.op not in ("load", "run") or not all(
        isinstance(number, (int, float)) and 0 <= number < 2**53 for number in numbers
    ):
        raise ValueError("not an observation")
    return seen
