"""Models shared by one caller: what stays, what goes, what is logged and told."""

import logging
import re
import weakref
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.devices.cpu import CpuDevice
from pipelines.devices.cuda import CudaDevice
from pipelines.devices.torch_allocator import AllocatorBytes
from pipelines.run.residency import Residency, policy_for
from pipelines.schema.errors import OutOfMemory, UsageError
from pipelines.schema.units import GIB
from tests.devices.fakes import FakeCard
from tests.run.shelf import F5, RVC, XTTS, Ledger, Measuring, home, use


def test_the_page_s_example_does_what_it_says():
    page = (Path(__file__).parents[2] / "docs" / "residency.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.S)
    exec(compile(example, "docs/residency.md", "exec"), {})


def test_sequential_holds_one_model_and_lets_go_at_once():
    residency, shelf = home("sequential")
    for _ in range(3):
        for name, size in (("xtts", XTTS), ("rvc", RVC)):
            with use(residency, shelf, name, size) as model:
                assert model == {"name": name}
                assert residency.held() == (name,)
            assert residency.held() == ()
    assert shelf.loads == ["xtts", "rvc"] * 3
    assert shelf.most == 1


def test_normal_keeps_everything_and_loads_once():
    residency, shelf = home("normal")
    for name in ("xtts", "f5", "rvc") * 3:
        with use(residency, shelf, name, 1 * GIB):
            pass
    assert shelf.loads == ["xtts", "f5", "rvc"]
    assert shelf.alive == {"xtts", "f5", "rvc"}
    residency.close()
    assert shelf.alive == set()
    assert residency.device.used_bytes() == 0


def test_planned_keeps_what_fits_and_lets_go_of_what_is_needed_last():
    residency, shelf = home("planned", limit=2 * GIB)
    residency.expect(["a", "b", "c", "a", "b"])
    for name in ("a", "b", "c", "a"):
        with use(residency, shelf, name, 1 * GIB):
            assert residency.device.used_bytes() <= 2 * GIB
    # c had to take the place of b (needed after a), so a was still there.
    assert shelf.loads == ["a", "b", "c"]


def test_planned_without_a_limit_keeps_to_the_device():
    residency, shelf = home("planned", total=2 * GIB)
    for name in ("a", "b", "c"):
        with use(residency, shelf, name, 1 * GIB):
            pass
    assert len(residency.held()) == 2
    with pytest.raises(OutOfMemory, match="limit of 2,048 MiB"), use(residency, shelf, "d", 3 * GIB):
        raise AssertionError("the body must not run")


def test_nested_use_of_two_models_and_of_one_twice():
    residency, shelf = home("sequential")
    with use(residency, shelf, "f5", F5) as f5, use(residency, shelf, "vocoder", 1024):
        with use(residency, shelf, "f5", F5) as again:
            assert again is f5
        assert set(residency.held()) == {"f5", "vocoder"}
    assert residency.held() == ()
    assert shelf.loads == ["f5", "vocoder"]


@pytest.mark.parametrize("policy", ["sequential", "planned", "normal"])
def test_an_exception_passes_and_nothing_stays_in_use(policy):
    residency, shelf = home(policy, limit=2 * GIB if policy == "planned" else None)
    with pytest.raises(KeyError), use(residency, shelf, "xtts", XTTS):
        raise KeyError("speak")
    with use(residency, shelf, "rvc", RVC):  # another caller is not kept waiting
        assert ("xtts" in residency.held()) == (policy == "normal")


def test_a_load_that_fails_leaves_nothing_behind():
    residency, shelf = home("sequential")

    def broken():
        raise OSError("no such file")

    with pytest.raises(OSError, match="no such file"), residency.use("xtts", broken, size=XTTS):
        raise AssertionError("the body must not run")
    assert (residency.held(), residency.device.used_bytes()) == ((), 0)
    with use(residency, shelf, "xtts", XTTS):
        pass


def test_a_device_that_refuses_lets_go_of_what_was_made():
    residency, shelf = home("normal", total=1 * GIB)
    with pytest.raises(MemoryError), use(residency, shelf, "xtts", XTTS):
        raise AssertionError("the body must not run")
    assert shelf.alive == set()
    assert residency.device.used_bytes() == 0


def test_an_unload_that_fails_does_not_hide_the_result(caplog):
    residency, _ = home("sequential")

    def broken(model):
        raise RuntimeError("driver")

    with residency.use("xtts", lambda: "model", unload=broken) as model:
        assert model == "model"
    assert "xtts did not unload cleanly" in caplog.text
    assert residency.held() == ()


def test_models_are_kept_per_voice():
    residency, shelf = home("normal")
    for voice in ("ana", "rui", "ana"):
        with residency.use("rvc", shelf.load, f"rvc {voice}", voice=voice, size=RVC) as model:
            assert model["name"] == f"rvc {voice}"
    assert residency.held() == ("rvc:ana", "rvc:rui")


def test_loads_and_unloads_are_logged_with_sizes(caplog):
    caplog.set_level(logging.INFO, "headroom.residency")
    residency, shelf = home("sequential")
    with use(residency, shelf, "xtts", XTTS):
        pass
    assert [record.getMessage().split(" in ")[0] for record in caplog.records] == [
        "loaded xtts (2,048 MiB)",
        "unloaded xtts (2,048 MiB)",
    ]


def test_a_model_of_unknown_size_is_measured_at_its_first_load():
    device = Measuring(16 * GIB)
    residency = Residency("planned", device=device, limit_bytes=3 * GIB)

    def load(name, size):
        device.real += size
        return size

    def unload(size):
        device.real -= size

    for name in ("a", "b", "a"):
        with residency.use(name, load, name, 2 * GIB, unload=unload):
            pass
    with residency.use("b", load, "b", 2 * GIB, unload=unload):
        assert device.real == 2 * GIB  # known by now, so room was made before


def test_what_can_never_fit_is_said_at_once():
    residency, shelf = home("planned", limit=1 * GIB)
    with pytest.raises(OutOfMemory, match="1,024 MiB short"), use(residency, shelf, "xtts", XTTS):
        raise AssertionError("the body must not run")
    with (
        use(residency, shelf, "rvc", RVC),
        pytest.raises(OutOfMemory, match="rvc is in use"),
        use(residency, shelf, "f5", F5),
    ):
        raise AssertionError("the body must not run")
    assert residency.held() == ("rvc",)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 3)), min_size=1, max_size=25), st.integers(3, 6))
