"""The documented formats, the examples somebody may already have, and the classes that read and write them agree."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path

import jsonschema
import pytest

from pipelines.plan.planner import plan as make_plan
from pipelines.schema.errors import InvalidError
from pipelines.schema.formats import EVENT, FORMATS, PLAN, PROBLEM, REFUSAL, RUN, TASK_NOTE, Format, fill, schema_text
from pipelines.schema.plan import Plan
from pipelines.schema.problem import Problem

DOCS = Path(__file__).parents[2] / "docs"
GOLDEN = Path(__file__).parent / "golden"
EXAMPLES = (
    (PROBLEM, "problem.json"),
    (PLAN, "plan.json"),
    (REFUSAL, "refusal.json"),
    (RUN, "run.json"),
    (TASK_NOTE, "done.json"),
)
#: What a careless or hostile writer may put where something else belongs.
WRONG = (None, -1, 1.5, True, "", "x", [], ["x", "x"], {}, [1])
#: Faults of the whole that no schema of fields can see.
WHOLE = ("unknown model", "unknown task", "repeats the id", "in a cycle")


def example(name: str):
    return json.loads((GOLDEN / name).read_text(encoding="utf-8"))


@cache
def validator(each: str):
    return jsonschema.Draft202012Validator(next(known for known in FORMATS if known.name == each).schema())


def valid(each: Format, data) -> bool:
    return validator(each.name).is_valid(data)


@pytest.mark.parametrize(("each", "name"), EXAMPLES, ids=lambda value: getattr(value, "name", value))
def test_every_example_fits_its_schema(each, name):
    jsonschema.Draft202012Validator.check_schema(each.schema())
    jsonschema.validate(example(name), each.schema(), jsonschema.Draft202012Validator)


def test_every_example_event_fits_its_schema():
    for line in (GOLDEN / "events.jsonl").read_text(encoding="utf-8").splitlines():
        jsonschema.validate(json.loads(line), EVENT.schema(), jsonschema.Draft202012Validator)


def test_a_plan_made_now_and_its_problem_fit_their_schemas():
    problem = Problem.read(GOLDEN / "problem.json")
    assert valid(PROBLEM, problem.to_dict())
    assert valid(PLAN, json.loads(make_plan(problem).to_json()))


@pytest.mark.parametrize(("each", "kind", "name"), [(PROBLEM, Problem, "problem.json"), (PLAN, Plan, "plan.json")])
def test_all_that_is_written_is_documented(each, kind, name):
    written = kind.from_dict(example(name)).to_dict()
    documented = {field.name for field in each.whole.fields}
    assert set(written) <= documented, "a field is written that no page speaks of"
    assert {field.name for field in each.whole.fields if field.required} <= set(written)


def test_defaults_in_the_tables_are_those_of_the_reader():
    least = {"schema": PROBLEM.name, "limit_bytes": None, "models": {"m": {"weights_bytes": 1, "load_seconds": 2.0}},
             "tasks": [{"id": "t", "models": ["m"], "after": []}]}  # fmt: skip
    read = Problem.from_dict(least).to_dict()
    model, task = PROBLEM.parts
    for record, data in ((PROBLEM.whole, read), (model, read["models"]["m"]), (task, read["tasks"][0])):
        for field in record.fields:
            if field.default is not None:
                assert data[field.name] == field.default, field.name


def places(data, path=()):
    """The path of every value inside `data`."""
    entries = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in entries:
        yield (*path, key)
        yield from places(value, (*path, key))


def changed(data, path, value=...):
    """A copy of `data` with another value at `path`, or none."""
    made = copy.deepcopy(data)
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return made


@pytest.mark.parametrize(("each", "kind", "name"), [(PROBLEM, Problem, "problem.json"), (PLAN, Plan, "plan.json")])
def test_reader_and_schema_refuse_the_same_files(each, kind, name):
    """Each value of the example replaced by each wrong one, or left out: what the schema refuses is not read, and the reverse."""
    data = example(name)
    tried = 0
    for path in places(data):
        for value in (*WRONG, ...):
            file = changed(data, path, value)
            try:
                kind.from_dict(file)
                fault = ""
            except InvalidError as error:
                fault = str(error)
            if not any(words in fault for words in WHOLE):
                assert valid(each, file) == (not fault), f"{path} = {value!r}: {fault or 'read without a fault'}"
                tried += 1
    assert tried > 200


def test_a_field_nobody_knows_is_refused_in_a_problem_and_ignored_in_a_plan():
    assert not valid(PROBLEM, {**example("problem.json"), "devices": 2})
    assert valid(PLAN, {**example("plan.json"), "devices": 2})


@pytest.mark.parametrize("each", FORMATS, ids=lambda each: each.name)
def test_the_schema_files_are_those_of_the_code(each):
    file = DOCS / "schemas" / each.file_name
    assert file.read_text(encoding="utf-8") == schema_text(each), "remake it: python -m pipelines.schema.formats docs"


def test_the_tables_of_the_page_are_those_of_the_code():
    page = (DOCS / "formats.md").read_text(encoding="utf-8")
    assert fill(page) == page, "remake them: python -m pipelines.schema.formats docs"
