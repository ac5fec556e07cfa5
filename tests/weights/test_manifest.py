"""Files compared with what was noted when they were fetched."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema

from pipelines.schema.formats import WEIGHTS
from pipelines.weights.manifest import NAME, verify
from tests.weights.helpers import MODEL, get, variant
from tests.weights.hub_server import FakeHub


def test_verify_finds_a_changed_a_missing_and_an_unknown_file(hub: FakeHub, tmp_path: Path) -> None:
    folder = get(variant(), tmp_path, hub)
    spec = variant().weights
    assert spec is not None
    assert {verdict.state for verdict in verify(folder, spec)} == {"ok"}
    (folder / "model.bin").write_bytes(MODEL[:-1] + b"!")
    (folder / "vocabulary.json").unlink()
    states = {verdict.name: verdict.state for verdict in verify(folder, spec)}
    assert (states["model.bin"], states["config.json"], states["vocabulary.json"]) == ("differs", "ok", "missing")
    note = json.loads((folder / NAME).read_text())
    del note["sha256"]["config.json"]
    (folder / NAME).write_text(json.dumps(note))
    assert {v.name: v.state for v in verify(folder, spec)}["config.json"] == "unrecorded"


def test_the_manifest_is_as_the_page_of_formats_says(hub: FakeHub, tmp_path: Path) -> None:
    note = json.loads((get(variant(), tmp_path, hub) / NAME).read_text(encoding="utf-8"))
    jsonschema.validate(note, WEIGHTS.schema(), jsonschema.Draft202012Validator)
    assert set(note) == {field.name for field in WEIGHTS.whole.fields}
