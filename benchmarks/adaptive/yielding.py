"""What a rest of 10 ms between chunks gives a competing process: its latency with and without, both pinned to one core.

The competitor wakes every 20 ms, works for about 2 ms and notes how late it was done. Two kinds of it: one the kernel may let in at
once (the usual scheduling), and one that must wait for the core to be free (SCHED_IDLE), as other work waits for a card, whose
kernels are not interrupted.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from multiprocessing.synchronize import Event

PERIOD, WORK, CHUNK, YIELD = 0.020, 0.002, 0.050, 0.010


def _spin(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def _maker(core: int, rest: float, stop: Event) -> None:
    os.sched_setaffinity(0, {core})
    while not stop.is_set():
        _spin(CHUNK)
        if rest:
            time.sleep(rest)


def _competitor(core: int, seconds: float, idle: bool) -> list[float]:
    os.sched_setaffinity(0, {core})
    if idle:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    late, due, end = [], time.perf_counter(), time.perf_counter() + seconds
    while due < end:
        due = max(due + PERIOD, time.perf_counter())
        time.sleep(max(0.0, due - time.perf_counter()))
        _spin(WORK)
        late.append(time.perf_counter() - due)
    return late


def _measured(rest: float | None, seconds: float, idle: bool) -> dict[str, float]:
    core = max(os.sched_getaffinity(0))
    context = multiprocessing.get_context("fork")
    stop = context.Event()
    maker = context.Process(target=_maker, args=(core, rest or 0.0, stop), daemon=True)
    if rest is not None:
        maker.start()
    with context.Pool(1) as pool:
        late = pool.apply(_competitor, (core, seconds, idle))
    stop.set()
    if rest is not None:
        maker.join(5)
    ordered = sorted(late)
    return {
        "median_ms": round(1000 * statistics.median(ordered), 2),
        "p95_ms": round(1000 * ordered[int(0.95 * (len(ordered) - 1))], 2),
        "samples": len(ordered),
    }


def result(seconds: float) -> dict[str, object]:
    """Latency of the competitor alone, beside chunks without rests, and with."""
    return {
        kind: {
            "alone": _measured(None, seconds, idle),
            "without_yield": _measured(0.0, seconds, idle),
            "with_yield": _measured(YIELD, seconds, idle),
        }
        for kind, idle in (("usual", False), ("waits_for_a_free_core", True))
    }
