"""Recovery over an engine that is told which trouble to raise: what it learns, whom it blames, and where it goes on."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.memory.harness import Bench
from pipelines.devices.protocol import Process
from pipelines.devices.simulated import SimulatedDevice
from pipelines.run.job import Job, remaining
from pipelines.run.ladder import MODES, Action, Alternative, Rung, Trouble
from pipelines.run.outcome import MemoryTrouble, Outcome
from pipelines.run.recovery import Corrections, Recovery, rung_lines
from pipelines.schema.config import Variant
from pipelines.schema.errors import DoesNotFit, OutOfMemory
from pipelines.schema.refusal import Refusal
from pipelines.schema.units import MIB

LIMIT = 200 * MIB
BENCH = Bench(((80 * MIB, 5 * MIB), (40 * MIB, 3 * MIB)), LIMIT)
JOB = BENCH.job()


class Engine:
    """Raises each trouble of a list in turn, and then is done. What is asked of it is kept."""

    def __init__(self, *script: Any, beside: tuple[str, ...] = ()) -> None:
        self.job, self.outcome = JOB, Outcome()
        self.device = SimulatedDevice(total_bytes=1000 * MIB, track=False)
        self.script: Iterator[Any] = iter(script)
        self.beside, self.events, self.calls = beside, list[Any](), list[str]()
        self.before_step: Any = None

    def execute(self) -> Outcome:
        self.calls.append("execute")
        for step in self.script:
            if isinstance(step, BaseException):
                raise step
            step()
            self.before_step()
        return self.outcome

    def next_tasks_of_others(self, task: str) -> list[str]:
        return [other for other in self.beside if other != task]

    def unload_all(self) -> None:
        self.calls.append("unload_all")

    def adopt(self, job: Job) -> None:
        self.calls.append("adopt")
        self.job = job

    def emit(self, kind: str, **data: Any) -> None:
        self.events.append((kind, data))


class Planner:
    """Plans anything whose variants `fits` takes; offers `others` of each node."""

    def __init__(self, **others: list[tuple[str, int, set[str]]]) -> None:
        self.others, self.asked = others, list[tuple[dict[str, str], Corrections]]()
        self.refuse: Any = lambda variants: None

    def replan(self, job: Job, variants: Mapping[str, Variant], corrections: Corrections, finished: set[str]) -> Job:
        self.asked.append(({node: each.name for node, each in variants.items()}, corrections))
        blamed = self.refuse({node: each.name for node, each in variants.items()})
        if blamed is not None:
            raise DoesNotFit(Refusal("too much", True, blamed or None, None, None, None))
        plan = replace(job.plan, limit_bytes=corrections.limit_bytes)
        return replace(job, variants=variants, problem=remaining(job.problem, finished), plan=plan)

    def alternatives(self, job: Job, node: str, corrections: Corrections) -> tuple[tuple[Alternative, Variant], ...]:
        return tuple(
            (Alternative(name, frozenset(changes), needed), replace(JOB.variants[node], origin=name))
            for name, needed, changes in self.others.get(node, [])
        )

    def pinned(self, node: str) -> frozenset[str]:
        return frozenset()


def trouble(kind: Trouble, needed: int, predicted: int = 85, task: str = "i0/n0", **more: Any) -> MemoryTrouble:
    given = {"subject": task.split("/")[1], "loading": False} | more
    if given.get("limit") is not None:
        given["limit"] *= MIB
    return MemoryTrouble(kind, task, predicted=predicted * MIB, needed=needed * MIB, **given)


def full(needed: int = 85, **more: Any) -> MemoryTrouble:
    return trouble(Trouble.OUT_OF_MEMORY, needed, **more)


def drift(needed: int, **more: Any) -> MemoryTrouble:
    return trouble(Trouble.DRIFT, needed, **more)


def recovery(engine: Engine, planner: Planner | None = None, mode: str = "balanced") -> Recovery:
    return Recovery(engine, planner or Planner(), MODES[mode], patience=0.0)  # type: ignore[arg-type]


def actions(found: Recovery, task: str = "i0/n0") -> list[str]:
    return [rung.alternative.name if rung.alternative else rung.action.value for rung in found.tried.get(task, [])]


def test_rungs_are_climbed_one_at_a_time_and_told() -> None:
    engine = Engine(full(), full(), full())
    found = recovery(engine)
    assert found.execute() is engine.outcome
    assert actions(found) == ["free", "retry", "replan"]
    told = [(data["rung"], data["task"], data["because"]) for kind, data in engine.events if kind == "rung"]
    assert told[0] == ("free", "i0/n0", "i0/n0: memory ran out; freeing caches")
    assert [rung for rung, _, _ in told] == ["free", "retry", "replan"]
    assert rung_lines(found.tried) == {"i0/n0": [because for _, _, because in told]}
    assert engine.calls == ["execute"] * 3 + ["unload_all", "adopt", "execute", "unload_all"]


def test_a_new_plan_is_told_and_given_on() -> None:
    engine, jobs = Engine(drift(110)), list[Job]()
    found = recovery(engine)
    found.on_plan = jobs.append
    engine.outcome.done.add("i0/n0")
    found.execute()
    assert jobs == [engine.job]
    (data,) = (data for kind, data in engine.events if kind == "replan")
    assert data == {
        "remaining": 1, "limit_bytes": LIMIT, "peak_bytes": JOB.plan.peak_bytes, "steps": len(JOB.plan.steps),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("loading", "weights", "workspace"), [(True, {"n0": 25 * MIB}, {}), (False, {}, {"n0": 25 * MIB})]
)
def test_what_was_measured_above_the_plan_is_planned_with(loading: bool, weights: object, workspace: object) -> None:
    planner = Planner()
    recovery(Engine(drift(110, loading=loading)), planner).execute()
    _, corrections = planner.asked[0]
    assert corrections == Corrections(LIMIT, weights, workspace)  # type: ignore[arg-type]


def test_what_a_plan_holds_already_is_added_to_and_what_is_less_changes_nothing() -> None:
    planner = Planner(n0=[("a", MIB, {"batch"}), ("b", MIB, {"batch"})])
    script = (drift(110), drift(120, predicted=110), drift(115, predicted=110))
    recovery(Engine(*script), planner).execute()
    # Of the third, 35 were planned with and 5 more were taken.
    assert [corrections.extra_workspace["n0"] // MIB for _, corrections in planner.asked] == [25, 35, 40]


def test_a_step_that_fails_twice_before_it_is_planned_anew_teaches_its_bytes_once() -> None:
    planner = Planner()
    recovery(Engine(full(100), full(100), full(100)), planner).execute()
    assert [corrections.extra_workspace for _, corrections in planner.asked] == [{"n0": 15 * MIB}]


def test_what_others_leave_is_the_limit_and_only_where_it_is_less() -> None:
    planner = Planner()
    recovery(Engine(*[trouble(Trouble.FOREIGN, 85, limit=150)] * 3), planner).execute()
    assert planner.asked[0][1].limit_bytes == 150 * MIB
    planner = Planner()
    recovery(Engine(*[trouble(Trouble.FOREIGN, 85, limit=900)] * 3), planner).execute()
    assert planner.asked[0][1].limit_bytes == LIMIT


def test_where_nothing_is_left_it_stops_with_all_that_was_tried() -> None:
    engine = Engine(*[full()] * 9)
    found = recovery(engine)
    with pytest.raises(OutOfMemory, match=r"i0/n0 was to take 85 MiB of 200 MiB .*Tried: caches were freed"):
        found.execute()
    assert actions(found) == ["free", "retry", "replan", "stop"]
    assert engine.calls[-1] == "unload_all"


def test_drift_that_no_other_plan_fits_goes_on_below_the_limit_and_stops_above_it() -> None:
    planner = Planner()
    planner.refuse = lambda variants: "i0/n0"
    engine = Engine(drift(200))
    found = recovery(engine, planner)
    assert found.execute() is engine.outcome
    warnings = [data["text"] for kind, data in engine.events if kind == "warning"]
    assert warnings[0] == "no plan for the rest that way: too much"
    assert warnings[-1] == "i0/n0 took more than planned; the plan is kept, for no other fits."
    assert actions(found) == ["replan", "stop"]
    with pytest.raises(OutOfMemory):
        recovery(Engine(drift(201)), planner).execute()


def test_a_smaller_variant_takes_the_place_of_one_that_has_no_room() -> None:
    planner = Planner(n0=[("large", LIMIT + 1, {"variant"}), ("small", MIB, {"variant"})])
    engine = Engine(*[full()] * 4)
    found = recovery(engine, planner)
    found.execute()
    assert actions(found) == ["free", "retry", "replan", "small"]
    assert engine.job.variants["n0"].name == "small"
    assert engine.job.variants["n1"].name == "n1"


def test_where_a_plan_fails_because_of_another_task_that_one_changes_too_and_at_once() -> None:
    planner = Planner(n0=[("small", MIB, {"variant"})], n1=[("tiny", MIB, {"variant"})])
    planner.refuse = lambda variants: "i0/n1" if variants["n1"] == "n1" else None
    engine = Engine(*[full()] * 3)
    found = recovery(engine, planner)
    found.execute()
    assert actions(found) == ["free", "retry", "replan"]
    assert actions(found, "i0/n1") == ["tiny"]
    assert {node: each.name for node, each in engine.job.variants.items()} == {"n0": "n0", "n1": "tiny"}


def test_where_nothing_helps_the_task_those_beside_it_give_way_the_first_first() -> None:
    planner = Planner(n1=[("tiny", MIB, {"variant"})])
    engine = Engine(*[full()] * 4, beside=("i0/n1",))
    found = recovery(engine, planner)
    found.execute()
    assert actions(found) == ["free", "retry", "replan"]
    assert actions(found, "i0/n1") == ["tiny"], "what changes nothing has been tried"
    assert engine.job.variants["n1"].name == "tiny"


def test_a_plan_that_fails_for_no_single_task_blames_the_one_in_trouble() -> None:
    planner = Planner(n0=[("small", MIB, {"variant"}), ("smaller", MIB, {"variant"})])
    planner.refuse = lambda variants: None if variants["n0"] == "smaller" else ""
    engine = Engine(drift(110))
    found = recovery(engine, planner)
    found.execute()
    assert actions(found)[0] == "replan"
    assert actions(found)[-1] == "smaller"
    assert engine.job.variants["n0"].name == "smaller"


def displaced() -> tuple[Engine, Planner, Recovery]:
    """After another process has taken memory and `n0` has moved to a smaller variant; the next step looks first."""
    planner = Planner(n0=[("small", MIB, {"variant"})])
    planner.refuse = lambda variants: "i0/n0" if variants["n0"] == "n0" and engine.device.foreign else None

    def free() -> None:
        engine.device.foreign = ()

    script = (*[trouble(Trouble.FOREIGN, 85, limit=50)] * 3, lambda: None, free, lambda: None, lambda: None)
    engine = Engine(*script)
    engine.device.foreign = (Process(1, "game", 900 * MIB),)
    return engine, planner, recovery(engine, planner)


def test_a_displaced_task_goes_back_when_the_bytes_are_free_and_stay_so() -> None:
    engine, planner, found = displaced()
    found.execute()
    assert actions(found) == ["free", "retry", "replan", "small", "the first plan's variants"]
    assert engine.job.variants["n0"].name == "n0"
    assert [corrections.limit_bytes for _, corrections in planner.asked][-2:] == [50 * MIB, LIMIT]
    told = [data for kind, data in engine.events if kind == "rung"][-1]
    assert told["rung"] == "back"
    assert told["because"].endswith("are free again; going back to the first plan's variants")


def test_where_the_way_back_does_not_fit_they_stay_and_are_not_asked_again() -> None:
    engine, planner, found = displaced()
    planner.refuse = lambda variants: "i0/n0" if variants["n0"] == "n0" else None
    found.execute()
    assert engine.job.variants["n0"].name == "small"
    assert found.corrections.limit_bytes == 50 * MIB
    assert actions(found).count("the first plan's variants") == 1


def test_with_no_task_left_there_is_no_way_back() -> None:
    engine, _, found = displaced()
    engine.outcome.done.add("i0/n0")
    found.execute()
    assert actions(found)[-1] == "small"


def test_what_moved_because_it_was_too_large_itself_does_not_go_back() -> None:
    planner = Planner(n0=[("small", MIB, {"variant"})])
    nothing = lambda: None  # noqa: E731
    engine = Engine(*[full()] * 4, nothing, nothing, nothing)
    found = recovery(engine, planner)
    found.execute()
    assert engine.job.variants["n0"].name == "small"
    assert Action.BACK not in [rung.action for rung in found.tried["i0/n0"]]


def test_lines_of_several_tasks() -> None:
    rung = Rung(Action.FREE, "why")
    assert rung_lines({"a": [rung, rung], "b": []}) == {"a": ["why; freeing caches"] * 2, "b": []}


def test_only_another_process_is_waited_for_and_for_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = list[tuple[int, float]]()
    monkeypatch.setattr("pipelines.run.recovery.room_for", lambda device, needed, wait: waits.append((needed, wait)))
    engine = Engine(full(), trouble(Trouble.FOREIGN, 85, task="i0/n1", limit=150))
    engine.device.loaded("n0", 80 * MIB)
    found = recovery(engine)
    found.patience = 7.0
    found.execute()
    assert waits == [(5 * MIB, 0.0), (5 * MIB, 7.0)]
