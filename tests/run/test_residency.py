"""Models shared by one caller: what stays, what goes, what is logged and told."""

import logging
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.devices.cuda import CudaDevice
from pipelines.devices.torch_allocator import AllocatorBytes
from pipelines.run.residency import Residency, policy_for
from pipelines.schema.errors import OutOfMemory, UsageError
from pipelines.schema.units import GIB
from tests.devices.fakes import FakeCard
from tests.run.shelf import F5, RVC, XTTS, Ledger, home, use


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
    class Measuring(Ledger):
        real = 0

        def used_bytes(self):
            return self.real

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
