import json
import os
from types import SimpleNamespace

import pynvml
import pytest

from pipelines.devices import nvidia
from pipelines.devices.detect import MachineProbe, as_if, decide, detect, render
from pipelines.devices.nvidia import Nvml
from pipelines.devices.registry import open_device
from pipelines.devices.torch_build import TorchBuild, why_unusable
from pipelines.schema.errors import UsageError
from pipelines.schema.hardware import Card, Hardware
from pipelines.schema.units import GIB, MIB

CU130 = TorchBuild("2.11.0+cu130", (13, 0))
CU126 = TorchBuild("2.11.0+cu126", (12, 6))
CU128 = TorchBuild("2.8.0+cu128", (12, 8))


class FakeProbe:
    def __init__(self, hardware, torch=CU130, mark="a"):
        self.found, self.build, self.mark, self.requested = hardware, torch, mark, 0

    def fingerprint(self):
        return self.mark

    def hardware(self):
        self.requested += 1
        return self.found

    def torch(self):
        return self.build


def machine(*cards, driver="580.95", cuda=(13, 0), **rest):
    return Hardware(tuple(cards), 32 * GIB, 32 * GIB, 8, driver, cuda, **rest)


BLACKWELL = Card("NVIDIA GeForce RTX 5060 Ti", 16311 * MIB, (12, 0))
PASCAL = Card("NVIDIA GeForce GTX 1080", 8 * GIB, (6, 1))


def test_the_second_look_is_remembered_and_force_asks_again(tmp_path):
    probe = FakeProbe(machine(BLACKWELL))
    cache = tmp_path / "deep" / "detection.json"
    first, second = detect(probe, cache=cache), detect(probe, cache=cache)
    assert (first.remembered, second.remembered, probe.requested) == (False, True, 1)
    assert second.tier == first.tier == "upper_mid"
    assert second.card == first.card
    assert detect(probe, cache=cache, force=True).remembered is False
    assert probe.requested == 2


def test_that_there_is_no_card_is_not_remembered(tmp_path):
    cache = tmp_path / "detection.json"
    assert detect(FakeProbe(machine()), cache=cache).tier == "cpu"
    assert detect(FakeProbe(machine(BLACKWELL)), cache=cache).tier == "upper_mid"


def nvml(monkeypatch, count, lost):
    """NVML with `count` cards of 8 GiB, of which those in `lost` have fallen off the bus."""

    def handle(index):
        if index in lost:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return index

    def cards():
        if count is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_UNKNOWN)
        return count

    says = {
        "nvmlInit": lambda: None, "nvmlDeviceGetCount": cards, "nvmlDeviceGetHandleByIndex": handle,
        "nvmlDeviceGetUUID": "GPU-{}".format, "nvmlDeviceGetName": "Card {}".format,
        "nvmlDeviceGetMemoryInfo": lambda _: SimpleNamespace(total=8 * GIB, free=8 * GIB, used=0),
        "nvmlDeviceGetComputeRunningProcesses": lambda _: [], "nvmlDeviceGetGraphicsRunningProcesses": lambda _: [],
        "nvmlDeviceGetCudaComputeCapability": lambda _: (8, 6), "nvmlSystemGetDriverVersion": lambda: "580.95",
        "nvmlSystemGetCudaDriverVersion_v2": lambda: 13000,
    }  # fmt: skip
    for name, answer in says.items():
        monkeypatch.setattr(pynvml, name, answer)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_a_card_off_the_bus_does_not_take_the_others_with_it(monkeypatch):
    nvml(monkeypatch, 2, lost={0})
    found = MachineProbe().hardware()
    assert [(card.index, card.name) for card in found.cards] == [(1, "Card 1")]
    assert found.trouble.startswith("cuda:0 does not answer")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-1")
    assert [(card.index, card.name) for card in MachineProbe().hardware().cards] == [(0, "Card 1")]


def test_a_driver_that_cannot_count_its_cards_is_none(monkeypatch):
    nvml(monkeypatch, None, lost=set())
    with pytest.raises(OSError, match="NVML does not answer"):
        Nvml()
    assert open_device("auto").kind == "cpu"


def test_a_new_driver_or_card_is_not_answered_from_memory(tmp_path):
    cache = tmp_path / "detection.json"
    detect(FakeProbe(machine(BLACKWELL)), cache=cache)
    assert detect(FakeProbe(machine(), mark="b"), cache=cache).tier == "cpu"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"schema": "headroom/detection/1"}', "\x00", '{"schema": 1, "mark": 2, "hardware": []}']
)
def test_a_spoilt_cache_is_no_reason_to_fail(tmp_path, text):
    cache = tmp_path / "detection.json"
    cache.write_text(text)
    probe = FakeProbe(machine(BLACKWELL))
    assert detect(probe, cache=cache).tier == "upper_mid"
    assert json.loads(cache.read_text())["hardware"]["cards"][0]["name"] == BLACKWELL.name


