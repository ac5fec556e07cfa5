"""What an explanation says of the highest moment."""

import pytest

from pipelines.plan.explain.moments import Moment
from pipelines.plan.explain.text import binding_lines


@pytest.mark.parametrize(("count", "tail"), [(6, "w5 10 B"), (7, "1 more"), (9, "3 more")])
def test_of_many_holders_the_six_largest_are_named_and_the_others_counted(count, tail):
    workspaces = tuple((f"w{i}", 15 - i) for i in range(count))
    moment = Moment(step=3, context=0, weights=(), above=0, outputs=(), workspaces=workspaces)
    line = next(each for each in binding_lines(moment, 5) if "workspace" in each)
    assert line.endswith(tail)
    assert [name for name, _ in workspaces if f" {name} " in line] == [f"w{i}" for i in range(6)]
