"""The ladder: its order, its ends, and what it never does, over every small state there is."""

import itertools
from dataclasses import replace

import pytest

from pipelines.run.ladder import (
    MODES,
    Action,
    Alternative,
    Rung,
    State,
    Trouble,
    next_rung,
    restore_placement,
    stop_sentence,
)
from pipelines.schema.units import GIB

HALF = Alternative("batch 8", frozenset({"batch"}), 2 * GIB)
SHORT = Alternative("segment 4 s", frozenset({"segment"}), GIB)
OTHER = Alternative("htdemucs", frozenset({"variant"}), GIB)
LAST = Alternative("center", frozenset({"variant"}), 0)
ON_CPU = Alternative("htdemucs_ft on the CPU", frozenset({"device"}), 0)
EVERY = (OTHER, HALF, ON_CPU, SHORT, LAST)


def climb(trouble: Trouble = Trouble.OUT_OF_MEMORY, mode: str = "balanced", **more: object) -> list[Rung]:
    state = State("song/separate", trouble, MODES[mode], 3 * GIB, 4 * GIB, **{"alternatives": EVERY, **more})  # type: ignore[arg-type]
    rungs: list[Rung] = []
    while not rungs or rungs[-1].action is not Action.STOP:
        rungs.append(next_rung(State(**{**_fields(state), "tried": tuple(rungs)})))
        assert len(rungs) < 40, "the ladder must end"
    return rungs


def _fields(state: State) -> dict[str, object]:
    return {name: getattr(state, name) for name in State.__dataclass_fields__}


def names(rungs: list[Rung]) -> list[str]:
    return [rung.alternative.name if rung.alternative else rung.action.value for rung in rungs]


def test_out_of_memory_climbs_down_in_the_documented_order() -> None:
    assert names(climb()) == [
        "free", "retry", "replan", "batch 8", "replan", "segment 4 s", "replan",
        "htdemucs", "replan", "center", "replan", "htdemucs_ft on the CPU", "replan", "stop",
    ]  # fmt: skip


def test_drift_is_answered_by_planning_the_rest() -> None:
    assert names(climb(Trouble.DRIFT))[:2] == ["replan", "batch 8"]


def test_conservative_never_changes_the_model_or_its_place() -> None:
    assert {rung.action for rung in climb(mode="conservative")} == {
        Action.FREE, Action.RETRY, Action.REPLAN, Action.SMALLER, Action.STOP
    }  # fmt: skip


def test_aggressive_is_more_patient() -> None:
    assert names(climb(mode="aggressive")).count("retry") == 2


def test_margins_follow_the_mode() -> None:
    factors = [MODES[name].margin_factor for name in ("conservative", "balanced", "aggressive")]
    assert factors == sorted(factors, reverse=True)


ASPECTS = ("batch", "segment", "variant", "device")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("trouble", Trouble)
def test_every_ladder_ends_keeps_what_is_pinned_and_repeats_nothing(mode: str, trouble: Trouble) -> None:
    for count in range(len(ASPECTS) + 1):
        for pinned in map(frozenset, itertools.combinations(ASPECTS, count)):
            for chosen in itertools.chain.from_iterable(itertools.combinations(EVERY, n) for n in range(6)):
                rungs = climb(trouble, mode, pinned=pinned, alternatives=chosen)
                picked = [rung.alternative for rung in rungs if rung.alternative is not None]
                assert all(not alternative.changes & pinned for alternative in picked)
                assert len(set(picked)) == len(picked)
                assert all(rung.action in MODES[mode].rungs for rung in rungs[:-1])
                order = [list(Action).index(rung.action) for rung in rungs if rung.alternative is not None]
                assert order == sorted(order)
                full = MODES[mode].rungs >= {Action.VARIANT, Action.CPU}
                assert not full or set(picked) == {
                    alternative for alternative in chosen if not alternative.changes & pinned
                }


def test_a_choice_that_cannot_fit_is_not_tried() -> None:
    state = State("t", Trouble.DRIFT, MODES["balanced"], GIB, 4 * GIB, EVERY, tried=(Rung(Action.REPLAN, ""),))
    assert next_rung(state).alternative == SHORT


def test_a_task_that_gave_way_to_another_is_still_freed_and_tried_again_for_itself() -> None:
    tried = (Rung(Action.VARIANT, "", OTHER),)
    state = State("t", Trouble.OUT_OF_MEMORY, MODES["balanced"], 3 * GIB, GIB, EVERY, tried=tried)
    assert next_rung(state).action is Action.FREE


def test_back_home_everything_may_be_tried_again() -> None:
    first = Alternative("first", frozenset(), GIB)
    away = climb(Trouble.FOREIGN)[:-1]
    again = climb(Trouble.FOREIGN)[:-1]
    state = State(
        "t", Trouble.FOREIGN, MODES["balanced"], 3 * GIB, GIB, EVERY, tried=(*away, Rung(Action.BACK, "", first))
    )
    for rung in again:
        found = next_rung(state)
        assert (found.action, found.alternative) == (rung.action, rung.alternative)
        state = replace(state, tried=(*state.tried, found))
    assert next_rung(state).action is Action.STOP


