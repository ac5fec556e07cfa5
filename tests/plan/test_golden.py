"""Plans stay as recorded: any change of the planner that changes one is seen, and has to be meant (see `golden`)."""

import json

import pytest

from tests.plan.golden import FILE, problems, record

RECORDED = json.loads(FILE.read_text())
PROBLEMS = problems()


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_plan_is_the_recorded_one(name: str) -> None:
    """Where a change is meant: look at the costs that `python -m tests.plan.golden` prints, and commit what it writes."""
    assert record(PROBLEMS[name]) == RECORDED[name]
