"""What recovery asks of a prepared run: the rest planned anew, and other ways to do a node. Implements `recovery.Planner`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pipelines.cli.plan import certified
from pipelines.graph.expand import expand
from pipelines.run.job import Job, remaining
from pipelines.run.ladder import Choice
from pipelines.run.recovery import Seen
from pipelines.schema.config import Variant, on_cpu
from pipelines.schema.ids import TaskId
from pipelines.schema.node import Place
from pipelines.schema.problem import Problem
from pipelines.session.choice import may_fall_back
from pipelines.session.prepare import Prepared, make_nodes

#: Knobs that trade speed for memory and leave the result as it is, and the least each may become.
_SMALLER = {"batch": 1, "segment": 2.0}


@dataclass(frozen=True)
class Replanner:
    """Plans what is left of a prepared run with the bytes that were seen."""

    prepared: Prepared

    def replan(self, job: Job, choice: Mapping[str, Variant], seen: Seen, gone: set[str]) -> Job:
        """The job of the remaining tasks. Raises `DoesNotFit`."""
        problem = remaining(self._problem(choice, seen), gone)
        nodes = make_nodes(self.prepared.graph, choice, self.prepared.device, self.prepared.selection)
        places = self._places(job, choice)
        return replace(
            job, choice=choice, nodes=nodes, places=places, problem=problem,
            plan=certified(problem, self.prepared.plan(problem)), digests=self.prepared.digests(choice.values(), places),
        )  # fmt: skip

    def alternatives(self, job: Job, node: str, seen: Seen) -> tuple[tuple[Choice, Variant], ...]:
        """Smaller first, then the tier's next variants, then the CPU where the tier lets the role go there."""
        now = job.choice.get(node)
        if now is None:
            return ()
        ways = [(made, frozenset({knob})) for knob in _SMALLER for made in _smaller(now, knob)]
        allowed = self.prepared.options.get(node, ())
        origins = [variant.origin for variant in allowed]
        worse = allowed[origins.index(now.origin) + 1 :] if now.origin in origins else ()
        ways += [(variant, frozenset({"variant"})) for variant in worse]
        if (
            self.prepared.device.memory != "host"
            and now.device is None
            and may_fall_back(self.prepared.settings.tier, now.role)
        ):
            ways.append((on_cpu(now), frozenset({"device"})))
        return tuple((Choice(made.name, changes, self._need(job, node, made, seen)), made) for made, changes in ways)

    def pinned(self, node: str) -> frozenset[str]:
        """What the command line named: the variant, a knob, the device."""
        settings, spec = self.prepared.settings, self.prepared.graph.node(node)
        if spec.role is None:
            return frozenset({"variant", "batch", "segment", "device"})
        fixed = {"variant"} if spec.role in settings.pinned else set()
        if spec.role in settings.device.roles:
            fixed.add("device")
        for override in settings.source.overrides:
            knob = re.match(rf"^\+*(?:model|tier\.knobs)\.{spec.role}\.(?:knobs\.)?(\w+)=", override)
            if knob:
                fixed.add(knob[1])
        return frozenset(fixed)

    def _problem(self, choice: Mapping[str, Variant], seen: Seen) -> Problem:
        prepared, sizing = self.prepared, self.prepared.sizing
        sizing = replace(
            sizing, limit_bytes=seen.limit_bytes, extra_weights=seen.extra_weights, extra_workspace=seen.extra_workspace
        )
        return expand(prepared.graph, prepared.items, choice, prepared.settings.tier, sizing, prepared.problem.seed)

    def _places(self, job: Job, choice: Mapping[str, Variant]) -> dict[str, Place]:
        """A changed variant keeps the weights of the one it came from."""
        options = [variant for variants in self.prepared.options.values() for variant in variants]
        weights = {v.origin: self.prepared.places[v.name].weights for v in options if v.name in self.prepared.places}
        own = self.prepared.device.torch_device
        made = {v.name: Place(v.device or own, weights.get(v.origin)) for v in choice.values()}
        return {**self.prepared.places, **job.places, **made}

    def _need(self, job: Job, node: str, variant: Variant, seen: Seen) -> int:
        """Device bytes of `node`'s hungriest task under `variant`, alone with the context."""
        problem = self._problem({**job.choice, node: variant}, replace(seen, limit_bytes=None))
        weights = problem.models[variant.name].weights_bytes if variant.name in problem.models else 0
        tasks = [task for task in problem.tasks if TaskId.parse(task.id).node == node]
        return (
            problem.context_bytes
            + weights
            + max((task.workspace_bytes + task.output_bytes for task in tasks), default=0)
        )


def _smaller(variant: Variant, knob: str) -> list[Variant]:
    """`variant` with `knob` halved, and halved again, down to its least."""
    value = variant.knobs.get(knob)
    made = []
    while isinstance(value, (int, float)) and not isinstance(value, bool) and value / 2 >= _SMALLER[knob]:
        value = value // 2 if isinstance(value, int) else value / 2
        made.append(variant.changed(f"+{knob}={value:g}", knobs={**variant.knobs, knob: value}))
    return made
