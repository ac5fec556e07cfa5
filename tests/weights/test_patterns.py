"""Which names a pattern means."""

from __future__ import annotations

from pipelines.weights.patterns import matching


def test_names_and_patterns() -> None:
    assert matching(["sub/a.bin", "a.txt"], ["*.txt", "sub"]) == ["a.txt", "sub/a.bin"]
