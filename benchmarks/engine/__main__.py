"""python -m benchmarks.engine [--quick]: what the engine itself costs a step, and how fast a plan is shown; written to
benchmarks/results/engine.json.

Overhead a step = (wall of carrying the plan out - seconds inside the nodes) / steps. The nodes do nothing; the engine,
the record, the files and their digests, and the kernel's high-water marks are those of every run. A step leaves a folder
with two small files; what making these alone costs here is measured beside it, and the same run in a folder in memory.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import platform
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pipelines.devices.cpu import CpuDevice
from pipelines.graph.build import Ports, build
from pipelines.graph.expand import Sizing, expand
from pipelines.plan.planner import plan as make_plan
from pipelines.run.artifacts import Artifacts
from pipelines.run.engine import Engine
from pipelines.run.job import Job
from pipelines.run.recorder import Recorder
from pipelines.schema.config import Footprint, Item, NodeSpec, PipelineSpec
from pipelines.schema.node import Plain, Port
from pipelines.schema.settings import Tier

RESULTS = Path(__file__).parents[1] / "results" / "engine.json"
#: Where Linux keeps files in memory.
MEMORY = "/dev/shm"
PLAN = ("plan", "pipeline=dub", "text=hello", "tier.allow.speak=[espeak]", "tier.allow.convert=[world]")


class NoOp(Plain):
    """Gives back what it got, and keeps count of the time it had."""

    inputs: ClassVar = {"text": Port("text")}
    outputs: ClassVar = {"text": Port("text")}
    footprint: ClassVar = Footprint(workspace={"base": 1 << 20}, seconds={"base": 1e-6})

    def __init__(self) -> None:
        self.seconds = 0.0

    def run(self, model: Any, inputs: Mapping[str, Any], context: Any) -> Mapping[str, Any]:
        begun = time.perf_counter()
        outputs = {"text": inputs["text"]}
        self.seconds += time.perf_counter() - begun
        return outputs


def job_of(count: int, chain: int) -> Job:
    """`chain` no-op nodes one after another on `count` items."""
    names = [f"n{index}" for index in range(chain)]
    sources = ["item.text", *(f"{name}.text" for name in names)]
    specs = tuple(
        NodeSpec(name=name, target="benchmarks.engine.NoOp", inputs={"text": source}, footprint=NoOp.footprint)
        for name, source in zip(names, sources, strict=False)
    )
    graph = build(PipelineSpec("noop", specs, {"text": "text"}), dict.fromkeys(names, Ports(NoOp.inputs, NoOp.outputs)))
    items = {f"i{index}": Item(f"i{index}", characters=5, settings={"text": "hello"}) for index in range(count)}
    problem = expand(graph, tuple(items.values()), {}, Tier("none", None), Sizing("host", None))
    return Job(graph, items, {}, {name: NoOp() for name in names}, {}, problem, make_plan(problem))


def execute_job(count: int, chain: int, folder: Path) -> dict[str, Any]:
    """One run of the real engine; seconds a step that no node had."""
    job = job_of(count, chain)
    record = Recorder(folder)
    record.open({"pipeline": "noop"})
    engine = Engine(job, CpuDevice(), Artifacts(folder / "artifacts"), record)
    begun, busy = time.perf_counter(), time.process_time()
    engine.execute()
    wall, busy = time.perf_counter() - begun, time.process_time() - busy
    engine.unload_all()
    inside = sum(node.seconds for node in job.nodes.values() if isinstance(node, NoOp))
    steps = len(job.plan.steps)
    return {"items": count, "nodes": chain, "steps": steps, "wall_seconds": wall, "node_seconds": inside,
            "cpu_ms_a_step": 1e3 * busy / steps,
            "overhead_ms_a_step": 1e3 * (wall - inside) / steps}  # fmt: skip


def bare(count: int, folder: Path) -> float:
    """Milliseconds for a folder with a small file and one that is renamed, by nothing but the standard library."""
    begun = time.perf_counter()
    for index in range(count):
        place = folder / str(index)
        place.mkdir()
        (place / "text.json").write_text("hello")
        (place / ".done").write_text("hello")
        os.replace(place / ".done", place / "done.json")
    return 1e3 * (time.perf_counter() - begun) / count


def overhead(count: int, chain: int, repeats: int, where: str | None) -> dict[str, Any]:
    """The median of `repeats` runs in folders of `where`, and the spread."""
    found, files = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(dir=where) as folder:
            found.append(execute_job(count, chain, Path(folder) / "run"))
            files.append(bare(count, Path(folder)))
    each = [row["overhead_ms_a_step"] for row in found]
    return {
        **found[0],
        "folder": "memory" if where else "disk",
        "files_alone_ms": statistics.median(files),
        "overhead_ms_a_step": statistics.median(each),
        "least": min(each),
        "most": max(each),
        "repeats": repeats,
    }


def latency(repeats: int) -> dict[str, Any]:
    """Wall seconds of `headroom plan`, process start included; the first, which may compile bytecode, is not counted."""
    settings = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-m", "pipelines.cli.main", *PLAN]
    found = []
    for _ in range(1 + repeats):
        begun = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, timeout=60, env=settings)
        found.append(time.perf_counter() - begun)
    found = found[1:]
    return {"command": "headroom " + " ".join(PLAN), "median_seconds": statistics.median(found), "least": min(found),
            "most": max(found), "repeats": repeats}  # fmt: skip


def profile(count: int, chain: int) -> None:
    """Where a step's time goes, on the screen."""
    with tempfile.TemporaryDirectory() as folder, cProfile.Profile() as profiler:
        execute_job(count, chain, Path(folder))
    pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, some seconds; nothing is written")
    parser.add_argument("--profile", action="store_true", help="profile one run instead")
    args = parser.parse_args()
    if args.profile:
        return profile(200, 4)
    sizes = [(50, 4)] if args.quick else [(100, 4), (500, 4)]
    before = os.getloadavg()[0]
    places = [None, MEMORY] if Path(MEMORY).is_dir() else [None]
    rows = [overhead(count, chain, 1 if args.quick else 5, where) for count, chain in sizes for where in places]
    found = {
        "overhead": rows,
        "plan": latency(3 if args.quick else 7),
        "load_average_before": before,
        "machine": {
            "python": platform.python_version(),
            "cores": len(os.sched_getaffinity(0)),
            "system": platform.system(),
        },
    }
    print(json.dumps(found, indent=1))
    if not args.quick:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    return None


if __name__ == "__main__":
    main()
