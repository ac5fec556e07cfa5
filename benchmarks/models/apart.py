"""One measurement in a process of its own: what a function returns, its seconds, and the bytes it took above what it began with.

`python -m benchmarks.models.apart MODULE FUNCTION JSON_ARGUMENTS` prints one line of JSON.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.devices.glibc import threshold_variables

ROOT = Path(__file__).parents[2]


def apart(function: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
    """`function(**arguments)` in a fresh interpreter: its own dict of results.

    Its allocator gives back what is freed, as under the engine, so that what is counted is what is held. So does the library's.
    """
    module = f"benchmarks.models.{Path(function.__code__.co_filename).stem}"  # its __module__ may be __main__
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.models.apart", module, function.__name__]
    done = subprocess.run(
        [*command, json.dumps(arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        env=os.environ | threshold_variables(),
    )
    if done.returncode:
        raise RuntimeError(f"{function.__module__}.{function.__name__} failed: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"  {function.__name__} {arguments}: {found}", flush=True)  # a long run shows where it is
    return found


def measured(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What `work` returns, with its seconds and the most RAM (MiB) it held above what was held before (Linux's own mark).

    `processor_seconds` are those of all its threads: what others do on the machine is not in them.
    """
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what was freed before would otherwise be taken again unseen
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    begun, used = time.perf_counter(), time.process_time()
    result = work()
    seconds, used = time.perf_counter() - begun, time.process_time() - used
    took = {"seconds": round(seconds, 2), "processor_seconds": round(used, 2)}
    return result, {**took, "peak_mib": round(_status("VmHWM") - before, 1)}


def declared(role: str, name: str) -> Any:
    """A variant as its file in conf/model says."""
    import yaml

    from pipelines.config.variants import read_variant

    return read_variant(role, name, yaml.safe_load((ROOT / "conf" / "model" / role / f"{name}.yaml").read_text()))


def machine() -> dict[str, Any]:
    """What a figure was measured on."""
    import torch

    from benchmarks.memory.__main__ import machine as bare

    return {**bare(), "torch": torch.__version__, "threads": torch.get_num_threads()}


def _status(key: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    module, name, given = sys.argv[1:4]
    print(json.dumps(getattr(importlib.import_module(module), name)(**json.loads(given))))
