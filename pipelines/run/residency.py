"""Models loaded when used, unloaded by a policy, shared by threads and coroutines; needs no plan.

For programs that import Headroom: its own runs do not use it.

    residency = Residency("sequential", device=device)
    with residency.use("xtts", load_xtts) as model:          # or `async with`, inside a coroutine
        audio = model.speak(text)

Policies: `sequential` (LOW_VRAM=true) holds the models that one caller uses and unloads them as soon as it is done; `normal`
(LOW_VRAM=false) keeps everything; `planned` keeps what fits under the limit, and unloads first what is needed last and cheapest
to load again. A caller is a thread or a coroutine; uses inside a use count as the same caller's. Callers wait for each other
rather than pass the limit; where waiting would be a deadlock, the caller that would complete it gets `OutOfMemory` instead.
The page is docs/residency.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from pipelines.devices.protocol import Device
from pipelines.plan.policy import policy_for
from pipelines.schema.errors import OutOfMemory, UsageError
from pipelines.schema.units import GIB, format_bytes, format_seconds

__all__ = ["Residency", "Use", "policy_for"]

_log = logging.getLogger("headroom.residency")


@dataclass(eq=False)
class _HeldModel:
    size: int
    unload: Callable[[Any], None] | None
    model: Any = None
    users: int = 0
    loading: bool = True
    seconds: float = 0.0


@dataclass(eq=False)
class Residency:
    """The models that are held. limit_bytes: for `planned`; None is the whole device. device: counts the bytes; None trusts `size=`."""

    policy: str = "planned"
    device: Device | None = None
    limit_bytes: int | None = None
    clock: Callable[[], float] = time.perf_counter
    _held: dict[str, _HeldModel] = field(default_factory=dict, init=False)
    _sizes: dict[str, int] = field(default_factory=dict, init=False)
    _holders: Counter[object] = field(default_factory=Counter, init=False)
    #: Uses that wait, and whether nothing has changed since they last tried.
    _waiting: dict[Use, bool] = field(default_factory=dict, init=False)
    _expected: list[str] = field(default_factory=list, init=False)
    _changed: threading.Condition = field(default_factory=threading.Condition, init=False)
    _wakers: set[Callable[[], Any]] = field(default_factory=set, init=False)
    #: Grows with every load and unload.
    _generation: int = field(default=0, init=False)
    _caller: contextvars.ContextVar[object] = field(init=False)

    def __post_init__(self) -> None:
        policy_for(self.policy, 0)
        self._caller = contextvars.ContextVar(f"caller-{id(self)}")

    def use(
        self,
        name: str,
        load: Callable[..., Any],
        *args: Any,
        voice: str | None = None,
        size: int = 0,
        unload: Callable[[Any], None] | None = None,
    ) -> Use:
        """A context manager, plain or async, that gives the model that `load(*args)` made, and loads it only if it is not held.

        voice: tells apart models of the same name. size: bytes it will hold; with 0 they are measured at the first load.
        unload: called with the model when it is unloaded.
        """
        return Use(self, name if voice is None else f"{name}:{voice}", lambda: load(*args), size, unload)

    def expect(self, names: Iterable[str]) -> None:
        """Say what will be used next, in order; `planned` unloads first what comes last."""
        with self._changed:
            self._expected = list(names)

    def held(self) -> tuple[str, ...]:
        """Names of the models held now."""
        with self._changed:
            return tuple(self._held)

    def close(self) -> None:
        """Unload every model that is not in use."""
        with self._changed:
            for key in [key for key, held in self._held.items() if held.users == 0]:
                self._unload(key)

    def vram_stats(self) -> dict[str, Any]:
        """Memory in use now; GB are 1024**3 bytes. `available`: whether there is a card; without one the figures are of RAM."""
        device = self.device
        declared = sum(held.size for held in tuple(self._held.values()))
        allocated, reserved = device.framework_bytes() if device else (declared, declared)
        return {
            "available": device is not None and device.memory != "host",
            "low_vram_mode": self.policy == "sequential",
            "allocated_gb": round(allocated / GIB, 2),
            "reserved_gb": round(reserved / GIB, 2),
            "free_gb": round(device.free_bytes() / GIB, 2) if device else 0.0,
            "total_gb": round(device.total_bytes / GIB, 2) if device else 0.0,
            "cached_models": len(self._held),
        }

    # The methods below are called with the lock held.

    def _take(self, use: Use, caller: object) -> str:
        """Take a model into use: `ready` (it is held), `load` (the caller must load it now), or `wait`."""
        held = self._held.get(use.key)
        others = any(count for other, count in self._holders.items() if other is not caller)
        if (held is not None and held.loading) or (self.policy == "sequential" and others):
            return "wait"
        if held is None and not self._make_room(use, caller):
            return "wait"
        self._holders[caller] += 1
        if use.key in self._expected:
            del self._expected[: self._expected.index(use.key) + 1]
        if held is None:
            self._generation += 1
            self._held[use.key] = _HeldModel(self._size(use), use.unload, users=1)
            return "load"
        held.users += 1
        return "ready"

    def _size(self, use: Use) -> int:
        return use.size or self._sizes.get(use.key, 0)

    def _make_room(self, use: Use, caller: object) -> bool:
        """Unload idle models until `use` has room. False if it must wait; raises `OutOfMemory` if waiting would be a deadlock."""
        idle = [key for key, held in self._held.items() if held.users == 0]
        if self.policy == "sequential":
            for key in idle:
                self._unload(key)
            return True
        while self.policy == "planned" and self._bytes_short(use) > 0:
            if idle:
                victim = max(idle, key=self._eviction_gain)
                idle.remove(victim)
                self._unload(victim)
                continue
            stuck = {other for other, count in self._holders.items() if count} <= {
                caller,
                *(other._caller for other, is_stuck in self._waiting.items() if is_stuck),
            }
            if stuck:
                raise OutOfMemory(
                    f"{use.key} needs {format_bytes(self._size(use))} and is {format_bytes(self._bytes_short(use))} short of the limit of "
                    f"{format_bytes(self._limit or 0)}; {', '.join(self._held) or 'nothing else'} is in use and cannot be let go. "
                    "Use one model after the other instead of nested, or raise the limit."
                )
            return False
        return True

    def _evict_excess(self) -> None:
        """After a first load that turned out larger than the room there was: unload idle models until the limit holds."""
        while self.policy == "planned" and self._bytes_over() > 0:
            idle = [key for key, held in self._held.items() if held.users == 0]
            if not idle:
                return
            self._unload(max(idle, key=self._eviction_gain))

    def _unload_unwanted(self) -> None:
        """`sequential` unloads what is neither in use nor waited for."""
        wanted = {use.key for use in self._waiting}
        idle = [key for key, held in self._held.items() if held.users == 0 and key not in wanted]
        for key in idle if self.policy == "sequential" else ():
            self._unload(key)

    @property
    def _limit(self) -> int | None:
        if self.limit_bytes is None and self.device is not None:
            return self.device.total_bytes
        return self.limit_bytes

    def _bytes_over(self) -> int:
        limit = self._limit
        if limit is None:
            return 0
        if self.device is None:
            return sum(held.size for held in self._held.values()) - limit
        # What another thread is loading is not on the device yet, but its room is taken.
        coming = sum(held.size for held in self._held.values() if held.loading)
        return self.device.used_bytes() + coming - limit

    def _bytes_short(self, use: Use) -> int:
        return self._bytes_over() + self._size(use) if self._limit is not None else 0

    def _eviction_gain(self, key: str) -> float:
        """How much is gained by unloading: uses until it is needed again, times the bytes freed per second of loading it again."""
        held = self._held[key]
        distance = self._expected.index(key) + 1 if key in self._expected else len(self._expected) + 1_000
        return distance * max(held.size, 1) / max(held.seconds, 1e-6)

    def _unload(self, key: str) -> None:
        held = self._held.pop(key)
        self._generation += 1
        try:
            if held.unload is not None and held.model is not None:
                held.unload(held.model)
        except Exception:  # the caller's own work is done; its result must not be lost to a failing clean-up
            _log.exception("%s did not unload cleanly", key)
        held.model = None
        try:
            if self.device is not None:
                self.device.unloaded(key)
                self.device.reclaim()
        except Exception:
            _log.exception("the device did not give back what %s held", key)
        if not held.loading:
            _log.info("unloaded %s (%s)", key, format_bytes(held.size))

    def _notify(self) -> None:
        self._waiting = dict.fromkeys(self._waiting, False)
        self._changed.notify_all()
        for waker in self._wakers:
            waker()

    # The steps of one use; each takes the lock itself.

    def _load(self, use: Use, caller: object) -> Any:
        """Load without the lock, so that other callers can go on."""
        model, grown = None, 0
        with self._changed:
            generation, alone = self._generation, sum(held.loading for held in self._held.values()) == 1
        try:
            before, start = self.device.used_bytes() if self.device else 0, self.clock()
            model = use.load()
            seconds = self.clock() - start
            if self.device is not None:
                self.device.loaded(use.key, self._size(use), model)
                grown = max(0, self.device.used_bytes() - before)
        except BaseException:
            with self._changed:
                self._held[use.key].model = model
                self._unload(use.key)
                self._end_use(caller)
                self._notify()
            raise
        with self._changed:
            held = self._held[use.key]
            held.model, held.loading, held.seconds = model, False, seconds
            if held.size or (alone and generation == self._generation):  # else others' bytes are in what was measured
                self._sizes[use.key] = held.size or grown
            held.size = held.size or grown
            self._evict_excess()
            self._notify()
        _log.info("loaded %s (%s) in %s", use.key, format_bytes(held.size), format_seconds(held.seconds))
        return model

    def _release(self, key: str, caller: object) -> None:
        with self._changed:
            held = self._held[key]
            held.users -= 1
            self._end_use(caller)
            self._unload_unwanted()
            self._notify()

    def _stop_waiting(self) -> None:
        """A caller has stopped waiting."""
        with self._changed:
            self._unload_unwanted()
            self._notify()

    def _end_use(self, caller: object) -> None:
        self._holders[caller] -= 1
        if not self._holders[caller]:
            del self._holders[caller]


@dataclass(eq=False)
class Use:
    """One use of a model, made by `Residency.use`. Enter it once, with `with` or `async with`."""

    residency: Residency
    key: str
    load: Callable[[], Any]
    size: int
    unload: Callable[[Any], None] | None
    _caller: object = field(default=None, init=False)
    _token: contextvars.Token[object] | None = field(default=None, init=False)

    def __enter__(self) -> Any:
        residency = self.residency
        caller = self._set_caller()
        try:
            with residency._changed:
                while (step := residency._take(self, caller)) == "wait":
                    _refuse_to_block_a_loop(self.key)
                    residency._waiting[self] = True
                    try:
                        residency._changed.wait()
                    finally:
                        del residency._waiting[self]
            return residency._load(self, caller) if step == "load" else residency._held[self.key].model
        except BaseException:
            self._reset_caller()
            residency._stop_waiting()
            raise

    def __exit__(self, *error: object) -> None:
        self.residency._release(self.key, self._caller)
        self._reset_caller()

    async def __aenter__(self) -> Any:
        residency = self.residency
        caller = self._set_caller()
        try:
            if await self._wait_for_turn(caller) == "ready":
                return residency._held[self.key].model
            # A thread of its own: those of the loop's pool may all be waiting for what this use will release.
            pool = ThreadPoolExecutor(1, thread_name_prefix="headroom-load")
            loading = pool.submit(contextvars.copy_context().run, residency._load, self, caller)
            pool.shutdown(wait=False)
            try:
                return await asyncio.shield(asyncio.wrap_future(loading))
            except asyncio.CancelledError:
                # The load cannot be stopped half-way; what it makes is released as soon as it is there, whether the loop still runs or not.
                loading.add_done_callback(lambda done: self._release_late(done, caller))
                raise
        except BaseException:
            self._reset_caller()
            residency._stop_waiting()
            raise

    async def __aexit__(self, *error: object) -> None:
        self.__exit__(*error)

    async def _wait_for_turn(self, caller: object) -> str:
        residency, loop, changed = self.residency, asyncio.get_running_loop(), asyncio.Event()

        def waker() -> None:
            with contextlib.suppress(RuntimeError):  # a loop that was closed around those who wait
                loop.call_soon_threadsafe(changed.set)

        while True:
            with residency._changed:
                changed.clear()
                step = residency._take(self, caller)
                if step != "wait":
                    return step
                residency._waiting[self] = True
                residency._wakers.add(waker)
            try:
                await changed.wait()
            finally:
                with residency._changed:
                    del residency._waiting[self]
                    residency._wakers.discard(waker)

    def _release_late(self, done: Future[Any], caller: object) -> None:
        if not done.cancelled() and done.exception() is None:
            self.residency._release(self.key, caller)

    def _set_caller(self) -> object:
        """This caller's identity: that of the use around it, or a new one."""
        if self._caller is not None:
            raise RuntimeError(f"This use of {self.key} has been entered already; call `use` again for another.")
        known = self.residency._caller.get(None)
        self._caller = known or object()
        self._token = None if known else self.residency._caller.set(self._caller)
        return self._caller

    def _reset_caller(self) -> None:
        if self._token is not None:
            with contextlib.suppress(
                ValueError
            ):  # an async generator may be closed in another context than it was started in
                self.residency._caller.reset(self._token)
            self._token = None


def _refuse_to_block_a_loop(key: str) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise UsageError(
        f"{key} must be waited for, which would stop the event loop for good; write `async with` here instead of `with`."
    )