def test_stopping_says_everything_a_person_needs() -> None:
    message = climb(pinned=frozenset({"variant"}))[-1].because
    for part in ("song/separate", "4,096 MiB", "3,072 MiB", "memory ran out", "caches were freed", "batch 8"):
        assert part in message
    assert "you fixed it: variant" in message
    assert "`headroom fit`" in message


def test_nothing_to_try_still_says_so() -> None:
    rungs = climb(Trouble.DRIFT, "conservative", alternatives=())
    assert names(rungs) == ["replan", "stop"]


def test_the_way_back_needs_the_margin_and_a_second_look() -> None:
    first = Alternative("htdemucs_ft on GPU 0", frozenset({"device"}), 2 * GIB)
    assert restore_placement(first, 2 * GIB, 0, 0.1, waited=True) is None
    assert restore_placement(first, 3 * GIB, 0, 0.1, waited=False) is None
    rung = restore_placement(first, 2 * GIB, GIB, 0.1, waited=True)
    assert rung is not None
    assert rung.action is Action.BACK
    assert "htdemucs_ft on GPU 0" in rung.line


def test_the_bytes_that_are_there_already_count_and_just_enough_is_enough() -> None:
    first = Alternative("first", frozenset(), 1000)
    assert restore_placement(first, 600, 500, 0.1, waited=True) is not None
    assert restore_placement(first, 600, 499, 0.1, waited=True) is None
    rung = restore_placement(first, 12 * GIB, 0, 0.0, waited=True)
    assert rung is not None
    assert rung.line == "12.0 GiB are free again; going back to first"


def test_lines_for_the_screen() -> None:
    lines = [
        Rung(action, "t: memory ran out").line for action in (Action.FREE, Action.RETRY, Action.REPLAN, Action.STOP)
    ]
    assert [line.removeprefix("t: memory ran out; ") for line in lines] == [
        "freeing caches", "trying again", "planning the rest anew", "stopping",
    ]  # fmt: skip
    assert Rung(Action.SMALLER, "so", HALF).line == "so; going on with batch 8"


def test_how_a_ladder_ends_is_told_in_order_and_each_once() -> None:
    tried = (
        Rung(Action.FREE, ""), Rung(Action.RETRY, ""), Rung(Action.REPLAN, ""), Rung(Action.SMALLER, "", HALF),
        Rung(Action.REPLAN, ""), Rung(Action.STOP, ""),
    )  # fmt: skip
    state = State("t", Trouble.OUT_OF_MEMORY, MODES["balanced"], 3 * GIB, 2 * GIB, tried=tried)
    assert stop_sentence(state) == (
        "t was to take 2,048 MiB of 3,072 MiB and wanted more: memory ran out. Tried: caches were freed; the step was tried "
        "again; the rest was planned anew; batch 8. `headroom fit` shows the smallest tier that works."
    )
    over = replace(state, needed_bytes=4 * GIB, tried=(), pinned=frozenset({"variant", "batch"}))
    assert stop_sentence(over) == (
        "t needs 4,096 MiB and 3,072 MiB may be used: memory ran out. Tried: nothing was left to try. "
        "Not touched, because you fixed it: batch, variant. `headroom fit` shows the smallest tier that works."
    )
    assert "was to take 3,072 MiB" in stop_sentence(replace(state, needed_bytes=3 * GIB))


def test_a_choice_that_takes_the_whole_limit_fits() -> None:
    tried = (Rung(Action.REPLAN, ""),)
    state = State("t", Trouble.DRIFT, MODES["balanced"], 2 * GIB, 4 * GIB, (HALF,), tried=tried)
    assert next_rung(state).alternative == HALF
    assert next_rung(replace(state, limit_bytes=2 * GIB - 1)).action is Action.STOP


def test_a_rung_says_why() -> None:
    rung = next_rung(State("song/separate", Trouble.FOREIGN, MODES["balanced"], GIB, GIB))
    assert rung.because == "song/separate: another process took memory"


def test_of_several_returns_the_last_counts() -> None:
    first = Alternative("first", frozenset(), GIB)
    back = Rung(Action.BACK, "", first)
    tried = (back, Rung(Action.FREE, ""), Rung(Action.SMALLER, "", HALF), back)
    state = State("t", Trouble.OUT_OF_MEMORY, MODES["balanced"], 3 * GIB, GIB, EVERY, tried=tried)
    assert next_rung(state).action is Action.FREE
    climbed = (*tried, Rung(Action.FREE, ""), Rung(Action.RETRY, ""), Rung(Action.REPLAN, ""))
    assert next_rung(replace(state, tried=climbed)).alternative == HALF


def test_margins_are_wider_than_measured_narrower_or_as_they_are() -> None:
    assert [MODES[name].margin_factor for name in ("conservative", "balanced", "aggressive")] == [1.5, 1.0, 0.5]
