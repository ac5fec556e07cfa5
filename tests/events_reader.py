"""Reads `events.jsonl` and holds every line against what `schema.record.KINDS` says of its kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

from pipelines.schema.formats import EVENT
from pipelines.schema.record import KINDS

_COMMON = {"event", "at", "seconds"}


def read_events(folder: Path) -> list[dict[str, Any]]:
    """The events of a run's folder. Fails where one has a field that is not documented, or lacks one that is."""
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    for event in events:
        jsonschema.validate(event, EVENT.schema(), jsonschema.Draft202012Validator)
        kind = KINDS[event["event"]]
        assert kind.written, f"{event['event']} is said never to be written"
        fields = set(event) - _COMMON
        always = set(kind.always) - _COMMON
        assert always <= fields, f"{event['event']} lacks {always - fields}"
        assert fields <= always | set(kind.sometimes), (
            f"undocumented: {fields - always - set(kind.sometimes)} of {event}"
        )
    return events
