"""Which nodes of a run hand their sound on chunk by chunk, and its problem with each such chain as one task; and why one is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from pipelines.graph.chains import Chain, find_stream_chains, streams_from
from pipelines.graph.fuse import fuse, single_task_problem
from pipelines.plan.model.needs import least_bytes
from pipelines.schema.config import Variant
from pipelines.schema.ids import parts
from pipelines.schema.problem import Problem, Task
from pipelines.schema.settings import Settings, Tier
from pipelines.schema.units import format_bytes
from pipelines.session.inventory import Inventory, NodeTraits
from pipelines.stream.chain_run import Streaming
from pipelines.stream.pacing import StreamSettings


def streaming_of(settings: Settings) -> Streaming:
    """How this run streams: the tier's figures, and whether it rests (`stream.pace`)."""
    return Streaming(StreamSettings.of(settings.tier), settings.options.stream.pace)


def find_chains(inventory: Inventory, variants: Mapping[str, Variant]) -> tuple[tuple[Chain, ...], tuple[str, ...]]:
    """The chains of the pipeline as its chosen nodes allow them, and a note for each node that was to stream and does not.

    There are none with `stream.use=false`.
    """
    settings, graph = inventory.settings, inventory.graph

    def traits(name: str) -> NodeTraits:
        target = variants[name].target if name in variants else graph.node(name).target
        return inventory.traits[str(target)]

    found = find_stream_chains(graph, lambda n: traits(n).can_start_chain, lambda n: traits(n).can_continue_chain)
    if not settings.options.stream.use:
        return (), ()
    joined = {name for chain in found for name in chain[1:]}
    befores = {name: streams_from(graph, name) for name in graph.order if name not in joined}
    notes = (
        f"{name} waits for all of {before}'s sound: as they are chosen here, they do not stream."
        for name, before in befores.items()
        if before in graph.order
    )
    return found, tuple(notes)


def fuse_chains(problem: Problem, chains: Sequence[Chain], tier: Tier) -> tuple[Problem, tuple[str, ...]]:
    """The problem with each item's chains as one task, where that fits the limit, and a note where one does not.

    The others are planned node by node. So streaming never makes a run need more than it has: every fused task fits by
    itself, and no other changes.
    """
    fused, refused = fuse(problem, chains, _fits(problem, tier))
    return fused, (_why(problem, refused, tier),) if refused else ()


def hungriest(problem: Problem, tier: Tier) -> tuple[Task, int] | None:
    """The fused task that needs the largest limit, and that limit: under a smaller one it would not stream. None without any."""
    fused = [task for task in problem.tasks if len(parts(task.id)) > 1]
    needs = [_least(problem, single_task_problem(problem, task), tier) for task in fused]
    return max(zip(fused, needs, strict=True), key=lambda pair: pair[1], default=None)


def _fits(problem: Problem, tier: Tier) -> Callable[[Problem, Task], bool]:
    def fits(own: Problem, task: Task) -> bool:
        if tier.residency == "sequential" and len(task.models) > 1:
            return False
        return problem.limit_bytes is None or _least(problem, own, tier) <= problem.limit_bytes

    return fits


def _least(problem: Problem, own: Problem, tier: Tier) -> int:
    """The smallest limit for `own`, a problem of one task of `problem`."""
    if tier.residency != "normal":
        return least_bytes(own)
    others = sum(model.weights_bytes for name, model in problem.models.items() if name not in own.models)
    return least_bytes(replace(own, context_bytes=own.context_bytes + others))  # the other models are there as well


def _why(problem: Problem, refused: Sequence[Task], tier: Tier) -> str:
    task = max(refused, key=lambda task: _bytes(problem, task))
    more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
    if tier.residency == "sequential" and len(task.models) > 1:
        return f"{task.id}{more} does not stream: residency=sequential keeps one model at a time."
    return (
        f"{task.id}{more} does not stream: its nodes together need {format_bytes(_bytes(problem, task))} of "
        f"{format_bytes(problem.limit_bytes or 0)}. They are run one after another."
    )


def _bytes(problem: Problem, task: Task) -> int:
    return problem.context_bytes + task.workspace_bytes + sum(problem.models[m].weights_bytes for m in task.models)
