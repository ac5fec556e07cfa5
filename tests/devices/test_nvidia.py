"""What is asked of NVML: the real module with a machine of numbers under it. No card is needed."""

import os
from types import SimpleNamespace

import psutil
import pynvml
import pytest

from pipelines.devices import nvidia
from pipelines.devices.nvidia import CardMemory, NvidiaProbe, Nvml, _visible
from pipelines.devices.protocol import Health
from pipelines.devices.registry import open_device
from pipelines.schema.errors import SurroundingsFailed
from pipelines.schema.hardware import Card
from pipelines.schema.units import GIB


@pytest.fixture
def machine(monkeypatch):
    """Two cards, of 8 and 24 GiB; a handle is a card's number."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    answers = {
        "nvmlInit": lambda: None,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetUUID": lambda card: f"GPU-{'ab'[card]}000",
        "nvmlDeviceGetName": lambda card: f"Card {card}",
        "nvmlDeviceGetMemoryInfo": lambda card: SimpleNamespace(total=(8, 24)[card] * GIB, free=GIB, used=GIB),
        "nvmlDeviceGetComputeRunningProcesses": lambda card: [SimpleNamespace(pid=7, usedGpuMemory=3)],
        "nvmlDeviceGetGraphicsRunningProcesses": lambda card: [SimpleNamespace(pid=8, usedGpuMemory=None)],
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, answer)
    return lambda name, answer: monkeypatch.setattr(pynvml, name, answer)


@pytest.mark.parametrize(
    ("visible", "sizes"),
    [(None, [8, 24]), ("1,0", [24, 8]), ("GPU-b", [24]), ("0,9,1", [8]), ("", []), ("-1", []), ("MIG-b000", [])],
)
def test_cards_are_numbered_as_cuda_shows_them(machine, monkeypatch, visible, sizes):
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    driver = Nvml()
    assert [driver.card(index).total // GIB for index in range(driver.count())] == sizes


def test_processes_without_a_figure_and_drivers_without_the_question(machine):
    assert Nvml().processes(0) == {7: 3, 8: 0}

    def older(card):
        raise pynvml.NVMLLibraryMismatchError

    machine("nvmlDeviceGetComputeRunningProcesses", older)
    assert Nvml().processes(0) == {8: 0}


def test_a_card_that_fell_off_the_bus_is_a_sentence(machine):
    def lost(index):
        raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)

    machine("nvmlDeviceGetHandleByIndex", lost)
    with pytest.raises(SurroundingsFailed, match="no such CUDA card"):
        open_device("cuda:0")


@pytest.fixture
def healthy(machine):
    """What a card says of its health; each question may be answered otherwise."""
    answers = {
        "nvmlDeviceGetUtilizationRates": lambda card: SimpleNamespace(gpu=(70, 5)[card]),
        "nvmlDeviceGetPowerUsage": lambda card: 125_500,
        "nvmlDeviceGetCurrentClocksThrottleReasons": lambda card: 0,
        "nvmlDeviceGetTemperature": lambda card, what: 61 if what == pynvml.NVML_TEMPERATURE_GPU else 0,
    }
    for name, answer in answers.items():
        machine(name, answer)
    return machine


def test_health_is_in_shares_degrees_and_watts(healthy):
    assert Nvml().health(0) == Health(0.7, 61, 125.5, throttled=False)
    assert Nvml().health(1).utilisation == 0.05


def test_what_a_card_does_not_report_of_its_health_is_none(healthy):
    def unknown(*_):
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    for name in ("UtilizationRates", "PowerUsage", "CurrentClocksThrottleReasons", "Temperature"):
        healthy(f"nvmlDeviceGet{name}", unknown)
    assert Nvml().health(0) == Health(None, None, None, throttled=False)


@pytest.mark.parametrize(
    ("reason", "slow"),
    [
        (pynvml.nvmlClocksThrottleReasonHwSlowdown, True),
        (pynvml.nvmlClocksThrottleReasonSwThermalSlowdown, True),
        (pynvml.nvmlClocksThrottleReasonGpuIdle, False),
        (pynvml.nvmlClocksThrottleReasonSwThermalSlowdown | pynvml.nvmlClocksThrottleReasonGpuIdle, True),
    ],
)
def test_a_card_that_is_idle_is_not_slowed_down(healthy, reason, slow):
    healthy("nvmlDeviceGetCurrentClocksThrottleReasons", lambda card: reason)
    assert Nvml().health(0).throttled is slow


@pytest.mark.parametrize(("number", "cuda"), [(12040, (12, 4)), (13000, (13, 0)), (11080, (11, 8))])
def test_versions_of_the_driver_and_of_cuda(machine, number, cuda):
    machine("nvmlSystemGetCudaDriverVersion_v2", lambda: number)
    machine("nvmlSystemGetDriverVersion", lambda: b"580.95")
    machine("nvmlDeviceGetCudaComputeCapability", lambda card: (8, 6 + card))
    driver = Nvml()
    assert (driver.cuda(), driver.version()) == (cuda, "580.95")
    assert (driver.compute(0), driver.compute(1)) == ((8, 6), (8, 7))


def test_a_card_is_what_the_driver_says_of_it(machine):
    machine("nvmlDeviceGetMemoryInfo", lambda card: SimpleNamespace(total=8, free=5, used=3))
    assert Nvml().card(1) == CardMemory("Card 1", total=8, free=5, used=3)


def test_of_a_process_that_computes_and_draws_the_larger_figure_counts(machine):
    for what, size in (("Compute", 30), ("Graphics", 90)):
        found = [SimpleNamespace(pid=7, usedGpuMemory=size), SimpleNamespace(pid=8, usedGpuMemory=1)]
        machine(f"nvmlDeviceGet{what}RunningProcesses", lambda card, found=found: found)
    assert Nvml().processes(0) == {7: 90, 8: 1}


@pytest.mark.parametrize(
    ("setting", "order"),
    [
        ("0,1", [0, 1]), (" 1 , 0 ", [1, 0]), ("GPU-", []), ("GPU-b,GPU-a", [1, 0]), ("2", []), ("x,0", []),
        ("GPU-a,GPU-x,GPU-b", [0]),
    ],
)  # fmt: skip
def test_visible_cards_are_those_that_cuda_would_show(setting, order):
    """A bad entry, and one that means two cards, hides itself and all that follow."""
    assert _visible(setting, ["GPU-a000", "GPU-b000"]) == order


def test_a_card_found_names_who_else_is_on_it_the_largest_first(machine, monkeypatch):
    on_it = {7: 3, os.getpid(): 50, 4_194_301: 9}
    found = [SimpleNamespace(pid=pid, usedGpuMemory=size) for pid, size in on_it.items()]
    machine("nvmlDeviceGetComputeRunningProcesses", lambda card: found)
    machine("nvmlDeviceGetGraphicsRunningProcesses", lambda card: [])
    machine("nvmlDeviceGetCudaComputeCapability", lambda card: (8, 6))
    machine("nvmlSystemGetCudaDriverVersion_v2", lambda: 12040)
    machine("nvmlSystemGetDriverVersion", lambda: "550")
    monkeypatch.setattr("psutil.Process", process_called_blender)
    found = NvidiaProbe().find()
    assert (found.driver, found.cuda, found.trouble) == ("550", (12, 4), "")
    others = ((4_194_301, "a process of another container", 9), (7, "blender", 3))
    assert found.cards == (
        Card("Card 0", 8 * GIB, (8, 6), 0, GIB, others),
        Card("Card 1", 24 * GIB, (8, 6), 1, GIB, others),
    )


def process_called_blender(pid):
    if pid != 7:
        raise psutil.NoSuchProcess(pid)
    return SimpleNamespace(name=lambda: "blender")


def test_a_driver_that_is_not_there_is_no_trouble_and_one_that_is_broken_is(monkeypatch):
    def fail(error):
        def ask():
            raise error

        monkeypatch.setattr(nvidia, "_found_cards", ask)
        return NvidiaProbe().find().trouble

    there = SimpleNamespace(exists=lambda: True)
    monkeypatch.setattr(nvidia, "Path", lambda path: SimpleNamespace(exists=lambda: False))
    assert fail(OSError("NVML does not answer: NVML Shared Library Not Found")) == ""
    assert fail(OSError("libnvidia-ml.so: not found")) == ""
    assert "Driver Not Loaded" in fail(OSError("Driver Not Loaded"))
    assert "(no Not Found)" in fail(ValueError("no Not Found"))
    assert "(KeyError)" in fail(KeyError())
    monkeypatch.setattr(nvidia, "Path", lambda path: there)
    assert "Not Found" in fail(OSError("NVML Shared Library Not Found"))


def test_the_fingerprint_changes_with_the_driver_the_cards_and_what_is_visible(tmp_path, monkeypatch):
    driver = tmp_path / "nvidia"
    monkeypatch.setattr(nvidia, "Path", lambda path: driver if path == "/proc/driver/nvidia" else tmp_path / "none")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    marks = [NvidiaProbe().fingerprint()]
    for bus in ("0000:02", "0000:01"):
        (driver / "gpus" / bus).mkdir(parents=True)
        marks.append(NvidiaProbe().fingerprint())
    (driver / "version").write_text("580.95")
    marks.append(NvidiaProbe().fingerprint())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    marks.append(NvidiaProbe().fingerprint())
    assert len(set(marks)) == 5
    assert marks[-1].splitlines() == ["580.95", "0000:01", "0000:02", "1"]
