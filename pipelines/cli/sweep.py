"""Hydra multirun: each job a fresh process that inherits no measurement, all errors shown, one table at the end."""

from __future__ import annotations

import argparse
import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from pipelines.cli.compose import Composed, Composer
from pipelines.cli.show import console, table
from pipelines.schema.errors import ExitCode, Interrupted
from pipelines.schema.units import MIB


@dataclass(frozen=True, slots=True)
class JobResult:
    """One job of a sweep. `record` is its run.json, empty where it never began."""

    overrides: tuple[str, ...]
    folder: Path
    exit_code: int
    record: dict[str, Any]
    error: str


def sweep(composer: Composer, flags: argparse.Namespace, own_flags: Sequence[str]) -> int:
    """Run every job Hydra's sweeper makes. Returns the highest exit code of all."""
    results: list[JobResult] = []
    try:
        composer.multirun(lambda composed: results.append(_job(composed, flags, own_flags)))
    except Interrupted as error:
        _report(results)
        console(stderr=True).print(Text(f"error: {error}"))
        return error.exit_code
    _report(results)
    return max((result.exit_code for result in results), default=ExitCode.OK)


def _job(composed: Composed, flags: argparse.Namespace, own_flags: Sequence[str]) -> JobResult:
    assert composed.folder is not None
    console().print(Text.assemble("\n", (f"job {composed.folder.name}", "bold"), f"  {' '.join(composed.overrides)}"))
    hydra = [part for flag in ("config_dir", "config_name", "config_path") if (value := getattr(flags, flag))
             for part in (f"--{flag.replace('_', '-')}", str(value))]  # fmt: skip
    folder = str(composed.folder).replace("'", "\\'")
    command = [sys.executable, "-m", "pipelines.cli.main", "run", *own_flags, *hydra, *composed.overrides,
               f"hydra.run.dir='{folder}'"]  # fmt: skip
    environment = {**os.environ, "HEADROOM_FROZEN": "1"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        errors = _listen(process)
    result = JobResult(composed.overrides, composed.folder, _code(process.returncode), _record(composed.folder), errors)
    if result.exit_code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
        raise Interrupted("The sweep was stopped; the jobs before this one are recorded.")
    return result


def _listen(process: subprocess.Popen[str]) -> str:
    """The job's stderr, passed on as it comes. Ctrl-C reaches the job by itself, which ends it properly."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            sys.stderr.write(line)
            lines.append(line)
        process.wait()
        return "".join(lines)
    finally:
        signal.signal(signal.SIGINT, before)


def _code(code: int) -> int:
    return code if code >= 0 else 128 - code


def _record(folder: Path) -> dict[str, Any]:
    try:
        data = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _report(results: Sequence[JobResult]) -> None:
    if not results:
        return
    keys = sorted({override.partition("=")[0] for result in results for override in result.overrides})
    varied = [key for key in keys if len({_value(result, key) for result in results}) > 1]
    made = table(
        "job",
        *varied,
        "status",
        "exit",
        "planned MiB",
        "measured MiB",
        "seconds",
        right=range(2 + len(varied), 6 + len(varied)),
    )
    for result in results:
        record = result.record
        made.add_row(
            result.folder.name,
            *(_value(result, key) for key in varied),
            record.get("status", "not begun"),
            str(result.exit_code),
            _mib(record.get("predicted_peak_bytes")),
            _mib(record.get("measured_peak_bytes")),
            f"{record.get('seconds', 0):.1f}",
        )
    out = console()
    out.print()
    out.print(made)
    _write_csv(results, keys)
    for result in results:
        first = next((line for line in result.error.splitlines() if line.startswith("error:")), "")
        if result.exit_code and first:
            out.print(f"job {result.folder.name}: {first}", soft_wrap=True)
    out.print(f"Sweep: {results[0].folder.parent}", soft_wrap=True)


def _write_csv(results: Sequence[JobResult], keys: Sequence[str]) -> None:
    with (results[0].folder.parent / "sweep.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            [
                "job",
                *keys,
                "status",
                "exit_code",
                "limit_bytes",
                "predicted_peak_bytes",
                "measured_peak_bytes",
                "seconds",
            ]
        )
        for result in results:
            record = result.record
            facts = [
                record.get(name, "")
                for name in ("limit_bytes", "predicted_peak_bytes", "measured_peak_bytes", "seconds")
            ]
            values = [_value(result, key) for key in keys]
            writer.writerow([result.folder.name, *values, record.get("status", "not begun"), result.exit_code, *facts])


def _value(result: JobResult, key: str) -> str:
    return next((override.partition("=")[2] for override in result.overrides if override.partition("=")[0] == key), "")


def _mib(count: int | None) -> str:
    return "" if count is None else f"{count / MIB:,.0f}"
