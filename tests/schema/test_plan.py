import json

import pytest

from pipelines.schema.errors import InvalidError
from pipelines.schema.plan import Load, Plan, Run, Stage, Unload

PLAN = Plan(
    objective="load",
    limit_bytes=100,
    peak_bytes=90,
    load_seconds=2.0,
    makespan_seconds=5.0,
    lower_bound=2.0,
    proved_optimal=True,
    steps=(Load("a", 10), Load("b", 30, during="x"), Run(("x",), 90), Unload("a", 20)),
    stages=(Stage(0, ("x",), 90),),
    method="exact",
)


def test_json_round_trip():
    assert Plan.from_json(PLAN.to_json()) == PLAN


def test_written_form_is_that_of_the_contract():
    data = json.loads(PLAN.to_json())
    assert data["schema"] == "headroom/plan/1"
    assert data["steps"] == [
        {"op": "load", "model": "a", "resident_bytes": 10},
        {"op": "load", "model": "b", "during": "x", "resident_bytes": 30},
        {"op": "run", "tasks": ["x"], "peak_bytes": 90},
        {"op": "unload", "model": "a", "resident_bytes": 20},
    ]
    assert data["stages"] == [{"index": 0, "tasks": ["x"], "peak_bytes": 90}]


def test_fields_added_later_do_not_disturb_an_older_reader():
    data = json.loads(PLAN.to_json()) | {"devices": ["cuda:0"]}
    data["steps"][0]["device"] = "cuda:0"
    assert Plan.from_dict(data) == PLAN


@pytest.mark.parametrize("field", ["schema", "objective", "limit_bytes", "peak_bytes", "load_seconds", "makespan_seconds",
                                   "lower_bound", "proved_optimal", "steps", "stages"])  # fmt: skip
def test_every_field_shown_in_the_contract_is_required(field):
    data = json.loads(PLAN.to_json())
    del data[field]
    with pytest.raises(InvalidError, match=field):
        Plan.from_dict(data)


@pytest.mark.parametrize("step", [{"op": "jump"}, {"op": "load", "model": "a"}, {"op": "run", "tasks": "x", "peak_bytes": 1},
                                  {"op": "unload", "resident_bytes": 1}, [], {"op": "run", "tasks": ["x"], "peak_bytes": -1}])  # fmt: skip
def test_a_malformed_step_is_named(step):
    data = json.loads(PLAN.to_json())
    data["steps"][2] = step
    with pytest.raises(InvalidError, match=r"steps\[2\]"):
        Plan.from_dict(data)
