"""A hub on loopback for the tests of weights."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.weights.helpers import REPO
from tests.weights.hub_server import FakeHub, serving


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "")
    monkeypatch.delenv("HF_ENDPOINT", raising=False)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with serving(FakeHub({"owner/tiny": dict(REPO), "other/more": {"config.yaml": b"a: 1", "x.bin": b"y"}})) as server:
        yield server
