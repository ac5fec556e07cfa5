import json
import os
from dataclasses import replace
from types import SimpleNamespace

import jsonschema
import pynvml
import pytest

from pipelines.devices import detect as detection
from pipelines.devices import nvidia
from pipelines.devices.detect import MachineProbe, as_if, decide, detect, render
from pipelines.devices.nvidia import Nvml
from pipelines.devices.protocol import FoundCards
from pipelines.devices.registry import open_device
from pipelines.devices.torch_build import TorchBuild, why_unusable
from pipelines.schema.errors import SurroundingsFailed, UsageError
from pipelines.schema.formats import DETECTION
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
    with pytest.raises(SurroundingsFailed, match="no such CUDA card"):
        open_device("cuda")


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
    (remembered,) = json.loads(cache.read_text())["hardware"]["cards"]
    assert (remembered["used_bytes"], remembered["processes"]) == (0, [])
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
    """Document 002 (docs/seeds.md) pairs an RTX 5060 Ti with CUDA 12.2; torch has code for it only from 12.8."""
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


def test_a_tier_is_remembered_with_all_that_decides_it(tmp_path):
    cache = tmp_path / "very" / "deep" / "detection.json"
    card = Card("RTX 3090", 24 * GIB, (8, 6), 1)
    plain = Card("some card", 2 * GIB, None, 0, kind="cuda")
    first = detect(FakeProbe(machine(card, plain, driver="550", cuda=(12, 4))), cache=cache)
    again = detect(FakeProbe(machine(card, plain, driver="550", cuda=(12, 4))), cache=cache)
    assert again.remembered
    assert again.hardware == first.hardware
    assert not detect(FakeProbe(machine(card), mark="b"), cache=cache).remembered


def test_a_card_that_does_not_answer_is_not_remembered_away(tmp_path):
    cache = tmp_path / "detection.json"
    detect(FakeProbe(machine(BLACKWELL, trouble="cuda:1 does not answer.")), cache=cache)
    assert not cache.exists()


@pytest.mark.parametrize("change", [{"schema": "headroom/detection/0"}, {"mark": "another"}])
def test_what_another_version_or_machine_has_remembered_does_not_count(tmp_path, change):
    cache = tmp_path / "detection.json"
    detect(FakeProbe(machine(BLACKWELL)), cache=cache)
    cache.write_text(json.dumps(json.loads(cache.read_text()) | change))
    assert not detect(FakeProbe(machine(BLACKWELL)), cache=cache).remembered


def test_cards_remembered_before_there_were_other_kinds_are_of_cuda(tmp_path):
    cache = tmp_path / "detection.json"
    detect(FakeProbe(machine(BLACKWELL)), cache=cache)
    body = json.loads(cache.read_text())
    del body["hardware"]["cards"][0]["kind"]
    cache.write_text(json.dumps(body))
    found = detect(FakeProbe(machine(BLACKWELL)), cache=cache)
    assert (found.remembered, found.card) == (True, BLACKWELL)


def test_where_no_card_can_be_used_the_best_is_named_with_what_it_would_be():
    found = decide(machine(PASCAL, replace(BLACKWELL, index=1)), TorchBuild("2.11.0+cpu", None))
    assert (found.tier, found.card) == ("cpu", None)
    assert found.reason == (
        "No card here can be used by the installed torch "
        "(by its hardware NVIDIA GeForce RTX 5060 Ti would be upper_mid)."
    )
    assert [note.split(": ")[0] for note in found.notes] == ["cuda:0", "cuda:1"]
    silent = decide(machine(driver="", cuda=None, trouble="It does not answer."))
    assert silent.reason == "No card answers, so this goes by the CPU."


