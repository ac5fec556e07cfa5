"""What an ordinary run teaches: bytes above the level after the last load, as `measure` counts them."""

from dataclasses import replace

from benchmarks.memory.harness import Bench
from pipelines.devices.cpu import CpuDevice
from pipelines.footprints.store import FootprintStore, Key, Observation
from pipelines.run.observations import keep_observations
from pipelines.run.outcome import Observed
from pipelines.schema.plan import Load, Run, Unload
from pipelines.schema.units import MIB

JOB = Bench(((8 * MIB, MIB), (4 * MIB, MIB)), None, items=3).job()
DEVICE = CpuDevice()


def step(kind, start, peak, end, *, undisturbed=True, source="kernel", job=JOB):
    return Observed(kind, start * MIB, peak * MIB, end * MIB, 0.1, source, undisturbed, job)


def run(item, node):
    return Run((f"i{item}/n{node}",), 0)


def remembered(tmp_path, observed, node="n0", failed=()):
    store = FootprintStore(tmp_path / "f.jsonl")
    kept = keep_observations(store, observed, DEVICE, failed)
    return kept, [seen.bytes // MIB for seen in store.read().of(Key.of(JOB.variants[node], "", DEVICE.footprint_key))]


def load(model):
    return Load(model, 0)


def test_what_earlier_runs_left_behind_counts_until_models_are_moved(tmp_path):
    observed = [
        step(load("n0"), 100, 110, 108),
        step(run(0, 0), 108, 128, 118),  # keeps 10 MiB for good, as an arena does
        step(run(1, 0), 118, 128, 118),
        step(Unload("n0", 0), 118, 118, 110),
        step(load("n0"), 110, 120, 118),
        step(run(2, 0), 118, 128, 118),
    ]
    assert remembered(tmp_path, observed) == (3, [20, 20, 10])


def test_what_others_left_behind_is_not_this_node_s(tmp_path):
    observed = [step(load("n0"), 100, 110, 108), step(run(0, 1), 108, 150, 140), step(run(0, 0), 140, 150, 140)]
    assert remembered(tmp_path, observed) == (2, [10])


def test_a_run_that_failed_teaches_nothing(tmp_path):
    observed = [step(load("n0"), 100, 110, 108), step(run(0, 0), 108, 109, 108), step(run(1, 0), 108, 128, 108)]
    assert remembered(tmp_path, observed, failed={"i0/n0"}) == (1, [20])


def test_where_one_failed_in_a_process_of_its_own_no_other_does(tmp_path):
    """Its process may have died, and then the next run's bytes hold what the new one loaded."""
    apart = replace(JOB, variants={**JOB.variants, "n0": replace(JOB.variants["n0"], isolation="process")})
    first, second = step(run(0, 0), 108, 109, 90, job=apart), step(run(1, 0), 90, 128, 108, job=apart)
    assert remembered(tmp_path, [step(load("n0"), 100, 110, 108), first, second], failed={"i0/n0"}) == (0, [])
    assert remembered(tmp_path, [step(run(0, 0), 100, 120, 100, job=apart)], failed={"i0/n1"}) == (1, [20])


def test_what_one_variant_took_is_not_remembered_of_the_one_that_replaced_it(tmp_path):
    small = replace(JOB.variants["n0"], origin="small")
    later = replace(JOB, variants={**JOB.variants, "n0": small}, digests={"small": "abc"})
    store = FootprintStore(tmp_path / "f.jsonl")
    observed = [step(run(0, 0), 100, 190, 100), step(run(1, 0), 100, 105, 100, job=later)]
    assert keep_observations(store, observed, DEVICE) == 2
    found = [store.read().of(Key.of(*key, DEVICE.footprint_key)) for key in ((JOB.variants["n0"], ""), (small, "abc"))]
    assert [[seen.bytes // MIB for seen in each] for each in found] == [[90], [5]]


def test_guesses_and_shared_steps_teach_nothing(tmp_path):
    observed = [
        step(run(0, 0), 100, 110, 100, undisturbed=False),
        step(run(1, 0), 100, 110, 100, source="declared"),
        step(run(2, 0), 100, 110, 100, source="sampled"),
    ]
    assert remembered(tmp_path, observed) == (0, [])


def test_what_is_remembered_of_a_run(tmp_path):
    footprint = replace(JOB.variants["n0"].footprint_in("host"), workspace={"base": 3.0, "per_batch_second": 2.0})
    variant = replace(JOB.variants["n0"], knobs={"batch": 4, "segment": 7}, footprints={"host": footprint})
    item = replace(JOB.items["i0"], seconds=5.0, channels=2, characters=30)
    job = replace(JOB, variants={**JOB.variants, "n0": variant}, items={**JOB.items, "i0": item}, digests={"n0": "abc"})
    store = FootprintStore(tmp_path / "f.jsonl")
    observed = [step(run(0, 0), 100, 150, 120, job=job), step(run(0, 1), 100, 150, 120, job=replace(job, variants={}))]
    assert keep_observations(store, observed, DEVICE) == 1
    (seen,) = store.read().of(Key.of(variant, "abc", DEVICE.footprint_key))
    assert seen == Observation(
        "run", 50 * MIB, 0.1, held_bytes=20 * MIB, item_seconds=5.0, channels=2, characters=30, batch=4.0, segment=7.0,
        predicted_bytes=43, source="kernel",
    )  # fmt: skip


def test_a_run_of_several_tasks_teaches_nothing_and_moves_no_level(tmp_path):
    both = step(Run(("i0/n0", "i1/n0"), 0), 50, 300, 50)
    assert remembered(tmp_path, [step(run(2, 0), 100, 110, 100), both]) == (1, [10])


def test_a_peak_at_its_level_is_a_run_that_took_nothing(tmp_path):
    assert remembered(tmp_path, [step(run(0, 0), 100, 100, 100)]) == (1, [0])
    broken = step(run(1, 0), 100, 99, 99)
    assert remembered(tmp_path / "other", [broken]) == (0, [])
