"""Which variants a node may use: of a made inventory, with nothing on disk."""

from dataclasses import replace

import pytest

from pipelines.footprints.store import Key, Observation, Observations
from pipelines.schema.errors import TaskFailed, UsageError
from pipelines.schema.settings import DeviceSpec, RunOptions, Tier
from pipelines.session.availability import Availability
from pipelines.session.candidates import find_candidates, sizing_of
from tests.session.made import ABSENT, NODES, READY, VARIANTS, inventory, variant


def names(candidates, node):
    return [each.name for each in candidates.by_node[node]]


def test_all_that_is_here_best_first():
    made = find_candidates(inventory())
    assert names(made, "separate") == ["separate/big", "separate/small"]
    assert made.notes == ()


@pytest.mark.parametrize(
    ("found", "why"),
    [(Availability(ABSENT), "no weights here"),
     (Availability(READY, consent="its licence must be accepted first"), "its licence must be accepted first"),
     (Availability(READY, may_install=False), "would install packages")],
)  # fmt: skip
def test_what_cannot_be_used_is_passed_over_with_the_reason(found, why):
    made = find_candidates(inventory(found={"separate/big": found}))
    assert names(made, "separate") == ["separate/small"]
    assert any("big" in note and why in note for note in made.notes)


def test_a_node_without_any_variant_says_what_to_type():
    found = {each.origin: Availability(ABSENT) for each in VARIANTS["separate"]}
    with pytest.raises(UsageError, match=r"Node separate: no variant of separate.*headroom weights fetch"):
        find_candidates(inventory(found=found))


def test_a_pinned_variant_may_be_fetched_by_the_run_and_not_offline():
    pinned, found = [VARIANTS["separate"][0]], {"separate/big": Availability(ABSENT)}
    made = find_candidates(inventory(pinned=pinned, found=found))
    assert names(made, "separate") == ["separate/big"]
    assert "`headroom run` fetches what is missing first" in made.notes[0]
    with pytest.raises(TaskFailed, match="offline=true fetches nothing"):
        find_candidates(inventory(pinned=pinned, found=found, options=RunOptions(offline=True)))
    lacking = {"separate/big": Availability(READY, consent="its licence must be accepted")}
    with pytest.raises(UsageError, match="was asked for, but its licence"):
        find_candidates(inventory(pinned=pinned, found=lacking))


def test_a_nodes_own_knobs_make_another_model_and_the_tiers_do_not():
    knobbed = {**VARIANTS, "separate": (variant("separate/big", 2, 600, knobs={"batch": 8}),)}
    nodes = (replace(NODES[0], knobs={"batch": 2}), NODES[1])
    tier = Tier("made", knobs={"separate": {"batch": 4, "other": 1}})
    (tuned,) = find_candidates(inventory(variants=knobbed, tier=tier)).by_node["separate"]
    (own,) = find_candidates(inventory(variants=knobbed, tier=tier, nodes=nodes)).by_node["separate"]
    assert (tuned.name, tuned.knobs) == ("separate/big", {"batch": 4})
    assert (own.name, own.knobs, own.origin) == ("separate/big@separate", {"batch": 2}, "separate/big")


@pytest.mark.parametrize("how", ["node", "settings"])
def test_a_role_that_is_kept_off_the_card(how):
    nodes = (replace(NODES[0], device="cpu"), NODES[1]) if how == "node" else NODES
    spec = DeviceSpec(roles={"separate": "cpu"}) if how == "settings" else DeviceSpec()
    made = find_candidates(inventory(nodes=nodes, device_spec=spec))
    assert names(made, "separate") == ["separate/big@cpu", "separate/small@cpu"]
    assert names(made, "transcribe") == ["transcribe/large", "transcribe/tiny"]


def test_what_leaks_runs_in_a_process_of_its_own():
    big, small = find_candidates(inventory(leaking=frozenset({"separate/big"}))).by_node["separate"]
    assert (big.isolation, small.isolation) == ("process", "thread")


def test_what_was_measured_of_the_same_weights_holds_with_a_smaller_margin():
    big = VARIANTS["separate"][0]
    seen = [Observation("run", 50, 1.0, item_seconds=10.0) for _ in range(9)]

    def measured(digest):
        key = Key.of(big, digest, "simulated", "torch 2")
        observed = Observations(tuple((key, each) for each in seen))
        return find_candidates(inventory(observations=observed, versions="torch 2", digests={"separate/big": "abc"}))

    same, other = measured("abc"), measured("changed")
    assert same.by_node["separate"][0].footprint_in("accelerator").source == "measured here, 9 observations"
    assert other.by_node["separate"][0].footprints == big.footprints
    assert same.margins["separate/big"] < other.margins["separate/big"] == sizing_of(inventory(), {}).default_margin


def test_what_weighs_nothing_is_loaded_all_the_same_unless_it_is_plain():
    empty = variant("separate/big", 2, 0)
    empty = replace(empty, footprints={"accelerator": replace(empty.footprints["accelerator"], load_seconds=0.0)})
    plain = {empty.target: replace(inventory().traits[empty.target], plain=True)}
    variants = {**VARIANTS, "separate": (empty,)}
    (loaded,) = find_candidates(inventory(variants=variants)).by_node["separate"]
    (not_loaded,) = find_candidates(inventory(variants=variants, traits=plain)).by_node["separate"]
    assert loaded.footprint_in("accelerator").load_seconds > 0
    assert not_loaded.footprint_in("accelerator").load_seconds == 0
