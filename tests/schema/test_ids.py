"""A task's id says the same as text and as fields, whatever the item is called."""

from hypothesis import given
from hypothesis import strategies as st

from pipelines.schema.ids import TaskId, fused_id, parts, task_id

items = st.text(min_size=1)
nodes = st.text(st.characters(exclude_characters="/+"), min_size=1)


@given(items, st.lists(nodes, min_size=1, max_size=4))
def test_text_and_fields_say_the_same(item, names):
    whole = TaskId(item, tuple(names))
    assert TaskId.parse(str(whole)) == whole
    assert str(whole) == task_id(item, *names)


@given(items, st.lists(nodes, min_size=1, max_size=4))
def test_a_fused_task_comes_apart_into_the_tasks_it_was_made_of(item, names):
    tasks = tuple(task_id(item, name) for name in names)
    assert parts(fused_id(tasks)) == tasks
    assert TaskId.parse(fused_id(tasks)).item == item


def test_signs_in_an_item_s_name_are_the_item_s():
    assert TaskId.parse("a+b/c/say") == TaskId("a+b/c", ("say",))
    assert parts("a+b/say") == ("a+b/say",)
    assert fused_id(["a+b/say", "a+b/write"]) == "a+b/say+write"


def test_a_bare_problem_s_task_needs_no_item():
    assert str(TaskId.parse("alone")) == "alone"
    assert parts("alone") == ("alone",)
