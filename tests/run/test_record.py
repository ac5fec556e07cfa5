"""What is written down of a run."""

import json
import time

from pipelines.run.record import Record
from pipelines.schema.errors import ExitCode


def test_a_clock_that_is_set_back_does_not_make_a_run_shorter_than_nothing(tmp_path, monkeypatch):
    record = Record(tmp_path)
    record.open({})
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 3600)
    record.close("ok", ExitCode.OK)
    assert json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["seconds"] >= 0
