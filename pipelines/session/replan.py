"""What recovery asks of a prepared run: the rest planned anew, and other ways to do a node. Implements `recovery.Replanner`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pipelines.plan.check import certified
from pipelines.run.job import Job, remaining
from pipelines.run.ladder import Alternative
from pipelines.run.recovery import Corrections
from pipelines.schema.config import Variant, on_cpu
from pipelines.schema.ids import TaskId
from pipelines.schema.problem import Problem
from pipelines.session.choice import may_fall_back, plan_for, problem_of
from pipelines.session.job import digests_of, make_nodes, places_of
from pipelines.session.prepare import Prepared

#: Knobs that trade speed for memory and leave the result as it is, and the least each may become.
_SMALLER = {"batch": 1, "segment": 2.0}


@dataclass(frozen=True)
class SessionReplanner:
    """Plans what is left of a prepared run with the bytes that were measured."""

    prepared: Prepared

    def replan(self, job: Job, variants: Mapping[str, Variant], corrections: Corrections, finished: set[str]) -> Job:
        """The job of the remaining tasks. Raises `DoesNotFit`."""
        inventory = self.prepared.inventory
        problem = remaining(self._problem(variants, corrections), finished)
        return replace(
            job,
            variants=variants,
            nodes=make_nodes(inventory, variants, self.prepared.device),
            places={**job.places, **places_of(inventory, variants.values())},
            problem=problem,
            plan=certified(problem, plan_for(inventory.settings.tier, problem)),
            digests=digests_of(inventory, variants.values()),
        )

    def alternatives(self, job: Job, node: str, corrections: Corrections) -> tuple[tuple[Alternative, Variant], ...]:
        """Smaller first, then the tier's next variants, then the CPU where the tier lets the role go there."""
        now = job.variants.get(node)
        if now is None:
            return ()
        ways = [(made, frozenset({knob})) for knob in _SMALLER for made in _smaller(now, knob)]
        ways += [(variant, frozenset({"variant"})) for variant in self._worse(node, now)]
        if self._may_go_to_cpu(now):
            ways.append((on_cpu(now), frozenset({"device"})))
        return tuple(
            (Alternative(made.name, changes, self._needed_bytes(job, node, made, corrections)), made)
            for made, changes in ways
        )

    def pinned(self, node: str) -> frozenset[str]:
        """What the command line named: the variant, a knob, the device."""
        settings, spec = self.prepared.inventory.settings, self.prepared.inventory.graph.node(node)
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

    def _worse(self, node: str, now: Variant) -> tuple[Variant, ...]:
        """The variants below the one in use, as the tier orders them."""
        allowed = self.prepared.choice.options.get(node, ())
        origins = [variant.origin for variant in allowed]
        return allowed[origins.index(now.origin) + 1 :] if now.origin in origins else ()

    def _may_go_to_cpu(self, now: Variant) -> bool:
        inventory = self.prepared.inventory
        elsewhere = inventory.device.memory != "host" and now.device is None
        return elsewhere and may_fall_back(inventory.settings.tier, now.role)

    def _problem(self, variants: Mapping[str, Variant], corrections: Corrections) -> Problem:
        sizing = replace(
            self.prepared.choice.sizing,
            limit_bytes=corrections.limit_bytes,
            extra_weights=corrections.extra_weights,
            extra_workspace=corrections.extra_workspace,
        )
        return problem_of(self.prepared.inventory, variants, sizing)

    def _needed_bytes(self, job: Job, node: str, variant: Variant, corrections: Corrections) -> int:
        """Device bytes of `node`'s hungriest task under `variant`, alone with the context."""
        problem = self._problem({**job.variants, node: variant}, replace(corrections, limit_bytes=None))
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
