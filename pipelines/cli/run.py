"""Plan a pipeline and carry it out; everything it leaves is under one folder of outputs/.

headroom run pipeline=ultrasinger input=song.ogg
headroom run pipeline=ultrasinger input='songs/*.flac' tier=low_end -k
headroom run -m pipeline=ultrasinger input=song.ogg tier=low_end,modest
headroom run --resume outputs/ultrasinger/modest/2026-11-21_10-00-00_1a2b3c4d
"""

from __future__ import annotations

import argparse
import itertools
import json
import shlex
import shutil
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipelines.cli.plan import add_selection
from pipelines.config.compose import Composed, Composer
from pipelines.config.flags import parse_hydra_flags
from pipelines.run.record import Record, cannot_write
from pipelines.schema.errors import (
    DoesNotFit,
    ExitCode,
    HeadroomError,
    Interrupted,
    InvalidError,
    OutOfMemory,
    SurroundingsFailed,
    TaskFailed,
    UsageError,
)


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
    if args.force and args.resume is None:
        raise UsageError("--force does finished tasks of an earlier run again: add --resume RUN_DIR.")
    flags = parse_hydra_flags([*_overrides_of(args.resume), *rest] if args.resume else rest)
    if args.resume is not None and flags.config_dir is None:
        flags.config_dir = _config_folder(args.resume)
        flags.from_record = flags.config_dir is not None
    with Composer(flags) as composer:
        if composer.is_show:
            composer.show()
            return 0
        if flags.multirun:
            from pipelines.cli.sweep import sweep

            return sweep(composer, flags, _own_flags(args))
        try:
            result = composer.run(lambda composed: carry_out(composed, args))
        except (UsageError, TaskFailed) as error:
            if args.resume is None:
                raise
            raise type(error)(f"{error}{_then(error, args)}") from None
        except OSError as error:
            folder = composer.folder
            if folder is not None:
                _remove_if_fresh(folder)
            raise SurroundingsFailed(
                f"The run folder {folder or ''} cannot be made ({error.strerror or error}). Choose another with outputs_dir=FOLDER."
            ) from None
        return int(result)


def _own_flags(args: argparse.Namespace) -> list[str]:
    """Our flags again, for the job processes of a sweep."""
    flags = ["--frozen", *(["-k"] if args.keep_going else [])]
    for flag, values in (
        ("--only", args.only),
        ("--from", args.first),
        ("--until", args.last),
        ("--trust", args.trust),
    ):
        flags += _flags(flag, values)
    return flags


def _flags(flag: str, values: Sequence[str]) -> list[str]:
    return [part for value in values for part in (flag, value)]


def _overrides_of(folder: Path) -> list[str]:
    """The overrides of an earlier run, and its folder as this one's."""
    listed = _recorded(folder, "overrides.yaml")
    escaped = str(folder.resolve()).replace("'", "\\'")
    return [*(str(override) for override in listed or []), f"hydra.run.dir='{escaped}'"]


def _then(error: HeadroomError, args: argparse.Namespace) -> str:
    """What a run that is resumed was given and this call was not, where that may be the reason."""
    known = _earlier(args.resume)
    pairs = itertools.pairwise(known.get("command") or [])
    lacking = {str(value) for flag, value in pairs if flag == "--trust"} - set(args.trust)
    if isinstance(error, UsageError) and lacking:
        flags = " ".join(_flags("--trust", sorted(lacking)))
        return f" That run was given {flags}, which is never taken from a record: add it again if you trust it."
    begun = known.get("cwd")
    if isinstance(error, TaskFailed) and begun not in (None, str(Path.cwd())):
        return f" That run was begun in {begun}, and names of files are meant from there."
    return ""


def _earlier(folder: Path) -> dict[str, Any]:
    """The record of an earlier run; nothing where it cannot be read."""
    try:
        data = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _config_folder(folder: Path) -> str | None:
    """The config folder (-cd) of an earlier run. It is read as any config is, but only `-cd` lets it say what to install."""
    try:
        sources = _recorded(folder, "hydra.yaml")["hydra"]["runtime"]["config_sources"]
        found = [str(source["path"]) for source in sources if source["provider"] == "command-line"]
    except (KeyError, TypeError):
        raise UsageError(
            f"{folder}/.hydra/hydra.yaml does not say which config was used. Name it with -cd FOLDER."
        ) from None
    if found and not Path(found[0]).is_dir():
        raise UsageError(
            f"The config folder {found[0]} that this run used is gone. Name where it is now with -cd FOLDER."
        )
    return found[0] if found else None


