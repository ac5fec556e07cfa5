"""What a variant takes on this machine: measured at several input sizes in a fresh process, so that nothing else counts.

The child (`measurement_process`) loads, runs and unloads once to let libraries settle (what stays is context), then loads
again, runs the largest size once and then each size under a device's `watch`. Nothing is stored here; the caller adds
`Measurement.observations`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.footprints.regression import Regression, regress
from pipelines.footprints.store import Observation
from pipelines.schema.config import Item, Variant
from pipelines.schema.errors import ExitCode, OutOfMemory, SurroundingsFailed, TaskFailed
from pipelines.schema.roles import ROLES
from pipelines.worker.client import environment_of

#: Sizes that show a base, a slope and a segment's bend without taking minutes. Seconds of audio.
DEFAULT_SIZES = (2.0, 5.0, 10.0, 20.0)
#: Characters of text in a second of speech.
SPOKEN = 14


@dataclass(frozen=True, slots=True)
class Size:
    """One input size, and the knobs that differ from the variant's (`batch`, `segment`)."""

    seconds: float = 0.0
    channels: int = 1
    characters: int = 0
    knobs: Mapping[str, float] | None = None

    def item(self) -> Item:
        """As an item without a file."""
        return Item("measured", seconds=self.seconds, channels=self.channels, characters=self.characters)


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a variant was measured to take.

    weights_bytes, load_peak_bytes: of the second load. context_bytes: what the libraries hold after the first unload.
    leaked_bytes: what the second unload did not give back. regression: of the runs' workspaces. load_seconds: of the first
    load, its library's import included; reload_seconds: of the second.
    """

    variant: str
    weights_bytes: int
    load_peak_bytes: int
    context_bytes: int
    leaked_bytes: int
    load_seconds: float
    reload_seconds: float
    source: str
    observations: tuple[Observation, ...]
    regression: Regression


def measure(
    variant: Variant,
    sizes: Sequence[Size | float] = DEFAULT_SIZES,
    *,
    weights: Path | None = None,
    device: Mapping[str, Any] | None = None,
    trusted: Sequence[str] = ("nodes",),
    python: Path | None = None,
    timeout_seconds: float = 1800,
) -> Measurement:
    """Measure `variant` in a fresh process of this interpreter, or of `python`, that of the variant's own environment.

    weights: where they lie, as `weights.locations.locate` found. device: `{"spec": "cpu", "total": bytes}` as for `open_device`.
    Raises `OutOfMemory`, `TaskFailed` (the node failed; its words are quoted), `SurroundingsFailed` (no process, too long).
    """
    wanted = [size if isinstance(size, Size) else Size(seconds=float(size)) for size in sizes]
    request = {
        "target": variant.target,
        "knobs": dict(variant.knobs),
        "weights": None if weights is None else str(weights),
        "device": dict(device or {"spec": "cpu"}),
        "trusted": list(trusted),
        "sizes": [
            {"seconds": s.seconds, "channels": s.channels, "characters": s.characters, "knobs": dict(s.knobs or {})}
            for s in wanted
        ],
    }
    return _measured(variant.name, wanted, variant.knobs, _ask(variant.name, request, python, timeout_seconds))


def sizes_for(role: str, seconds: Sequence[float]) -> list[Size]:
    """Inputs as a plan will know them: of a role that takes a text, as many characters as are spoken in `seconds`.

    >>> [size.characters for size in sizes_for("speak", (2.0, 5.0))]
    [28, 70]
    """
    takes = {port.type for port in ROLES[role].inputs.values() if not port.optional}
    if "text" in takes and "audio" not in takes:
        return [Size(characters=round(each * SPOKEN)) for each in seconds]
    return [Size(each) for each in seconds]


def _ask(name: str, request: Mapping[str, Any], python: Path | None, timeout_seconds: float) -> Mapping[str, Any]:
    paths = os.pathsep.join(path for path in sys.path if path)
    try:
        done = subprocess.run(
            [str(python or sys.executable), "-P", "-m", "pipelines.footprints.measurement_process"],
            input=json.dumps(request), capture_output=True, text=True, timeout=timeout_seconds, check=False,
            env=environment_of(python) if python else {**os.environ, "PYTHONPATH": paths},
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise SurroundingsFailed(
            f"Measuring {name} took longer than {timeout_seconds:.0f} s; try smaller sizes."
        ) from error
    answer = _last_json(done.stdout)
    if answer is None:
        from pipelines.worker.processes import death_sentence

        raise TaskFailed(f"Measuring {name}: {death_sentence(done.returncode, 'the process')} {done.stderr[-400:]}")
    if "error" in answer:
        kind = OutOfMemory if answer.get("exit_code") == ExitCode.OUT_OF_MEMORY else TaskFailed
        raise kind(f"{name} could not be measured: {answer['error']}")
    return answer


def _last_json(output: str) -> dict[str, Any] | None:
    """The answer is the last line; libraries may have printed before it."""
    for line in reversed(output.splitlines()):
        if line.startswith('{"headroom":'):
            answer = json.loads(line)["headroom"]
            return answer if isinstance(answer, dict) else None
    return None


def _measured(name: str, sizes: Sequence[Size], knobs: Mapping[str, Any], answer: Mapping[str, Any]) -> Measurement:
    loads = [_observation("load", row) for row in answer["loads"]]
    runs = [_run(size, {**knobs, **(size.knobs or {})}, row) for size, row in zip(sizes, answer["runs"], strict=True)]
    return Measurement(
        variant=name,
        weights_bytes=loads[-1].held_bytes,
        load_peak_bytes=max(loads[-1].bytes, loads[-1].held_bytes),
        context_bytes=answer["context"],
        leaked_bytes=answer["leaked"],
        load_seconds=answer["first_load_seconds"],
        reload_seconds=loads[-1].seconds,
        source=runs[-1].source,
        observations=(*loads, *runs),
        regression=regress([run.sample() for run in runs]),
    )


def _observation(op: str, row: Mapping[str, Any]) -> Observation:
    return Observation(op, row["bytes"], row["seconds"], held_bytes=row["held"], source=row["source"])


def _run(size: Size, knobs: Mapping[str, Any], row: Mapping[str, Any]) -> Observation:
    return replace(
        _observation("run", row),
        item_seconds=size.seconds,
        channels=size.channels,
        characters=size.characters,
        batch=float(knobs.get("batch") or 1),
        segment=float(knobs["segment"]) if knobs.get("segment") else None,
    )
