"""Imports a job's libraries before its first step, so that a step's peak holds its own bytes and not an import's."""

from __future__ import annotations

import gc
import importlib
import warnings
from collections.abc import Iterable

from pipelines.graph.expand import footprint_of, is_isolated
from pipelines.run.job import Job
from pipelines.schema.hardware import MemoryKind


def libraries_of(job: Job, memory: MemoryKind) -> list[str]:
    """The libraries that the job's nodes import into this process, as their footprints name them."""
    names: set[str] = set()
    for node in job.graph.order:
        if not (node in job.variants and is_isolated(job.variants[node])):
            names |= set(footprint_of(job.graph, node, job.variants, memory).context)
    return sorted(names)


def import_libraries(libraries: Iterable[str]) -> list[str]:
    """Import the libraries that are there. Returns the names of those that were imported.

    A name that is no module (a card's context, say) is skipped.
    """
    found = []
    for name in libraries:
        try:
            with warnings.catch_warnings():  # a library's warnings about its own imports are for its developers
                warnings.simplefilter("ignore")
                importlib.import_module(name)
        except ImportError:
            continue
        found.append(name)
    # Modules stay: the collections after each unload need not go through them, which took 0.2 s with torch and librosa.
    gc.collect()
    gc.freeze()
    return found
