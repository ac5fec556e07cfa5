"""From moves to a plan: the bytes of every step and both lanes of time computed, indices turned back into names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipelines.plan.model.instance import Instance
from pipelines.plan.model.moves import LoadMove, Move, RunMove
from pipelines.schema.plan import Load, Plan, Run, Stage, Step, Unload


@dataclass(slots=True)
class _Clock:
    """The compute lane and the load lane, in seconds since the start. docs/formats.md defines when steps start."""

    run_start: float = 0.0
    run_end: float = 0.0
    lane_free: float = 0.0
    plain_end: float = 0.0
    ready_at: dict[int, float] = field(default_factory=dict)
    pending: list[tuple[int, float]] = field(default_factory=list)

    def load(self, model: int, seconds: float) -> None:
        self.lane_free = max(self.lane_free, self.run_end) + seconds
        self.plain_end = self.ready_at[model] = self.lane_free

    def run(self, models: Sequence[int], seconds: float) -> None:
        self.run_start = max([self.run_end, self.plain_end, *(self.ready_at[m] for m in models)])
        self.run_end = self.run_start + seconds
        for model, cost in self.pending:
            self.lane_free = max(self.lane_free, self.run_start) + cost
            self.ready_at[model] = self.lane_free
        self.pending.clear()


class Assembler:
    """Simulates moves, one at a time. `peak`, `load_seconds` and `clock.run_end` are the totals so far."""

    def __init__(self, instance: Instance) -> None:
        self._in = instance
        self._context = instance.problem.context_bytes
        self._resident = self._context
        self._live = [0] * len(instance.task_ids)
        self._waiting = [len(after) for after in instance.succs]
        self._loaded = [False] * len(instance.model_ids)
        self._extra: dict[int, int] = {}
        self.peak = self._context
        self.load_seconds = 0.0
        self.clock = _Clock()
        self.steps: list[Step] = []
        self._stage_peaks: dict[int, int] = {}

    def move(self, move: Move) -> None:
        """Append one step."""
        if isinstance(move, RunMove):
            self._run(move.tasks)
        elif isinstance(move, LoadMove):
            self._load(move.model, move.during)
        else:
            self._resident -= self._in.weights[move.model]
            self.steps.append(Unload(self._in.model_ids[move.model], self._resident))

    def _load(self, model: int, during: int | None) -> None:
        cost = self._in.reload_cost[model] if self._loaded[model] else self._in.load_cost[model]
        self._loaded[model] = True
        self.load_seconds += cost
        weights, above = self._in.weights[model], self._in.load_peak[model] - self._in.weights[model]
        self._resident += weights
        if during is None:
            self._extra.clear()
            self.clock.load(model, cost)
            self.peak = max(self.peak, self._resident + above)
            self.steps.append(Load(self._in.model_ids[model], self._resident))
        else:
            self._extra[model] = above
            self.clock.pending.append((model, cost))
            self.peak = max(self.peak, self._resident + max(self._extra.values()))
            self.steps.append(Load(self._in.model_ids[model], self._resident, self._in.task_ids[during]))

    def _run(self, tasks: tuple[int, ...]) -> None:
        models = sorted({model for task in tasks for model in self._in.need_lists[task]})
        for model in models:
            self._extra.pop(model, None)
        self._resident += sum(self._in.output[task] for task in tasks)
        peak = self._resident + sum(self._in.workspace[task] for task in tasks) + max(self._extra.values(), default=0)
        self.peak = max(self.peak, peak)
        self.clock.run(models, max(self._in.seconds[task] for task in tasks))
        self._release(tasks)
        self.steps.append(Run(tuple(self._in.task_ids[task] for task in tasks), peak))
        for task in tasks:
            stage = self._in.generation[task]
            self._stage_peaks[stage] = max(self._stage_peaks.get(stage, 0), peak)

    def _release(self, tasks: tuple[int, ...]) -> None:
        for task in tasks:
            if self._in.succs[task]:
                self._live[task] = self._in.output[task]
            else:
                self._resident -= self._in.output[task]
            for before in self._in.preds[task]:
                self._waiting[before] -= 1
                if self._waiting[before] == 0:
                    self._resident -= self._live[before]
                    self._live[before] = 0

    def stages(self) -> tuple[Stage, ...]:
        """Topological generations with the highest peak of the runs that hold their tasks."""
        tasks_at: dict[int, list[str]] = {}
        for task, level in enumerate(self._in.generation):
            tasks_at.setdefault(level, []).append(self._in.task_ids[task])
        return tuple(Stage(i, tuple(tasks_at[i]), self._stage_peaks.get(i, self._context)) for i in sorted(tasks_at))


def assemble(
    instance: Instance, moves: Sequence[Move], lower_bound: float, *, method: str, expansions: int = 0,
) -> Plan:  # fmt: skip
    """The plan of `moves`. `lower_bound` bounds the objective's first quantity; a cost within 1e-9 of it is proved."""
    simulation = Assembler(instance)
    for move in moves:
        simulation.move(move)
    problem = instance.problem
    cost = simulation.load_seconds if problem.objective == "load" else simulation.clock.run_end
    proved = cost - lower_bound <= 1e-9 * max(1.0, cost)
    return Plan(
        objective=problem.objective,
        limit_bytes=problem.limit_bytes,
        peak_bytes=simulation.peak,
        load_seconds=simulation.load_seconds,
        makespan_seconds=simulation.clock.run_end,
        lower_bound=cost if proved else lower_bound,
        proved_optimal=proved,
        steps=tuple(simulation.steps),
        stages=simulation.stages(),
        method=method,
        expansions=expansions,
    )