@settings(max_examples=25, deadline=None)
def test_planned_never_passes_the_limit_and_always_serves(uses, limit):
    sizes = {"a": 1, "b": 2, "c": 3, "d": 1}
    residency, shelf = home("planned", limit=limit * GIB)
    for name, _ in uses:
        with use(residency, shelf, name, sizes[name] * GIB):
            assert residency.device.used_bytes() <= limit * GIB
            assert name in shelf.alive
    assert sum(sizes[name] for name in shelf.alive) <= limit


def test_stats_of_a_card_are_those_of_that_card():
    class Second(FakeCard):
        def bytes(self, index):
            return AllocatorBytes(allocated=1 * GIB, reserved=2 * GIB) if index == 1 else AllocatorBytes()

    card = Second()
    stats = Residency("normal", CudaDevice(card, card, index=1)).vram_stats()
    assert (stats["allocated_gb"], stats["reserved_gb"]) == (1.0, 2.0)


def test_stats_have_the_documents_fields():
    residency, shelf = home("sequential", total=6 * GIB)
    with use(residency, shelf, "xtts", XTTS):
        stats = residency.vram_stats()
    assert stats == {"available": True, "low_vram_mode": True, "allocated_gb": 2.0, "reserved_gb": 2.0,
                     "free_gb": 4.0, "total_gb": 6.0, "cached_models": 1}  # fmt: skip
    assert Residency("normal").vram_stats()["available"] is False


def test_the_automatic_policy_by_size():
    assert [policy_for("auto", gib * GIB) for gib in (4, 6, 7, 8, 24)] == ["sequential"] * 3 + ["normal"] * 2
    assert policy_for("auto", 8151 * 1024**2) == "normal"  # an "8 GB" card
    with pytest.raises(UsageError, match="planned"):
        policy_for("planed", 0)
    with pytest.raises(UsageError):
        Residency("planed")


def test_a_use_is_entered_once():
    residency, shelf = home("normal")
    once = use(residency, shelf, "xtts", XTTS)
    with once, pytest.raises(RuntimeError, match="entered already"):
        once.__enter__()


def hold(residency, shelf, *models):
    """Use models one after another; (name, GiB) of each."""
    for name, gib in models:
        with use(residency, shelf, name, round(gib * GIB)):
            pass


def test_what_is_cheap_to_load_again_goes_before_what_is_not():
    residency, shelf = home("planned", limit=4 * GIB)
    seconds = iter([0.0, 9.0, 9.0, 10.0, 10.0, 11.0])  # `slow` loads in nine, the others in one
    residency.clock = lambda: next(seconds)
    hold(residency, shelf, ("slow", 2), ("quick", 2), ("next", 2))
    assert residency.held() == ("slow", "next")


def test_what_frees_more_goes_first_where_both_load_as_fast_for_their_size():
    residency, shelf = home("planned", limit=4 * GIB)
    hold(residency, shelf, ("small", 1), ("large", 3), ("next", 1))
    assert residency.held() == ("small", "next")


