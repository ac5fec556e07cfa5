"""The hub as it is spoken to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.weights.helpers import get, variant
from tests.weights.hub_server import FakeHub, serving


def test_a_token_is_not_told_to_another_host(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with serving(FakeHub(hub.repos)) as cdn:
        hub.elsewhere = cdn.url.replace("127.0.0.1", "localhost")
        get(variant(), tmp_path, hub)
        assert cdn.tokens == [None] * 3
    hub.elsewhere = None
    get(variant(folder="again"), tmp_path, hub)
    assert set(hub.tokens) == {"Bearer hf_secret"}
