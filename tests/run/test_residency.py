import asyncio
import logging
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.run.devices.simulated import SimulatedDevice
from pipelines.run.residency import Residency, policy_for
from pipelines.schema.errors import OutOfMemory, UsageError
from pipelines.schema.units import GIB

XTTS, F5, RVC = 2 * GIB, 1 * GIB, 1 * GIB


class Shelf:
    """Loads by name; knows how many of each were loaded and how many are alive at once, at most."""

    def __init__(self):
        self.loads, self.alive, self.most, self.lock = [], set(), 0, threading.Lock()

    def load(self, name):
        with self.lock:
            self.loads.append(name)
            assert name not in self.alive, "loaded twice at once"
            self.alive.add(name)
            self.most = max(self.most, len(self.alive))
        return {"name": name}

    def unload(self, model):
        with self.lock:
            self.alive.remove(model["name"])


def home(policy, limit=None, total=16 * GIB):
    return Residency(policy, device=SimulatedDevice(total), limit_bytes=limit), Shelf()


def use(residency, shelf, name, size, **more):
    return residency.use(name, shelf.load, name, size=size, unload=shelf.unload, **more)


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
    class Measuring(SimulatedDevice):
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


def run_threads(*works):
    failures = []

    def guarded(work):
        try:
            work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert not any(thread.is_alive() for thread in threads), "a caller hangs"
    return failures


def test_two_threads_load_one_model_once():
    residency, shelf = home("normal")
    loading, go = threading.Event(), threading.Event()

    def slow(name):
        loading.set()
        go.wait(10)
        return shelf.load(name)

    seen = []

    def first():
        with residency.use("xtts", slow, "xtts", size=XTTS) as model:
            seen.append(model)

    def second():
        loading.wait(10)
        go.set()
        with residency.use("xtts", slow, "xtts", size=XTTS) as model:
            seen.append(model)

    assert run_threads(first, second) == []
    assert shelf.loads == ["xtts"]
    assert seen[0] is seen[1]


@pytest.mark.parametrize(
    ("policy", "limit", "most"), [("sequential", None, 1), ("planned", 2 * GIB, 2), ("normal", None, 3)]
)
def test_many_threads_stay_under_the_limit_and_all_finish(policy, limit, most):
    residency, shelf = home(policy, limit)
    peak = []

    def work(shift):
        for step in range(6):
            name = ("a", "b", "c")[(shift + step) % 3]
            with use(residency, shelf, name, 1 * GIB):
                peak.append(residency.device.used_bytes())

    assert run_threads(*(lambda shift=shift: work(shift) for shift in range(4))) == []
    assert shelf.most <= most
    assert max(peak) <= most * GIB


def test_two_threads_that_would_wait_for_each_other_do_not():
    """Each holds one model and wants the other's place: one of them is told, the other goes on."""
    residency, shelf = home("planned", limit=2 * GIB)
    both = threading.Barrier(2)

    def work(outer, inner):
        with use(residency, shelf, outer, 1 * GIB):
            both.wait(10)
            with use(residency, shelf, inner, 1 * GIB):
                pass

    failures = run_threads(lambda: work("a", "x"), lambda: work("b", "y"))
    assert len(failures) == 1
    assert isinstance(failures[0], OutOfMemory)


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


def test_coroutines_take_turns():
    residency, shelf = home("sequential")

    async def work(name):
        for _ in range(5):
            async with use(residency, shelf, name, XTTS):
                await asyncio.sleep(0)
                assert residency.held() == (name,)

    async def everyone():
        await asyncio.wait_for(asyncio.gather(*(work(name) for name in "abc")), 20)

    asyncio.run(everyone())
    assert shelf.most == 1


def test_a_plain_with_that_would_stop_the_event_loop_is_refused():
    residency, shelf = home("sequential")

    async def holder(held, done):
        async with use(residency, shelf, "xtts", XTTS):
            held.set()
            await done.wait()

    async def main():
        held, done = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(holder(held, done))
        await held.wait()
        with pytest.raises(UsageError, match="async with"), use(residency, shelf, "rvc", RVC):
            raise AssertionError("the body must not run")
        done.set()
        await task
        with use(residency, shelf, "rvc", RVC):  # free now, so nothing is waited for
            pass

    asyncio.run(main())


def test_a_coroutine_cancelled_while_it_waits_or_loads_leaves_nothing_behind():
    residency, shelf = home("sequential")
    loading, go = threading.Event(), threading.Event()

    def slow(name):
        loading.set()
        go.wait(10)
        return shelf.load(name)

    async def user(name):
        async with residency.use(name, slow, name, size=XTTS, unload=shelf.unload):
            raise AssertionError("the body must not run")

    async def main():
        first = asyncio.create_task(user("xtts"))
        while not loading.is_set():
            await asyncio.sleep(0.001)
        waiting = asyncio.create_task(user("rvc"))
        await asyncio.sleep(0.01)
        waiting.cancel()
        first.cancel()
        for task in (waiting, first):
            with pytest.raises(asyncio.CancelledError):
                await task
        go.set()
        while residency.held():
            await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(main(), 20))
    assert shelf.alive == set()
    with use(residency, shelf, "f5", F5):
        pass


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
