"""Models that cost nothing, on a card that counts what is declared: what the tests of residency load."""

import itertools
import threading

from pipelines.devices.simulated import SimulatedDevice
from pipelines.run.residency import Residency
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


class Measuring(Ledger):
    """One whose `real` bytes a test sets, whatever is registered."""

    real = 0

    def used_bytes(self):
        return self.real


def home(policy, limit=None, total=16 * GIB):
    every_load_takes_a_second = itertools.count().__next__
    return Residency(policy, Ledger(total), limit, every_load_takes_a_second), Shelf()


def use(residency, shelf, name, size, **more):
    return residency.use(name, shelf.load, name, size=size, unload=shelf.unload, **more)


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


def held_back(shelf):
    """A load that waits in the middle: the load, what it sets when it has begun, and what lets it go on."""
    loading, go = threading.Event(), threading.Event()

    def slow(name):
        loading.set()
        go.wait(10)
        return shelf.load(name)

    return slow, loading, go
