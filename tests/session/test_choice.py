"""What is chosen of what there is: the best that fits, the CPU where the tier lets a role go there, chains that stream."""

from dataclasses import replace

import pytest

from pipelines.schema.errors import DoesNotFit
from pipelines.schema.settings import DeviceSpec, RunOptions, StreamOptions, Tier
from pipelines.session.candidates import find_candidates
from pipelines.session.choice import choose, plan_for, problem_left
from pipelines.session.inventory import NodeTraits
from tests.session.made import CARD, NODES, VARIANTS, inventory


def chosen(made):
    return choose(made, find_candidates(made))


def variants(made):
    return [variant.name for variant in chosen(made).variants.values()]


@pytest.mark.parametrize(
    ("limit", "names"),
    [(1000, ["separate/big", "transcribe/large"]),
     (800, ["separate/big", "transcribe/tiny"]),
     (300, ["separate/small", "transcribe/tiny"])],
)  # fmt: skip
def test_the_best_that_fits(limit, names):
    made = inventory(limit=limit)
    assert variants(made) == names
    plan = plan_for(made.settings.tier, chosen(made).problem)
    assert plan.peak_bytes <= limit
    passed = [note for note in chosen(made).notes if "would not fit" in note]
    assert len(passed) == sum(name in ("separate/small", "transcribe/tiny") for name in names)


def test_what_is_pinned_is_never_changed():
    made = inventory(limit=800, pinned=[VARIANTS["transcribe"][0]])
    with pytest.raises(DoesNotFit) as error:
        chosen(made)
    assert any("Let transcribe use" in text or "Raise the limit" in text for text in error.value.refusal.suggestions)


def test_a_role_goes_to_the_cpu_only_where_the_tier_lets_it():
    lets = Tier("lets", cpu_fallback=("transcribe",))
    small = {**VARIANTS, "transcribe": VARIANTS["transcribe"][:1]}
    with pytest.raises(DoesNotFit):
        chosen(inventory(limit=300, variants=small, tier=Tier("no", cpu_fallback=())))
    made = chosen(inventory(limit=300, variants=small, tier=lets))
    assert [each.name for each in made.variants.values()] == ["separate/small", "transcribe/large@cpu"]
    assert len(made.moved) == 1
    assert "transcribe is planned on the CPU" in made.moved[0]
    fixed = DeviceSpec(roles={"transcribe": "cuda"})
    with pytest.raises(DoesNotFit):
        chosen(inventory(limit=300, variants=small, tier=lets, device_spec=fixed))


def test_on_the_cpu_there_is_nothing_to_fall_back_to():
    host = replace(CARD, kind="cpu", memory="host", footprint_key="cpu/2")
    small = {**VARIANTS, "transcribe": VARIANTS["transcribe"][:1]}
    with pytest.raises(DoesNotFit):
        chosen(inventory(limit=300, variants=small, device=host, tier=Tier("lets", cpu_fallback=("transcribe",))))


STREAMING = (NODES[0], replace(NODES[1], stream=True))
GIVES = {each.target: NodeTraits(False, True, True) for some in VARIANTS.values() for each in some}


def test_nodes_that_can_are_one_task_where_both_fit():
    made = chosen(inventory(nodes=STREAMING, traits=GIVES, limit=2000))
    assert [task.id for task in made.problem.tasks] == ["song/separate+transcribe"]
    assert [task.id for task in made.apart.tasks] == ["song/separate", "song/transcribe"]
    tight = chosen(inventory(nodes=STREAMING, traits=GIVES, limit=1000))
    assert tight.problem.tasks == tight.apart.tasks
    assert any("does not stream" in note for note in tight.notes)


def test_nodes_that_cannot_are_named_and_nothing_streams_where_it_is_switched_off():
    made = chosen(inventory(nodes=STREAMING, limit=2000))
    assert made.chains == ()
    assert any("transcribe waits for all of separate's sound" in note for note in made.notes)
    off = RunOptions(stream=StreamOptions(use=False))
    assert chosen(inventory(nodes=STREAMING, traits=GIVES, limit=2000, options=off)).chains == ()


def test_a_chain_of_which_a_task_is_done_is_planned_node_by_node():
    made = inventory(nodes=STREAMING, traits=GIVES, limit=2000)
    left = problem_left(chosen(made), made.settings.tier, {"song/separate"})
    assert [(task.id, task.after) for task in left.tasks] == [("song/transcribe", ())]
    assert problem_left(chosen(made), made.settings.tier, set()) == chosen(made).problem