def _recorded(folder: Path, name: str) -> Any:
    """What Hydra wrote of an earlier run's config."""
    from pipelines.config.catalog import load_yaml

    try:
        return load_yaml((folder / ".hydra" / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UsageError(f"{folder} is not a run folder: it has no .hydra/{name} that can be read.") from None


def carry_out(composed: Composed, args: argparse.Namespace) -> int:
    """One run in its own folder. Returns the exit code; the record is closed whatever happens."""
    assert composed.folder is not None
    record = Record(composed.folder)
    try:
        code = _planned_run(composed, args, record)
    except (UsageError, InvalidError):
        if not record.is_open:
            _remove_if_fresh(composed.folder)
        raise
    except OSError as error:
        raise cannot_write(composed.folder, error) from error
    except (Interrupted, KeyboardInterrupt) as error:
        kind = type(error) if isinstance(error, Interrupted) else Interrupted
        raise kind(f"Stopped. {_again(composed.folder, args)}") from error
    except (TaskFailed, OutOfMemory):
        if record.is_open and any(composed.folder.glob("artifacts/*/*/done.json")):
            from pipelines.cli.screen.show import console

            console().print(_again(composed.folder, args), style="dim", soft_wrap=True)
        raise
    finally:
        _close_with(record, sys.exc_info()[1])
    return code


def _again(folder: Path, args: argparse.Namespace) -> str:
    """How to go on with what a run has finished."""
    command = shlex.join(["headroom", "run", "--resume", str(folder), *_flags("--trust", args.trust)])
    return f"What is finished is kept: {command}"


def _close_with(record: Record, error: BaseException | None) -> None:
    """The record's last words for an exception on its way out; nothing where the run ended by itself."""
    if error is None or not record.is_open:
        return
    interrupted = isinstance(error, (Interrupted, KeyboardInterrupt))
    code = error.exit_code if isinstance(error, HeadroomError) else ExitCode.TASK_FAILED
    code = ExitCode.INTERRUPTED if isinstance(error, KeyboardInterrupt) else code
    with suppress(OSError, ValueError):
        record.log("".join(traceback.format_exception(error)))
    facts = {"refusal": error.refusal.to_dict()} if isinstance(error, DoesNotFit) else {}
    record.close("interrupted" if interrupted else "failed", code, error=str(error) or type(error).__name__, **facts)


def _remove_if_fresh(folder: Path) -> None:
    """A run that never began leaves nothing: its folder goes if it holds only Hydra's copy of the config."""
    with suppress(OSError):
        if {entry.name for entry in folder.iterdir()} <= {".hydra"}:
            shutil.rmtree(folder)
            for parent in list(folder.parents)[:2]:
                parent.rmdir()


def _planned_run(composed: Composed, args: argparse.Namespace, record: Record) -> int:
    from pipelines.cli.execute import carry, facts_of, name_finished
    from pipelines.cli.fetching import brought
    from pipelines.cli.screen.show import console
    from pipelines.config.settings import read_settings
    from pipelines.devices.torch_environment import set_torch_variables
    from pipelines.run.artifacts import Artifacts
    from pipelines.run.resume import all_tasks, finished_tasks
    from pipelines.session.job import make_job
    from pipelines.session.prepare import prepare
    from pipelines.session.selection import Selection

    settings = read_settings(composed)
    set_torch_variables(settings.tier.allocator)
    selection = Selection(tuple(args.only), tuple(args.first), tuple(args.last), tuple(args.trust))
    try:
        prepared = brought(prepare(settings, selection, keep_going=args.keep_going, frozen=args.frozen), console())
    except (DoesNotFit, TaskFailed, SurroundingsFailed):
        if args.resume is not None:  # what its record says of it still holds
            raise
        record.open({"pipeline": settings.pipeline.name, "tier": settings.tier.name, "command": sys.argv[1:]})
        raise
    whole = make_job(prepared.inventory, prepared.choice, prepared.device, keep_going=args.keep_going)
    done = set() if args.force else finished_tasks(whole, Artifacts(record.folder / "artifacts"))
    ended_well = args.resume is not None and _earlier(args.resume).get("status") == "ok"
    if ended_well and len(done) == len(all_tasks(prepared.choice.problem)):
        name_finished(prepared, record.folder, done)
        return ExitCode.OK
    record.open(facts_of(prepared, whole))
    write_config(record.folder, settings.resolved)
    return int(carry(prepared, whole, record, done))


def write_config(folder: Path, resolved: Mapping[str, Any]) -> None:
    """The config with every interpolation worked out."""
    from omegaconf import OmegaConf

    (folder / "config_resolved.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(dict(resolved))), encoding="utf-8")
