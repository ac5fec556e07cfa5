"""Headroom from Python: `plan`, `plan_problem`, `check`, `run`, `fit`. They print nothing, end no process and leave signals alone.

>>> from pipelines import api
>>> result = api.plan("stems", input="song.ogg", device="cpu")    # doctest: +SKIP
>>> result.plan.peak_bytes, result.variants                       # doctest: +SKIP
(1421869056, {'separate': 'separate/htdemucs'})

What is wrong is raised as a `pipelines.schema.errors.HeadroomError`, whose text is a sentence for a person. One call at
a time: configurations are composed by Hydra, which keeps its state in one place for the whole process.
"""

from __future__ import annotations

import re
import threading
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.config.compose import Composer
from pipelines.config.flags import override, parse_hydra_flags
from pipelines.config.settings import read_settings
from pipelines.plan.check import Verdict, certified
from pipelines.plan.check import check as check_plan
from pipelines.plan.planner import plan as plan_with_least_loads
from pipelines.plan.variants.frontier import FrontierPoint
from pipelines.schema.errors import UsageError
from pipelines.schema.plan import Plan
from pipelines.schema.problem import Problem
from pipelines.schema.record import Event
from pipelines.schema.settings import Settings
from pipelines.session.choice import plan_for
from pipelines.session.earlier import read_config_folder, read_overrides
from pipelines.session.pipeline_part import EVERYTHING, Selection
from pipelines.session.prepare import Prepared, prepare
from pipelines.session.result import RunResult
from pipelines.session.watcher import Watcher

if TYPE_CHECKING:
    from pipelines.session.fit import Fitting

__all__ = [
    "FitResult",
    "FrontierPoint",
    "PlanResult",
    "RunResult",
    "Selection",
    "Verdict",
    "check",
    "fit",
    "plan",
    "plan_problem",
    "run",
]

#: The value of a setting; what YAML can hold, and paths.
Setting = str | int | float | bool | Path | Sequence[Any] | Mapping[str, Any] | None


@dataclass(frozen=True)
class PlanResult:
    """A plan that the independent checker has passed.

    Attributes
    ----------
    problem, plan : what `problem.json` and `plan.json` hold; `to_json()` gives their text.
    variants : the chosen variant of each node that has a role, by node.
    notes : sentences for a person: what was passed over and why, what would be fetched.
    prepared : the facts and the choice behind it.
    """

    problem: Problem
    plan: Plan
    variants: Mapping[str, str]
    notes: tuple[str, ...]
    prepared: Prepared = field(repr=False)


@dataclass(frozen=True)
class FitResult:
    """What memory buys.

    Attributes
    ----------
    limit_bytes : the limit in force, None for all of the device.
    variants : the best that fit, by node; None where nothing fits, and `why_not` is the sentence.
    best : whether no set of higher quality fits, proved.
    frontier : points of limit (bytes), quality, makespan and load time (seconds), rising.
    smallest_tier : the tier of the smallest limit that works.
    """

    limit_bytes: int | None
    variants: Mapping[str, str] | None
    best: bool
    frontier: tuple[FrontierPoint, ...]
    smallest_tier: str | None
    why_not: str = ""


def plan(
    pipeline: str, *, config_dir: str | Path | None = None, selection: Selection = EVERYTHING, **settings: Setting
) -> PlanResult:
    """Plan a pipeline without loading anything.

    Parameters
    ----------
    pipeline : a name of `conf/pipeline/` or of `config_dir`.
    config_dir : a config folder of your own, as `-cd`.
    selection : a part of the pipeline, and packages whose classes the config may name.
    settings : by their names on the command line: `input="song.ogg"`, `tier="modest"`, `device="cpu"`, `seed=1`; names with
        other signs as `**{"tier.limit": "3GiB", "model/separate": "htdemucs"}`. What is not given is as the config has it.

    Raises
    ------
    DoesNotFit
        No variants fit the limit; `refusal` has the bytes.
    UsageError, InvalidError, TaskFailed
        The settings, the pipeline or the input cannot be.
    """
    return plan_settings(_read(pipeline, settings, config_dir), selection)


def plan_settings(settings: Settings, selection: Selection = EVERYTHING) -> PlanResult:
    """`plan` of settings that were read already."""
    prepared = prepare(settings, selection)
    problem = prepared.choice.problem
    made = certified(problem, plan_for(prepared.inventory.settings.tier, problem))
    variants = {node: variant.name for node, variant in prepared.choice.variants.items()}
    return PlanResult(problem, made, variants, prepared.notes, prepared)


def plan_problem(problem: Problem | str | Path) -> Plan:
    """Plan a bare problem, whoever made it: no pipeline, no config, no models.

    Parameters
    ----------
    problem : a problem, or its file.

    Returns
    -------
    Plan
        Passed by the independent checker.

    Raises
    ------
    DoesNotFit
        No plan fits the limit; `refusal` has the bytes.
    InvalidError
        The file is not a problem, or it has too many tasks.
    """
    read = _problem(problem)
    return certified(read, plan_with_least_loads(read))


