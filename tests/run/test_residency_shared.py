"""Models shared by threads and coroutines: nobody hangs, nothing is loaded twice, no limit is passed."""

import asyncio
import contextvars
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipelines.run.residency import Residency
from pipelines.schema.errors import OutOfMemory, UsageError
from pipelines.schema.units import GIB
from tests.run.shelf import F5, RVC, XTTS, Ledger, Measuring, held_back, home, run_threads, use


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


def test_sizes_measured_while_others_load_are_not_believed():
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


def test_two_threads_load_one_model_once():
    residency, shelf = home("normal")
    slow, loading, go = held_back(shelf)

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
    slow, loading, go = held_back(shelf)

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
    slow, loading, go = held_back(shelf)

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


def test_room_that_a_load_under_way_will_take_is_taken():
    residency, shelf = home("planned", limit=3 * GIB)
    slow, loading, go = held_back(shelf)
    loaded_meanwhile = []

    def first():
        with residency.use("a", slow, "a", size=2 * GIB, unload=shelf.unload):
            pass

    def second():
        loading.wait(10)
        with use(residency, shelf, "b", 2 * GIB):
            assert residency.device.used_bytes() <= 3 * GIB

    def third():
        loading.wait(10)
        while not residency._waiting and "b" not in shelf.loads:
            time.sleep(0.001)
        loaded_meanwhile.extend(shelf.loads)
        go.set()

    assert run_threads(first, second, third) == []
    assert loaded_meanwhile == []
    assert residency.held() == ("b",)