@pytest.mark.parametrize(("used", "noted"), [(2 * GIB, False), (12 * GIB // 5, True), (3 * GIB, True)])
def test_a_tenth_of_a_card_is_worth_a_note(used, noted):
    card = Card("RTX 3090", 24 * GIB, (8, 6), used_bytes=used)
    notes = decide(machine(card), CU126).notes
    assert bool(notes) is noted
    if noted:
        assert notes[0].endswith(" of it.")


def test_the_three_largest_on_a_crowded_card_are_named():
    processes = tuple((pid, f"p{pid}", (9 - pid) * GIB) for pid in range(1, 5))
    card = Card("RTX 3090", 24 * GIB, (8, 6), used_bytes=20 * GIB, processes=processes)
    (note,) = decide(machine(card), CU126).notes
    assert note == (
        "cuda:0: others hold 20.0 GiB of it: p1 (pid 1) 8,192 MiB, p2 (pid 2) 7,168 MiB, p3 (pid 3) 6,144 MiB."
    )


def test_a_size_that_the_card_has_just_so_is_no_more_than_it_has():
    whole = decide(machine(BLACKWELL), CU130)
    assert as_if(whole, BLACKWELL.total_bytes).card == BLACKWELL
    with pytest.raises(UsageError, match=BLACKWELL.name):
        as_if(whole, BLACKWELL.total_bytes + 1)


def test_all_lines_of_a_machine_with_cards(tmp_path):
    busy = Card("RTX 3090", 24 * GIB, (8, 6), used_bytes=64 * MIB)
    other = Card("some card", 2 * GIB, None, 1, used_bytes=64 * MIB - 1)
    found = decide(machine(busy, other, driver="550", cuda=(12, 6)), CU126)
    assert render(found)[2:] == (
        f"  {found.chosen}",
        "* cuda:0 RTX 3090: 24 GB (24.0 GiB), compute capability 8.6, 64 MiB in use",
        "  cuda:1 some card: 2 GB (2,048 MiB)",
        "driver: 550, speaks CUDA 12.6",
        "torch: 2.11.0+cu126, built for CUDA 12.6",
        "memory: 32.0 GiB installed, 8 cores",
    )
    assert render(found)[:2] == ("tier: high_end", f"  {found.reason}")


def test_all_lines_of_a_machine_without_cards():
    build = TorchBuild("2.11.0+cpu", None)
    hardware = Hardware((), 32 * GIB, 32 * GIB, 8, "550", None, trouble="It is broken.")
    assert render(decide(hardware, build))[2:] == (
        "driver: 550",
        "torch: 2.11.0+cpu, built without CUDA",
        "memory: 32.0 GiB installed, 8 cores",
        "note: It is broken.",
    )
    assert not any(line.startswith(("torch", "driver")) for line in render(decide(machine(driver="", cuda=None))))


def test_cards_that_were_remembered_say_so(tmp_path):
    cache = tmp_path / "detection.json"
    fresh, remembered = (render(detect(FakeProbe(machine(BLACKWELL)), cache=cache)) for _ in range(2))
    assert remembered[-1] == "The cards are as remembered from an earlier look; --force looks anew."
    assert remembered[:-1] == fresh


class Found:
    """A probe of cards that finds what it is given."""

    def __init__(self, *cards, **rest):
        self.found, self.mark = FoundCards(tuple(cards), **rest), "a mark"

    def find(self):
        return self.found

    def fingerprint(self):
        return self.mark


def test_the_cards_of_every_kind_of_device_are_the_machines(monkeypatch):
    second = Card("Other", GIB, kind="other")
    probes = [None, Found(trouble="none here."), Found(BLACKWELL, driver="1", cuda=(12, 0)), Found(second, driver="2")]
    kinds = {str(at): SimpleNamespace(probe=probe) for at, probe in enumerate(probes)}
    probes[3].found = FoundCards((second,), driver="2", cuda=(13, 0), trouble="half broken.")
    monkeypatch.setattr(detection, "device_kinds", lambda: kinds)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=64 * GIB))
    monkeypatch.setattr("pipelines.devices.linux.LinuxMemory.total_bytes", lambda self: 8 * GIB)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {1, 2, 5} if pid == 0 else {1})
    assert MachineProbe().hardware() == Hardware(
        (BLACKWELL, second), 64 * GIB, 8 * GIB, 3, "1", (12, 0), trouble="none here. half broken."
    )
    marks = [MachineProbe().fingerprint()]
    probes[2].mark = "another"
    marks.append(MachineProbe().fingerprint())
    monkeypatch.setattr("platform.node", lambda: "another host")
    marks.append(MachineProbe().fingerprint())
    monkeypatch.setattr("pipelines.devices.linux.LinuxMemory.total_bytes", lambda self: 99 * GIB)
    marks.append(MachineProbe().fingerprint())
    assert len(set(marks)) == 4
    assert MachineProbe().hardware().ram_limit_bytes == 64 * GIB  # a limit above what is installed limits nothing


def test_what_is_remembered_is_as_the_page_of_formats_says(tmp_path):
    file = tmp_path / "detection.json"
    detect(FakeProbe(machine(Card("one", 8 * GIB, (8, 6)))), cache=file)
    written = json.loads(file.read_text(encoding="utf-8"))
    jsonschema.validate(written, DETECTION.schema(), jsonschema.Draft202012Validator)
    hardware, card = DETECTION.parts
    assert set(written["hardware"]) == {field.name for field in hardware.fields}
    assert set(written["hardware"]["cards"][0]) == {field.name for field in card.fields}