def test_what_is_expected_sooner_stays_and_what_nobody_expects_goes_first():
    residency, shelf = home("planned", limit=3 * GIB)
    hold(residency, shelf, ("a", 1), ("b", 1), ("c", 1))
    residency.expect(["d", "c", "a"])
    hold(residency, shelf, ("d", 1))
    assert set(residency.held()) == {"a", "c", "d"}
    residency.expect(["c", "a", "d"])
    hold(residency, shelf, ("e", 1))  # is not expected itself, and moves nothing in the order
    assert set(residency.held()) == {"a", "c", "e"}


def test_a_use_takes_itself_and_all_before_it_off_what_is_expected():
    residency, shelf = home("planned", limit=3 * GIB)
    residency.expect(["a", "b", "c", "a"])
    hold(residency, shelf, ("b", 1))
    assert residency._expected == ["c", "a"]
    hold(residency, shelf, ("a", 1))
    assert residency._expected == []


def test_the_whole_limit_may_be_used_and_not_a_byte_more():
    residency, shelf = home("planned", limit=3 * GIB)
    hold(residency, shelf, ("a", 1), ("b", 2))
    assert residency.held() == ("a", "b")
    with residency.use("c", shelf.load, "c", size=1, unload=shelf.unload):
        assert len(residency.held()) == 2


def test_a_first_load_that_turns_out_larger_makes_room_after_it():
    device = Measuring(16 * GIB)
    residency = Residency("planned", device=device, limit_bytes=3 * GIB)

    def load(size):
        device.real += size
        return size

    def unload(size):
        device.real -= size

    for name in ("a", "b"):
        with residency.use(name, load, GIB, unload=unload):
            pass
    with residency.use("c", load, 2 * GIB, unload=unload):
        assert device.real == 3 * GIB  # one of the idle ones has gone
        assert len(residency.held()) == 2


def test_without_a_device_sizes_are_trusted():
    residency = Residency("planned", limit_bytes=3 * GIB)
    for name in ("a", "b"):
        with residency.use(name, lambda: "model", size=2 * GIB):
            pass
    assert residency.held() == ("b",)
    assert residency.vram_stats() == {
        "available": False, "low_vram_mode": False, "allocated_gb": 2.0, "reserved_gb": 2.0, "free_gb": 0.0,
        "total_gb": 0.0, "cached_models": 1,
    }  # fmt: skip
    with residency.use("c", lambda: "model", size=2 * GIB):
        pass
    assert Residency("planned").use("x", lambda: 1, size=10**15).__enter__() == 1  # nothing limits it


def test_stats_without_a_card_are_those_of_ram():
    stats = Residency("normal", CpuDevice()).vram_stats()
    assert stats["available"] is False
    assert 0 < stats["allocated_gb"] == stats["reserved_gb"] <= stats["total_gb"]


def test_close_leaves_what_is_in_use():
    residency, shelf = home("normal")
    hold(residency, shelf, ("idle", 1))
    with use(residency, shelf, "busy", GIB):
        residency.close()
        assert residency.held() == ("busy",)
    residency.close()
    assert (residency.held(), shelf.alive) == ((), set())


def test_one_after_the_other_holds_all_that_one_caller_uses_inside_each_other():
    residency, shelf = home("sequential")
    with use(residency, shelf, "a", GIB):
        with use(residency, shelf, "b", GIB):
            pass
        assert residency.held() == ("a",)  # b is in use no longer


def test_a_model_without_an_unload_is_let_go_of():
    residency = Residency("sequential", Ledger(16 * GIB))
    made = type("Model", (), {})()
    gone = weakref.ref(made)
    loads = [made]
    del made
    with residency.use("a", loads.pop, size=1):
        assert residency.device.used_bytes() == 1
    assert gone() is None
    assert residency.device.used_bytes() == 0


def test_a_load_that_gives_none_is_not_unloaded_by_its_function():
    calls = []
    residency = Residency("sequential", Ledger(16 * GIB))
    with residency.use("a", lambda: None, size=1, unload=calls.append) as model:
        assert model is None
    assert calls == []


def test_a_failed_load_is_not_logged_as_unloaded(caplog):
    caplog.set_level(logging.INFO, "headroom.residency")
    residency, _ = home("sequential")
    with pytest.raises(OSError, match="no"), residency.use("a", lambda: (_ for _ in ()).throw(OSError("no")), size=1):
        raise AssertionError("the body must not run")
    assert caplog.records == []


def test_how_long_a_load_took_is_logged(caplog):
    caplog.set_level(logging.INFO, "headroom.residency")
    residency, shelf = home("normal")
    with use(residency, shelf, "xtts", XTTS):
        pass
    assert [record.getMessage() for record in caplog.records] == ["loaded xtts (2,048 MiB) in 1.0 s"]
