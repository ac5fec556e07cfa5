"""Plan a pipeline and run it; everything it leaves is under one folder of outputs/.

headroom run pipeline=ultrasinger input=song.ogg
headroom run pipeline=ultrasinger input='songs/*.flac' tier=low_end -k
headroom run -m pipeline=ultrasinger input=song.ogg tier=low_end,modest
headroom run --resume outputs/ultrasinger/modest/2026-11-21_10-00-00_1a2b3c4d
"""

from __future__ import annotations

import argparse
import itertools
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipelines.cli.plan import add_selection
from pipelines.config.compose import Composer
from pipelines.config.flags import parse_hydra_flags
from pipelines.schema.errors import HeadroomError, TaskFailed, Terminated, UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `headroom run`."""
    parser.add_argument(
        "-k", "--keep-going", action="store_true", help="when a task fails, finish all that do not need it"
    )
    parser.add_argument("--resume", type=Path, metavar="RUN_DIR", help="continue a run: finished tasks are kept")
    parser.add_argument("--force", action="store_true", help="with --resume: do finished tasks again")
    parser.add_argument("--frozen", action="store_true",
                        help="plan with measured footprints as they are now and add none, as each job of a sweep does")  # fmt: skip
    add_selection(parser)


def main(args: argparse.Namespace, rest: list[str]) -> int:
    """Run, or sweep with -m, or show what Hydra is asked to show."""
    from pipelines.session.earlier import read_config_folder, read_overrides

    if args.force and args.resume is None:
        raise UsageError("--force does finished tasks of an earlier run again: add --resume RUN_DIR.")
    flags = parse_hydra_flags([*read_overrides(args.resume), *rest] if args.resume else rest)
    if args.resume is not None and flags.config_dir is None:
        flags.config_dir = read_config_folder(args.resume)
        flags.from_record = flags.config_dir is not None
    with Composer(flags) as composer:
        if composer.is_show:
            composer.show()
            return 0
        if flags.multirun:
            from pipelines.cli.sweep import sweep

            return sweep(composer, flags, _flags_of_a_job(args))
        try:
            return _run(composer, args)
        except (UsageError, TaskFailed) as error:
            if args.resume is None:
                raise
            raise type(error)(f"{error}{_then(error, args)}") from None


def _run(composer: Composer, args: argparse.Namespace) -> int:
    from pipelines.cli.plan import selection_of
    from pipelines.cli.screen.show import console
    from pipelines.cli.screen.summary import summarise
    from pipelines.cli.screen.watch import Screen
    from pipelines.session.run import RunRequest, run_composed

    request = RunRequest(
        selection_of(args), keep_going=args.keep_going, frozen=args.frozen, resume=args.resume, force=args.force,
        command=("headroom", *sys.argv[1:]),
    )  # fmt: skip
    out = console()
    with _stoppable() as cancel, Screen(out) as screen:
        result = run_composed(composer, request, screen, cancel)
    summarise(out, result)
    return int(result.exit_code)


@contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM stop the run at the next safe place; the record then says interrupted."""
    cancel = threading.Event()

    def on_term(number: int, frame: object) -> None:
        cancel.set()
        raise Terminated("Stopped by SIGTERM. Finished tasks are kept; continue with --resume RUN_DIR.")

    def on_int(number: int, frame: object) -> None:
        cancel.set()
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGTERM, on_term)
    signal.signal(signal.SIGINT, on_int)
    try:
        yield cancel
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _flags_of_a_job(args: argparse.Namespace) -> list[str]:
    """Our flags again, for the job processes of a sweep. No job adds what it measured: each is planned with the same figures."""
    flags = ["--frozen", *(["-k"] if args.keep_going else [])]
    for flag, values in (
        ("--only", args.only),
        ("--from", args.first),
        ("--until", args.last),
        ("--trust", args.trust),
    ):
        flags += _repeated(flag, values)
    return flags


def _repeated(flag: str, values: Sequence[str]) -> list[str]:
    return [part for value in values for part in (flag, value)]


def _then(error: HeadroomError, args: argparse.Namespace) -> str:
    """What a run that is resumed was given and this call was not, where that may be the reason."""
    from pipelines.session.earlier import read_record

    known = read_record(args.resume)
    pairs = itertools.pairwise(known.get("command") or [])
    lacking = {str(value) for flag, value in pairs if flag == "--trust"} - set(args.trust)
    if isinstance(error, UsageError) and lacking:
        flags = " ".join(_repeated("--trust", sorted(lacking)))
        return f" That run was given {flags}, which is never taken from a record: add it again if you trust it."
    begun = known.get("cwd")
    if isinstance(error, TaskFailed) and begun not in (None, str(Path.cwd())):
        return f" That run was begun in {begun}, and names of files are meant from there."
    return ""