def check(plan: Plan | str | Path, problem: Problem | str | Path | None = None) -> Verdict:
    """Recompute a plan from its problem, independently of the planner.

    Parameters
    ----------
    plan : a plan, a `plan.json`, or a run's folder.
    problem : its problem; by default the file beside the plan's: `problem.json`, of `plan-2.json` `problem-2.json`.

    Returns
    -------
    Verdict
        `ok`; else the index of the first wrong `step` and a `sentence`. Over the limit, `exit_code` is 4, else 3.

    Raises
    ------
    InvalidError
        A file is not a plan or not a problem.
    UsageError
        A plan that is not from a file was given without its problem.
    """
    if isinstance(plan, Plan):
        if problem is None:
            raise UsageError("A plan that is not from a file needs its problem: check(plan, problem).")
        return check_plan(_problem(problem), plan)
    file = Path(plan) / "plan.json" if Path(plan).is_dir() else Path(plan)
    made = Plan.read(file)
    return check_plan(_problem(_beside(file) if problem is None else problem), made)


def run(
    pipeline: str | None = None,
    *,
    config_dir: str | Path | None = None,
    selection: Selection = EVERYTHING,
    keep_going: bool = False,
    resume: str | Path | None = None,
    on_event: Callable[[Event], None] | None = None,
    cancel: threading.Event | None = None,
    **settings: Setting,
) -> RunResult:
    """Plan a pipeline and do it; everything it leaves is under one folder of `outputs/`.

    Parameters
    ----------
    pipeline, config_dir, selection, settings : as in `plan`.
    keep_going : when a task fails, do all that does not need it; the result then has `failed`.
    resume : folder of an earlier run to continue, whose own settings are used where no others are given here.
    on_event : told of every event, from whichever thread it happens in.
    cancel : set it from another thread to stop before the next step.

    Raises
    ------
    DoesNotFit, OutOfMemory, TaskFailed, UsageError, InvalidError, SurroundingsFailed, Interrupted
        What ended the run. Its record says the same.
    """
    from pipelines.session.run import RunRequest, run_composed  # a plan starts faster without the engine

    earlier = None if resume is None else Path(resume)
    words = [*([] if earlier is None else read_overrides(earlier)), *_words(pipeline, settings)]
    flags = _flags(words, config_dir)
    if earlier is not None and config_dir is None:
        flags.config_dir = read_config_folder(earlier)
        flags.from_record = flags.config_dir is not None
    request = RunRequest(
        selection, keep_going=keep_going, resume=earlier, command=("pipelines.api.run", *flags.overrides)
    )
    with Composer(flags) as composer:
        return run_composed(composer, request, _Observer(on_event), cancel or threading.Event())


def fit(
    pipeline: str, *, config_dir: str | Path | None = None, selection: Selection = EVERYTHING, **settings: Setting
) -> FitResult:
    """What memory buys: the variants of highest quality that fit, and limit against quality and time.

    The parameters are those of `plan`. That nothing fits is an answer here and not an error.
    """
    from pipelines.session.fit import fit_pipeline

    return _fit_result(fit_pipeline(_read(pipeline, settings, config_dir), selection))


class _Observer(Watcher):
    """A watcher that hands events on and says nothing."""

    def __init__(self, on_event: Callable[[Event], None] | None) -> None:
        self._on_event = on_event

    def __call__(self, event: Event) -> None:
        if self._on_event is not None:
            self._on_event(event)


def _words(pipeline: str | None, settings: Mapping[str, Setting]) -> list[str]:
    """The settings as they would be typed."""
    named = {} if pipeline is None else {"pipeline": pipeline}
    return [override(key, value) for key, value in {**named, **settings}.items()]


def _flags(words: Sequence[str], config_dir: str | Path | None) -> Namespace:
    return parse_hydra_flags([*([] if config_dir is None else ["--config-dir", str(config_dir)]), *words])


def _read(pipeline: str, settings: Mapping[str, Setting], config_dir: str | Path | None) -> Settings:
    with Composer(_flags(_words(pipeline, settings), config_dir)) as composer:
        return read_settings(composer.compose())


def _problem(problem: Problem | str | Path) -> Problem:
    return problem if isinstance(problem, Problem) else Problem.read(Path(problem))


def _beside(plan: Path) -> Path:
    """The problem of a plan's file: of a plan made anew (`plan-2.json`) that of the same number, where it is there."""
    number = re.fullmatch(r"plan(-[0-9]+)\.json", plan.name)
    numbered = plan.with_name(f"problem{number[1] if number else ''}.json")
    return numbered if numbered.exists() else plan.with_name("problem.json")


def _fit_result(found: Fitting) -> FitResult:
    chosen = found.chosen
    return FitResult(
        limit_bytes=found.limit_bytes,
        variants=None if chosen is None else {node: variant.name for node, variant in chosen.variants.items()},
        best=chosen is not None and chosen.best,
        frontier=found.frontier,
        smallest_tier=found.smallest_tier,
        why_not="" if found.refused is None else str(found.refused),
    )
