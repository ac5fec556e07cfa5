"""Hydra multirun: each job a fresh process that inherits no measurement, all errors shown, one table at the end."""

from __future__ import annotations

import argparse
import csv
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from pipelines.cli.screen.live import of_task
from pipelines.cli.screen.show import console, table
from pipelines.config.compose import Composed, Composer
from pipelines.config.flags import quoted
from pipelines.schema.errors import ExitCode, Interrupted, UsageError
from pipelines.schema.units import MIB
from pipelines.session.earlier import read_record


@dataclass(frozen=True, slots=True)
class JobResult:
    """One job of a sweep. `record` is its run.json, empty where it never began."""

    overrides: tuple[str, ...]
    folder: Path
    exit_code: int
    record: dict[str, Any]
    error: str


@dataclass(slots=True)
class Stopper:
    """Ctrl-C and SIGTERM while a sweep goes on: handed to the job, which ends properly and is recorded; no job follows."""

    number: int = 0
    process: subprocess.Popen[str] | None = None

    def __call__(self, number: int, frame: object) -> None:
        """The signal handler."""
        self.number = number
        if self.process is not None:
            self.process.send_signal(number)


def sweep(composer: Composer, flags: argparse.Namespace, own_flags: Sequence[str]) -> int:
    """Run every job Hydra's sweeper makes. Returns the highest exit code of all."""
    results: list[JobResult] = []
    stopped = ""
    with _stoppable() as stop:

        def job(composed: Composed) -> None:
            _refuse_more(stop)
            results.append(_job(composed, flags, own_flags, stop))
            _refuse_more(stop, results[-1].exit_code)

        try:
            composer.multirun(job)
        except Interrupted as error:
            stopped = str(error)
        except UsageError:
            if not results:
                remove_unused(composer.folder)
            raise
    _report(results)
    if stopped:
        console(stderr=True).print(Text.assemble(("error: ", "bold red"), stopped), soft_wrap=True)
    return max(
        [result.exit_code for result in results] + ([128 + stop.number] if stop.number else []), default=ExitCode.OK
    )


def _refuse_more(stop: Stopper, code: int = ExitCode.OK) -> None:
    if stop.number or code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
        raise Interrupted("The sweep was stopped. What its jobs finished is kept, and recorded in the table above.")


@contextmanager
def _stoppable() -> Iterator[Stopper]:
    stop = Stopper()
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def remove_unused(folder: Path | None) -> None:
    """A sweep none of whose jobs began leaves nothing."""
    with suppress(OSError):
        if folder is not None and {entry.name for entry in folder.iterdir()} <= {"multirun.yaml"}:
            shutil.rmtree(folder)
            for parent in list(folder.parents)[:2]:
                parent.rmdir()


def _job(composed: Composed, flags: argparse.Namespace, own_flags: Sequence[str], stop: Stopper) -> JobResult:
    assert composed.folder is not None
    console().print(
        Text.assemble("\n", (f"job {composed.folder.name}", "bold"), f"  {' '.join(composed.source.overrides)}")
    )
    hydra = [part for flag in ("config_dir", "config_name", "config_path") if (value := getattr(flags, flag))
             for part in (f"--{flag.replace('_', '-')}", str(value))]  # fmt: skip
    # -P: what lies in the folder one happens to be in is not imported in place of ours.
    command = [sys.executable, "-P", "-m", "pipelines.cli.main", "run", *own_flags, *hydra, *composed.source.overrides,
               f"hydra.run.dir={quoted(str(composed.folder))}"]  # fmt: skip
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths}
    # A process group of its own: a terminal's Ctrl-C reaches it once, through us.
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, errors="replace",
                          process_group=0) as process:  # fmt: skip
        stop.process = process
        errors = _listen(process)
    stop.process = None
    return JobResult(
        composed.source.overrides, composed.folder, _code(process.returncode), read_record(composed.folder), errors
    )


def _listen(process: subprocess.Popen[str]) -> str:
    """The job's stderr, passed on as it comes."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        sys.stderr.write(line)
        lines.append(line)
    process.wait()
    return "".join(lines)


def _code(code: int) -> int:
    return code if code >= 0 else 128 - code


def _report(results: Sequence[JobResult]) -> None:
    if not results:
        return
    keys = sorted({override.partition("=")[0] for result in results for override in result.overrides})
    varied = [key for key in keys if len({_value(result, key) for result in results}) > 1]
    made = table(
        "job",
        *(key.rpartition("/")[2] for key in varied),
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
        if result.exit_code:
            out.print(Text.assemble((f"job {result.folder.name}: ", "bold red"), _why(result)), soft_wrap=True)
    out.print(Text(f"Sweep: {results[0].folder.parent}", style="dim"), soft_wrap=True)


def _why(result: JobResult) -> str:
    """What a job's own record says went wrong, else the last error it reported."""
    if result.record.get("error"):
        return str(result.record["error"])
    failed = result.record.get("failed") or {}
    if failed:
        task, error = next(iter(failed.items()))
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        return of_task(task, str(error)) + more
    errors = [line.removeprefix("error: ") for line in result.error.splitlines() if line.startswith("error: ")]
    return errors[-1] if errors else f"it ended with exit code {result.exit_code} and said nothing."


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
            fields = [
                record.get(name, "")
                for name in ("limit_bytes", "predicted_peak_bytes", "measured_peak_bytes", "seconds")
            ]
            values = [_value(result, key) for key in keys]
            writer.writerow([result.folder.name, *values, record.get("status", "not begun"), result.exit_code, *fields])


def _value(result: JobResult, key: str) -> str:
    value = next((override.partition("=")[2] for override in result.overrides if override.partition("=")[0] == key), "")
    quoted = re.fullmatch(r"'(.*)'", value, re.DOTALL)  # for Hydra
    return re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else value


def _mib(count: int | None) -> str:
    return "" if count is None else f"{count / MIB:,.0f}"
