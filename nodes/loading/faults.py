"""Broken weights as sentences."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.schema.errors import HeadroomError, TaskFailed


@contextmanager
def reading(what: str, advice: str = "") -> Iterator[None]:
    """Raise `TaskFailed` saying that `what` cannot be used, and why, for whatever goes wrong with its files in this block.

    Readers of damaged files raise nearly anything, so anything is caught but what is not the files' fault: a missing
    package, and what already is a sentence. That memory ran out stays visible as the cause.
    """
    try:
        yield
    except (HeadroomError, ImportError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__
        raise TaskFailed(f"{what} cannot be used: {reason}. {advice}".rstrip()) from error
