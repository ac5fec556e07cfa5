import asyncio
import contextvars
import itertools
import logging
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

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


class Ledger(SimulatedDevice):
    """Counts what is declared. To collect the garbage of a process that has run many tests takes too long for tests of many loads."""

    def reclaim(self):
        pass


def home(policy, limit=None, total=16 * GIB):
    every_load_takes_a_second = itertools.count().__next__
    return Residency(policy, Ledger(total), limit, every_load_takes_a_second), Shelf()


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


class Failing(Ledger):
    """Fails when asked what `fails` names."""

    fails = ""

    def used_bytes(self):
        if self.fails == "used_bytes":
            raise RuntimeError("the card is lost")
        return super().used_bytes()

    def reclaim(self):
        if self.fails == "reclaim":
            raise RuntimeError("device-side assert")


@pytest.mark.parametrize("fails", ["used_bytes", "reclaim"])
def test_a_device_that_fails_keeps_nobody_waiting(fails):
    residency = Residency("sequential", device=Failing(16 * GIB))
    inside = threading.Event()

    def first():
        with residency.use("a", lambda: "a", size=1):
            inside.set()
            while not residency._waiting:
                time.sleep(0.001)
            residency.device.fails = fails

    def second():
        inside.wait(10)
        with residency.use("b", lambda: "b", size=1):
            pass

    failures = run_threads(first, second)
    residency.device.fails = ""
    assert [str(failure) for failure in failures] == (["the card is lost"] if fails == "used_bytes" else [])
    assert residency.held() == ()
    with residency.use("c", lambda: "c", size=1) as model:
        assert model == "c"


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


def test_sizes_measured_while_others_load_are_not_believed():
    class Measuring(Ledger):
        real = 0

        def used_bytes(self):
            return self.real

    device, both = Measuring(16 * GIB), threading.Barrier(2)
    residency = Residency("planned", device=device, limit_bytes=3 * GIB)

    def load(*sides):
        for side in sides:
            side.wait(10)
        device.real += GIB
        for side in sides:
            side.wait(10)
        return "model"

    def unload(model):
        device.real -= GIB

    def work(name):
        with residency.use(name, load, both, unload=unload):
            pass

    assert run_threads(lambda: work("a"), lambda: work("b")) == []
    residency.close()
    with residency.use("a", load, unload=unload), residency.use("b", load, unload=unload):  # 2 GiB each would not fit
        assert device.real == 2 * GIB
    assert residency._sizes == {"a": GIB, "b": GIB}


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


def test_one_who_waits_for_what_has_come_is_not_waited_for_in_vain():
    """The waiting one goes on as soon as it gets the processor, and then gives the room that the other asks for."""
    residency, shelf = home("planned", limit=3 * GIB)
    holding, loading = threading.Event(), threading.Event()

    def slow(name):
        loading.set()
        while not residency._waiting:
            time.sleep(0.001)
        return shelf.load(name)

    def waits():
        with use(residency, shelf, "a", 1 * GIB):
            holding.set()
            loading.wait(10)
            with use(residency, shelf, "k", 1 * GIB):
                pass

    def asks_for_more():
        holding.wait(10)
        with (
            residency.use("k", slow, "k", size=1 * GIB, unload=shelf.unload),
            use(residency, shelf, "z", 2 * GIB),
        ):
            pass

    assert run_threads(waits, asks_for_more) == []


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


def test_a_load_outlives_its_event_loop_and_is_let_go():
    residency, shelf = home("sequential")
    loading, go = threading.Event(), threading.Event()

    def slow(name):
        loading.set()
        go.wait(10)
        return shelf.load(name)

    async def user():
        async with residency.use("xtts", slow, "xtts", size=XTTS, unload=shelf.unload):
            raise AssertionError("the body must not run")

    async def main():
        task = asyncio.create_task(user())
        while not loading.is_set():
            await asyncio.sleep(0.001)
        task.cancel()

    asyncio.run(main())
    go.set()

    def next_one():
        with use(residency, shelf, "rvc", RVC):
            assert shelf.alive == {"rvc"}

    assert run_threads(next_one) == []


def test_a_model_is_let_go_when_the_one_who_waited_for_it_no_longer_does():
    residency, shelf = home("sequential")

    async def user():
        async with use(residency, shelf, "xtts", XTTS):
            raise AssertionError("the body must not run")

    async def main():
        async with use(residency, shelf, "xtts", XTTS):
            loop = asyncio.get_running_loop()
            waiting = loop.create_task(user(), context=contextvars.Context())
            while not residency._waiting:
                await asyncio.sleep(0)
        assert residency.held() == ("xtts",)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())
    assert residency.held() == ()


def test_a_loop_closed_around_those_who_wait_does_not_disturb_others():
    residency, shelf = home("sequential")

    async def user():
        async with use(residency, shelf, "rvc", RVC):
            raise AssertionError("the body must not run")

    async def until_it_waits():
        while not residency._waiting:
            await asyncio.sleep(0)

    loop = asyncio.new_event_loop()
    with use(residency, shelf, "xtts", XTTS):
        task = loop.create_task(user(), context=contextvars.Context())
        loop.run_until_complete(until_it_waits())
        loop.close()
    assert residency.held() == ()
    task._log_destroy_pending = False  # asyncio would tell of a task that was never ended, which is what this is


def test_a_coroutine_loads_though_every_thread_of_its_loop_is_taken():
    residency, shelf = home("sequential")
    done = threading.Event()

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        taken = loop.run_in_executor(None, done.wait, 60)
        try:
            async with asyncio.timeout(20), use(residency, shelf, "xtts", XTTS):
                pass
        finally:
            done.set()
            await taken

    asyncio.run(main())
    assert shelf.loads == ["xtts"]


def test_stats_of_a_card_are_those_of_that_card(monkeypatch):
    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        memory_allocated=lambda card=None: {"cuda:1": 1 * GIB}.get(card, 0),
        memory_reserved=lambda card=None: {"cuda:1": 2 * GIB}.get(card, 0),
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    residency, _ = home("normal")
    residency.device.kind, residency.device.torch_device = "cuda", "cuda:1"
    stats = residency.vram_stats()
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
