"""What plans need at least: every shipped pipeline with its best variants at their declared real sizes, and a voice service.

Nothing is loaded. Exact: no plan can need less than the context and its hungriest task or load alone, so a plan that needs
just that is the least there is. Resident: everything loaded at once, and the largest workspace.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.adaptive.low_vram import CONTEXT, WEIGHTS, WORKSPACES
from pipelines.cli.verbs import composed_settings
from pipelines.config.variants import load_variant
from pipelines.plan.planner import plan
from pipelines.schema.config import Item, Variant, evaluate
from pipelines.schema.errors import DoesNotFit
from pipelines.schema.problem import Problem
from pipelines.schema.settings import Settings
from pipelines.schema.units import MIB
from pipelines.session.candidates import find_candidates, sizing_of
from pipelines.session.choice import builder
from pipelines.session.device import find_device
from pipelines.session.inventory import take_inventory

PIPELINES = ("ultrasinger", "karaoke", "stems", "dub", "dub_audio")
#: A song, and a paragraph.
SECONDS, TEXT = 210.0, "The measure of a song is not its length but the breath between the words. " * 5
#: Of each role, the variant of highest quality; those that end in `*` are pinned by a row of their own below.
BEST = {
    "separate": "htdemucs_ft", "transcribe": "large_v3", "pitch": "crepe_full", "speak": "xtts", "convert": "rvc",
}  # fmt: skip
INT8 = "large_v3_turbo_int8"


def run(quick: bool) -> dict[str, Any]:
    """Rows by pipeline, the voice service, and UltraSinger with an 8-bit Whisper. `quick` changes nothing: it takes seconds."""
    with tempfile.TemporaryDirectory() as folder:
        table = _items(Path(folder))
        rows = {name: row(name, table, BEST) for name in PIPELINES}
        rows[f"ultrasinger, {INT8}"] = row("ultrasinger", table, {**BEST, "transcribe": INT8})
    service = voice_service()
    int8 = rows[f"ultrasinger, {INT8}"]
    return {
        "item": {"seconds": SECONDS, "characters": len(TEXT)},
        "pipelines": rows,
        "voice_service": service,
        "bars": {
            "planned peak at most 1.02 x the exact minimum": all(r["times_minimum"] <= 1.02 for r in rows.values()),
            "UltraSinger with an 8-bit Whisper in at most 1.6 GB, before margins and context": int8["bare_bytes"] <= 1.6e9,
            "voice service saves at least 70 % of weights and workspaces, the process's context left aside": max(
                each["saving_without_context"] for each in service["planned"].values()
            )
            >= 0.70,
        },
    }  # fmt: skip


def row(pipeline: str, table: Path, best: Mapping[str, str]) -> dict[str, Any]:
    """One pipeline on two items, its plan under the smallest limit that has one."""
    settings = _settings(pipeline, table, best)
    inventory = take_inventory(settings, find_device(settings)[0])
    candidates = find_candidates(inventory)
    options = candidates.by_node
    chosen = {node: some[0].name for node, some in options.items()}
    problem = builder(inventory, options, sizing_of(inventory, candidates.margins))(chosen, None)
    least = exact_minimum(problem)
    peak = planned_minimum(problem, least)
    resident = problem.context_bytes + sum(model.weights_bytes for model in problem.models.values())
    resident += max(task.workspace_bytes for task in problem.tasks)
    variants = {node: variants[0] for node, variants in options.items()}
    return {
        "variants": chosen,
        "exact_minimum_bytes": least,
        "planned_peak_bytes": peak,
        "times_minimum": round(peak / least, 4),
        "resident_bytes": resident,
        "saving": round(1 - peak / resident, 3),
        "saving_without_context": round(1 - (peak - problem.context_bytes) / (resident - problem.context_bytes), 3),
        "context_bytes": problem.context_bytes,
        "bare_bytes": _bare(variants.values(), inventory.items),
    }


def exact_minimum(problem: Problem) -> int:
    """Bytes that any plan needs: the hungriest task or load, alone. Only where no task keeps outputs on the device."""
    if any(task.output_bytes for task in problem.tasks):
        raise ValueError("a task keeps its output on the device: the least is not that of one task alone")
    of_tasks = [
        sum(problem.models[name].weights_bytes for name in task.models) + task.workspace_bytes for task in problem.tasks
    ]
    of_loads = [problem.models[name].load_peak_bytes for task in problem.tasks for name in task.models]
    return problem.context_bytes + max([*of_tasks, *of_loads])


def planned_minimum(problem: Problem, least: int) -> int:
    """The peak of the plan under the smallest limit that has one, sought upwards from `least` in steps of 1 %."""
    limit = least
    while True:
        try:
            return plan(replace(problem, limit_bytes=limit)).peak_bytes
        except DoesNotFit:
            limit += limit // 100


def voice_service() -> dict[str, Any]:
    """XTTS, F5 and RVC: all resident, each with its workspace, against one at a time; sizes of `benchmarks.adaptive`.

    The saving grows with what is done beside order: bounded windows (our nodes' declared workspaces), then half precision.
    """
    resident = CONTEXT + sum(WEIGHTS.values()) + sum(WORKSPACES.values())
    text = Item("", seconds=SECONDS, characters=400)
    ours = {name: _variant_bytes(name, text) for name in ("xtts", "f5", "rvc")}
    half = {**ours, "xtts": (_XTTS_HALF, ours["xtts"][1])}
    kinds = {
        "one at a time": {name: (WEIGHTS[name], WORKSPACES[name]) for name in WEIGHTS},
        "and workspaces bounded": ours,
        "and XTTS in half precision": half,
    }
    planned = {}
    for kind, sizes in kinds.items():
        peak = CONTEXT + max(weights + workspace for weights, workspace in sizes.values())
        planned[kind] = {
            "peak_bytes": peak,
            "saving": round(1 - peak / resident, 3),
            "saving_without_context": round(1 - (peak - CONTEXT) / (resident - CONTEXT), 3),
        }
    return {"resident_bytes": resident, "context_bytes": CONTEXT, "planned": planned}


#: As `conf/model/speak/xtts.yaml` says of `precision: float16`.
_XTTS_HALF = 1029 * MIB
_ROLES = {"xtts": "speak", "f5": "speak", "rvc": "convert"}


def _variant_bytes(name: str, item: Item) -> tuple[int, int]:
    settings = composed_settings(["pipeline=dub"])
    assert settings is not None
    variant = load_variant(settings.source.search, _ROLES[name], name)
    return variant.footprint_in("accelerator").weights, _workspace(variant, item)


def _workspace(variant: Variant, item: Item) -> int:
    return round(evaluate(variant.footprint_in("accelerator").workspace, item, variant.knobs))


def _bare(variants: Any, items: Sequence[Item]) -> int:
    """Weights and workspace of the hungriest variant as declared, without margin and context."""
    return max(
        variant.footprint_in("accelerator").weights + _workspace(variant, item)
        for variant in variants
        for item in items
    )


def _settings(pipeline: str, table: Path, best: Mapping[str, str]) -> Settings:
    given = [
        f"pipeline={pipeline}",
        "device=simulated",
        "device.total=96GiB",
        f"input={table}",
        "accept_licence=[xtts]",
        f"weights_dir={table.parent}",
    ]
    plain = composed_settings(given)
    assert plain is not None
    roles = {node.role for node in plain.pipeline.nodes if node.role}
    settings = composed_settings([*given, *(f"model/{role}={best[role]}" for role in sorted(roles))])
    assert settings is not None
    return settings


def _items(folder: Path) -> Path:
    """A table of one song and one text, whichever a pipeline takes."""
    import numpy as np
    import soundfile

    soundfile.write(folder / "song.flac", np.zeros((int(SECONDS * 8000), 2), np.float32), 8000)
    for name in ("hubert", "voice.pth", "rmvpe.pt"):  # nothing is read of a voice but that it is there
        (folder / "rvc").mkdir(exist_ok=True)
        (folder / "rvc" / name).touch()
    table = folder / "items.jsonl"
    table.write_text(json.dumps({"audio": str(folder / "song.flac"), "text": TEXT.strip()}) + "\n", encoding="utf-8")
    return table
