import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.schema.errors import InvalidError, UsageError
from pipelines.schema.problem import Model, Problem, Task

MINIMAL = {
    "schema": "headroom/problem/1",
    "limit_bytes": 100,
    "models": {"a": {"weights_bytes": 10, "load_seconds": 1.5}},
    "tasks": [{"id": "x", "models": ["a"], "after": []}, {"id": "y", "models": [], "after": ["x"]}],
}


def changed(**changes):
    return {**json.loads(json.dumps(MINIMAL)), **changes}


def test_defaults_are_those_of_the_contract():
    problem = Problem.from_dict(MINIMAL)
    assert (problem.objective, problem.context_bytes, problem.streams, problem.seed) == ("load", 0, 1, 0)
    assert problem.models["a"] == Model("a", 10, 1.5, reload_seconds=1.5, load_peak_bytes=10, shareable=False)
    assert problem.tasks[1] == Task("y", (), 0, 0.0, 0, ("x",))


def test_null_limit_is_unlimited_and_zero_is_valid():
    assert Problem.from_dict(changed(limit_bytes=None)).limit_bytes is None
    assert Problem.from_dict(changed(limit_bytes=0)).limit_bytes == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": "headroom/problem/2"}, "headroom/problem/1"),
        ({"limit_bytes": -1}, "limit_bytes"),
        ({"limit_bytes": 2**60}, "limit_bytes"),
        ({"limit_bytes": 1.5}, "whole number"),
        ({"limit_bytes": True}, "whole number"),
        ({"objective": "speed"}, "load, makespan"),
        ({"streams": 0}, "streams"),
        ({"models": []}, "models"),
        ({"models": {"": {"weights_bytes": 10, "load_seconds": 1}}}, "without a name"),
        ({"models": {"a": {"weights_bytes": 10}}}, "load_seconds"),
        ({"models": {"a": {"weights_bytes": 10, "load_seconds": 1, "wieghts": 3}}}, "Did you mean 'weights_bytes'"),
        ({"tasks": [{"id": "x", "models": ["b"], "after": []}]}, "unknown model 'b'"),
        ({"tasks": [{"id": "x", "models": [], "after": ["z"]}]}, "unknown task 'z'"),
        ({"tasks": [{"id": "x", "models": ["a", "a"], "after": []}]}, "twice"),
        ({"tasks": [{"id": "x", "models": [], "after": []}] * 2}, "repeats the id 'x'"),
        ({"tasks": [{"id": "x", "models": [], "after": ["x"]}]}, "cycle: x -> x"),
        ({"tasks": [{"id": "x", "models": []}]}, "after"),
        ({"tasks": [{"id": "x", "models": [], "after": [], "seconds": -1}]}, "seconds"),
        ({"tasks": "x"}, "list"),
        ({"limmit": 3}, "unknown field 'limmit'"),
    ],
)
def test_each_fault_is_a_sentence_that_names_it(change, words):
    with pytest.raises(InvalidError, match=words):
        Problem.from_dict(changed(**change))


def test_a_cycle_is_shown_in_order():
    tasks = [{"id": n, "models": [], "after": [m]} for n, m in (("a", "c"), ("b", "a"), ("c", "b"))]
    with pytest.raises(InvalidError, match="cycle") as caught:
        Problem.from_dict(changed(tasks=tasks))
    path = str(caught.value).rsplit(": ", 1)[1].rstrip(".").split(" -> ")
    after = {"a": "c", "b": "a", "c": "b"}
    assert path[0] == path[-1]
    assert all(after[later] == earlier for earlier, later in itertools.pairwise(path))


@pytest.mark.parametrize(
    "text", ['{"a": 1', "[]", "null", '{"schema": NaN}', '{"a": 1, "a": 2}', "[" * 100_000], ids=lambda t: t[:12]
)
def test_bad_json_is_a_sentence(text):
    with pytest.raises(InvalidError, match=r"\."):
        Problem.from_json(text, "f.json")


def test_half_a_character_is_refused_and_a_whole_one_kept():
    text = json.dumps(changed(tasks=[{"id": "\U0001f3b5", "models": [], "after": []}]))
    assert Problem.from_json(text).tasks[0].id == "\U0001f3b5"
    with pytest.raises(InvalidError, match="not valid JSON"):
        Problem.from_json(text.replace("\\udfb5", ""))


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match="no file"):
        Problem.read(tmp_path / "none.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidError, match="UTF-8"):
        Problem.read(tmp_path / "binary.json")
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(2 * 1024**3)
    with pytest.raises(InvalidError, match="not read"):
        Problem.read(tmp_path / "huge.json")
    with pytest.raises(UsageError, match="folder"):
        Problem.read(tmp_path)


names = st.text(st.characters(codec="utf-8", exclude_characters='"\\'), min_size=1, max_size=6)


@st.composite
def problems(draw):
    ids = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    models = [
        Model(i, w, draw(st.floats(0, 99)), draw(st.floats(0, 99)), w + draw(st.integers(0, 9)), draw(st.booleans()))
        for i, w in ((i, draw(st.integers(0, 2**40))) for i in ids)
    ]
    tasks = []
    for name in draw(st.lists(names, max_size=5, unique=True)):
        after = draw(st.sets(st.sampled_from([t.id for t in tasks]))) if tasks else set()
        needs = draw(st.sets(st.sampled_from(ids)))
        tasks.append(Task(name, tuple(sorted(needs)), 3, draw(st.floats(0, 9)), 1, tuple(sorted(after))))
    return Problem.of(models, tasks, draw(st.none() | st.integers(0, 2**50)), streams=draw(st.integers(1, 4)))


@given(problems())
def test_json_round_trip(problem):
    assert Problem.from_json(problem.to_json()) == problem
