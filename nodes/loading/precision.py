"""The knob `precision`: float32, or float16 where a card computes in it."""

from __future__ import annotations


def check_precision(precision: str) -> None:
    """Raises `ValueError` for anything but float32 and float16."""
    if precision not in ("float32", "float16"):
        raise ValueError(f"precision {precision!r} must be float32 or float16.")


def in_half(precision: str, device: str) -> bool:
    """Whether to compute in float16 on `device`; a CPU has no use for it, being slower so."""
    return precision == "float16" and device != "cpu"