def test_a_cache_that_cannot_be_written_is_no_reason_to_fail(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert detect(FakeProbe(machine(BLACKWELL)), cache=tmp_path / "file" / "detection.json").tier == "upper_mid"


def test_a_new_driver_under_wsl_and_a_part_of_a_card_are_not_silent(tmp_path, monkeypatch):
    library = tmp_path / "libnvidia-ml.so.1"
    marks = [nvidia._windows_driver(library)]
    for when in (1, 2):
        library.touch()
        os.utime(library, (when, when))
        marks.append(nvidia._windows_driver(library))
    assert len(set(marks)) == 3

    class Empty:
        count = staticmethod(lambda: 0)
        version = staticmethod(lambda: "580.95")
        cuda = staticmethod(lambda: (13, 0))

    monkeypatch.setattr(nvidia, "Nvml", Empty)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-4b7e")
    assert "MIG" in decide(MachineProbe().hardware()).notes[0]


def test_who_else_is_on_the_card_is_told_and_never_remembered(tmp_path):
    busy = Card("RTX 3090", 24 * GIB, (8, 6), used_bytes=9 * GIB, processes=((41, "blender", 8 * GIB),))
    cache = tmp_path / "detection.json"
    assert "blender (pid 41)" in detect(FakeProbe(machine(busy)), cache=cache).notes[0]
    again = detect(FakeProbe(machine(busy)), cache=cache)
    assert again.notes == ()
    assert again.card.used_bytes == 0


def test_a_broken_driver_is_one_line_then_the_cpu(tmp_path):
    probe = FakeProbe(machine(driver="", cuda=None, trouble="NVIDIA's driver does not answer (Driver Not Loaded)."))
    cache = tmp_path / "detection.json"
    found = detect(probe, cache=cache)
    assert found.tier == "cpu"
    assert found.notes == ("NVIDIA's driver does not answer (Driver Not Loaded).",)
    assert not cache.exists()  # it may be mended any minute


def test_no_card_is_cpu_without_a_word_of_trouble():
    found = decide(machine(driver="", cuda=None), CU130)
    assert (found.tier, found.card, found.notes) == ("cpu", None, ())


def test_the_documents_blackwell_card_with_cuda_12_2_cannot_work():
    """002 pairs an RTX 5060 Ti with CUDA 12.2 and driver 546.33: torch has code for the card only from CUDA 12.8."""
    assert "ends at 9.0" in why_unusable(CU126, BLACKWELL, "570.1", (12, 8))
    found = decide(machine(BLACKWELL, driver="546.33", cuda=(12, 3)), CU130)
    assert found.tier == "cpu"
    assert "speaks 12.3" in found.notes[0]
    assert "would be upper_mid" in found.reason
    assert decide(machine(BLACKWELL), CU130).tier == "upper_mid"


def test_cards_the_installed_torch_has_no_code_for_are_left_out():
    found = decide(machine(PASCAL, Card("RTX 3060", 12 * GIB, (8, 6), 1)), CU130)
    assert found.card.index == 1
    assert "CUDA 12.6" in found.notes[0]
    assert decide(machine(PASCAL), CU126).tier == "modest"
    assert decide(machine(PASCAL), None).tier == "modest"


def test_torch_without_cuda_leaves_the_cpu():
    assert decide(machine(BLACKWELL), TorchBuild("2.11.0+cpu", None)).tier == "cpu"


def test_rendering_names_the_tier_the_card_and_the_memory():
    text = "\n".join(render(decide(machine(BLACKWELL), CU130)))
    assert "tier: upper_mid" in text
    assert "* cuda:0 NVIDIA GeForce RTX 5060 Ti: 16 GB" in text
    assert "speaks CUDA 13.0" in text
    assert "32.0 GiB installed" in text


def test_a_control_groups_limit_is_told():
    text = "\n".join(render(decide(Hardware(ram_bytes=64 * GIB, ram_limit_bytes=8 * GIB, cores=2))))
    assert "8,192 MiB for this process" in text


def test_this_machine_can_be_asked_without_importing_torch():
    import subprocess
    import sys

    code = (
        "import sys; from pipelines.devices.detect import MachineProbe, decide; p = MachineProbe(); "
        "decide(p.hardware(), p.torch()); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_driver_that_fails_in_its_own_way_ends_on_the_cpu(monkeypatch):
    def broken():
        raise RuntimeError("Unknown Error\nand more")

    monkeypatch.setattr(nvidia, "_found_cards", broken)
    found = decide(MachineProbe().hardware(), None)
    assert found.tier == "cpu"
    assert "Unknown Error and more" in found.notes[0]
    assert "\n" not in found.notes[0]


def test_a_card_held_to_less_counts_as_a_smaller_one():
    whole = decide(machine(BLACKWELL), CU130)
    held = as_if(whole, 4 * GIB)
    assert (held.tier, held.card.total_bytes, held.card.name) == ("modest", 4 * GIB, BLACKWELL.name)
    assert held.reason.startswith("Held to 4,096 MiB")
    with pytest.raises(UsageError, match="MAX_CUDA_VRAM"):
        as_if(whole, 17 * GIB)
    assert as_if(decide(machine()), 4 * GIB).tier == "cpu"
