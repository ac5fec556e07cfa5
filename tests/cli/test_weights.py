"""Weights at the command line: listed, fetched, verified, consented to; never fetched unasked; what they are is in the record."""

import json
import os
import shutil
import sys

import pytest
import yaml

from pipelines.config.variants import load_variant
from pipelines.devices.detect import detect
from pipelines.footprints.store import FootprintStore, Key, Observation
from pipelines.paths import user_folders
from pipelines.session.inventory import weights_digest
from pipelines.weights.environments import environment_for
from tests.apps.toys import Gain
from tests.conftest import APPS
from tests.devices.test_detect import BLACKWELL, FakeProbe, machine
from tests.weights.hub_server import FakeHub, serving

TOY = ("pipeline=toy", "tier=toy", "device=simulated", "device.total=1GiB", "memory_plot=false", "text=x")
FOOTPRINT = {"weights": "4 MiB", "workspace": {"base": "1 MiB"}, "source": "test"}
FILES = {"model.bin": bytes(100_000), "config.json": b"{}"}
XDG = ("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME")
PINS = ["some-package==1.0"]


class Asking(Gain):
    """A node class whose licence must be accepted; its YAML does not say so."""

    needs_consent = True


@pytest.fixture
def hub(monkeypatch):
    with serving(FakeHub({"owner/gain": dict(FILES)})) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", "")
        yield server


@pytest.fixture
def toy(headroom, tmp_path):
    """`headroom` with the tests' config and models of the test's own: name -> what its file says besides the usual."""

    def call(verb, *arguments, **models):
        conf = tmp_path / "conf"
        if not conf.exists():
            shutil.copytree(APPS, conf)
        for name, given in models.items():
            body = {"_target_": "tests.apps.toys.Gain", "quality": 9, "footprint": FOOTPRINT, **given}
            (conf / "model" / "separate" / f"{name}.yaml").write_text(yaml.safe_dump(body))
        trust = [] if verb == "weights" else ["--trust", "tests"]
        head, rest = ([arguments[0]], arguments[1:]) if verb == "weights" else ([], arguments)
        return headroom(verb, *trust, *head, "-cd", str(conf), *rest)

    return call


HUBBED = {"weights": {"folder": "gain", "hub": "owner/gain", "files": ["model.bin", "config.json"], "size": "100 kB"}}
ALLOW = "tier.allow.separate=[hubbed,small]"


def home():
    from pathlib import Path

    return Path(os.environ["HEADROOM_WEIGHTS"])


def record(folder="outputs"):
    from pathlib import Path

    (path,) = Path(folder).rglob("run.json")
    return json.loads(path.read_text(encoding="utf-8"))


def words(text):
    return " ".join(text.split())


def test_fetch_list_and_verify(toy, hub):
    before = toy("weights", "list", "separate/hubbed", hubbed=HUBBED)
    assert "no weights" in before.out
    fetched = toy("weights", "fetch", "separate/hubbed")
    assert fetched.code == 0, fetched.err
    assert "2 files, 100002 B, from owner/gain" in words(fetched.out)
    assert (home() / "gain" / "model.bin").read_bytes() == FILES["model.bin"]
    assert "ready" in toy("weights", "list", "separate/hubbed").out
    assert toy("weights", "verify", "separate/hubbed").code == 0
    (home() / "gain" / "model.bin").write_bytes(b"changed")
    wrong = toy("weights", "verify")
    assert wrong.code == 7
    assert "separate/hubbed model.bin" in wrong.err


def test_with_one_home_nothing_is_written_elsewhere(toy, hub, tmp_path, monkeypatch):
    """Fetching, verifying, running and detecting: of what a container wrote, its one volume holds everything."""
    user, one_home = tmp_path / "user", tmp_path / "user" / "kept" / "here"
    user.mkdir()
    monkeypatch.setenv("HOME", str(user))
    monkeypatch.setenv("HEADROOM_HOME", str(one_home))
    for name in (*("HEADROOM_WEIGHTS", "HEADROOM_CACHE", "HF_HUB_CACHE", "HF_HOME", "TTS_HOME", "TORCH_HOME"), *XDG):
        monkeypatch.delenv(name, raising=False)
    assert toy("weights", "fetch", "separate/hubbed", hubbed=HUBBED).code == 0
    for path in (one_home / "weights" / "gain").iterdir():
        os.utime(path, (0, 0))  # long ago, so that its digest is remembered
    assert toy("run", *TOY, "model/separate=hubbed").code == 0
    detect(FakeProbe(machine(BLACKWELL)))
    written = {path.relative_to(user) for path in user.rglob("*") if path.is_file()}
    assert {path for path in written if path.parts[:2] != ("kept", "here")} == set()
    kept = {path.relative_to("kept/here").parts[0] for path in written}
    assert {"weights", "cache"} <= kept
    assert {path.name for path in (one_home / "cache").iterdir()} == {"detection.json", "digests"}


def test_what_nobody_asked_for_is_never_fetched(toy, hub):
    result = toy("run", *TOY, ALLOW, hubbed=HUBBED)
    assert result.code == 0, result.err
    assert record()["variants"]["separate"]["name"] == "separate/small"
    reported = " ".join(record()["notes"])
    assert "separate: passed over hubbed (no weights here)." in reported
    assert "`headroom weights fetch separate/hubbed`" in reported
    assert hub.requested == []
    assert not (home() / "gain").exists()


def test_what_was_pinned_is_planned_without_and_fetched_by_the_run(toy, hub):
    planned = toy("plan", *TOY, "model/separate=hubbed", hubbed=HUBBED)
    assert planned.code == 0, planned.err
    assert "`headroom run` fetches what is missing first" in words(planned.out)
    assert hub.requested == []
    result = toy("run", *TOY, "model/separate=hubbed")
    assert result.code == 0, result.err
    assert {name for name, _ in hub.requested} == set(FILES)
    sha = record()["variants"]["separate"]["weights_sha256"]
    assert len(sha) == 64


def test_a_task_is_done_only_for_the_same_weights(toy, hub):
    assert toy("run", *TOY, "model/separate=hubbed", hubbed=HUBBED).code == 0
    first = record()
    from pathlib import Path

    (folder,) = [path.parent for path in Path("outputs").rglob("run.json")]
    again = toy("run", "--resume", str(folder))
    assert "4 of 4 tasks are finished already" in again.out
    (home() / "gain" / "model.bin").write_bytes(b"other weights")
    changed = toy("run", "--resume", str(folder))
    assert changed.code == 0, changed.err
    assert "4 of 4" not in changed.out
    assert record()["variants"]["separate"]["weights_sha256"] != first["variants"]["separate"]["weights_sha256"]


def test_offline_refuses_and_says_where_it_looked(toy, hub):
    result = toy("run", *TOY, "model/separate=hubbed", "offline=true", hubbed=HUBBED)
    assert result.code == 1
    for place in (home() / "gain", home() / "separate" / "hubbed", "models--owner--gain"):
        assert str(place) in result.err
    assert "offline=true fetches nothing" in result.err
    assert hub.requested == []
    assert toy("weights", "fetch", "separate/hubbed", "offline=true").code == 2


def test_no_network_is_the_surroundings_failure(toy, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for command in (("weights", "fetch", "separate/hubbed"), ("run", *TOY, "model/separate=hubbed")):
        result = toy(*command, hubbed=HUBBED)
        assert result.code == 6
        assert f"By hand: put model.bin, config.json (of owner/gain) into {home() / 'gain'}." in result.err


def test_an_explicit_path_outranks_all_and_is_not_made_up(toy, hub, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model.bin").write_bytes(b"mine")
    at = f"+model.separate.weights.path={tmp_path / 'mine'}"
    assert toy("run", *TOY, "model/separate=hubbed", at, hubbed=HUBBED).code == 0
    assert hub.requested == []
    missing = toy("run", *TOY, "model/separate=hubbed", "+model.separate.weights.path=nowhere", "outputs_dir=b")
    assert missing.code == 1
    assert "no weights in nowhere" in missing.err


@pytest.mark.parametrize("says", [{"needs_consent": True}, {"_target_": "tests.cli.test_weights.Asking"}])
def test_a_licence_is_accepted_by_a_flag(toy, says):
    model = {"licence": "Strict-1.0", **says}
    auto = toy("plan", *TOY, "tier.allow.separate=[strict,small]", strict=model)
    assert auto.code == 0
    assert (
        "separate/strict passed over: its licence (Strict-1.0) must be accepted first with accept_licence=[strict]"
        in words(auto.out)
    )
    refused = toy("plan", *TOY, "model/separate=strict")
    assert refused.code == 2
    assert "Strict-1.0" in refused.err
    assert "accept_licence=[strict]" in refused.err
    for way in ("[strict]", "[separate/strict]", "[other,strict]"):
        agreed = toy("plan", *TOY, "tier.allow.separate=[strict,small]", f"accept_licence={way}")
        assert "passed over" not in agreed.out
        assert toy("plan", *TOY, "model/separate=strict", f"accept_licence={way}").code == 0


def test_nothing_is_fetched_before_its_licence_is_accepted(toy, hub):
    strict = {**HUBBED, "needs_consent": True, "licence": "Strict-1.0"}
    assert toy("weights", "fetch", "separate/strict", strict=strict).code == 2
    assert hub.requested == []
    assert toy("weights", "fetch", "separate/strict", "accept_licence=[strict]").code == 0


@pytest.mark.parametrize("words_given", [("speak/f5", "accept_licence=[f5]"), ("accept_licence=[f5]", "speak/f5")])
def test_settings_may_stand_right_after_or_before_a_variant(headroom, words_given):
    listed = headroom("weights", "list", *words_given, "offline=true")
    assert listed.code == 0, listed.err
    assert "speak/f5" in listed.out
    assert "speak/xtts" not in listed.out
    assert "licence not accepted" not in listed.out


def test_a_missing_module_names_the_extra(toy):
    absent = {"requires": ["torchcrepe_absent_module"]}
    result = toy("plan", *TOY, "model/separate=gone", gone=absent)
    assert result.code == 1
    assert "torchcrepe_absent_module is not installed" in result.err


def build_environment(proof):
    """An environment whose interpreter is ours, and which leaves a proof that it was used."""

    class Done:
        returncode, stderr = 0, ""

    def run(command):
        if "venv" in command:
            folder = command[-1]
            os.makedirs(f"{folder}/bin")
            script = f'#!/bin/sh\necho used >> "{proof}"\nexec "{sys.executable}" "$@"\n'
            with open(f"{folder}/bin/python", "w", encoding="utf-8") as file:
                file.write(script)
            os.chmod(f"{folder}/bin/python", 0o755)
        return Done()

    return environment_for(PINS, trusted=True, run=run)


@pytest.mark.slow
def test_a_node_runs_in_its_own_environment(toy, tmp_path, monkeypatch):
    proof = tmp_path / "proof"
    own = {"environment": PINS}
    auto = toy("plan", *TOY, "tier.allow.separate=[own,small]", own=own)
    assert (
        "separate/own passed over: its own environment is not built (`headroom weights fetch separate/own`)"
        in words(auto.out)
    )
    assert toy("plan", *TOY, "model/separate=own", "offline=true").code == 1
    assert "environment not built" in words(toy("weights", "list", "separate/own").out)
    build_environment(proof)
    # the stand-in has no packages of its own, so it is lent ours
    monkeypatch.setattr("pipelines.worker.client._our_packages", lambda: os.pathsep.join(p for p in sys.path if p))
    listed = toy("weights", "list", "separate/own").out
    assert "ready" in listed
    assert "some-package==1.0" in words(listed)
    result = toy("run", *TOY, "model/separate=own")
    assert result.code == 0, result.err
    assert proof.read_text() == "used\n"


def test_only_files_from_named_folders_say_what_is_installed(toy, tmp_path):
    build_environment(tmp_path / "proof")
    own = {"environment": PINS}
    other = toy("plan", *TOY, "model/separate=own", "model.separate.environment=['evil==1.0']", own=own)
    assert other.code == 2
    assert "would install packages" in other.err
    elsewhere = tmp_path / "elsewhere" / "model" / "separate"
    elsewhere.mkdir(parents=True)
    body = {"_target_": "tests.apps.toys.Gain", "quality": 9, "footprint": FOOTPRINT, "environment": PINS}
    (elsewhere / "found.yaml").write_text(yaml.safe_dump(body))
    path = f"hydra.searchpath=[file://{tmp_path / 'elsewhere'}]"
    pinned = toy("plan", *TOY, path, "model/separate=found")
    assert pinned.code == 2
    assert "would install packages" in pinned.err
    assert len(list(user_folders().environments.iterdir())) == 2  # the one built above, and its lock


def test_what_was_measured_counts_for_the_same_weights_only(toy, tmp_path):
    model = {
        "weights": {"folder": "gain"},
        "footprint": {"weights": "4 MiB", "workspace": {"base": "40 MiB"}, "source": "test"},
    }
    (home() / "gain").mkdir(parents=True)
    (home() / "gain" / "model.bin").write_bytes(b"first")

    def peak(**models):
        result = toy("plan", *TOY, "model/separate=known", "--format", "json", **models)
        assert result.code == 0, result.err
        return json.loads(result.out)["peak_bytes"]

    declared = peak(known=model)
    variant = load_variant([tmp_path / "conf"], "separate", "known")
    key = Key.of(variant, weights_digest(variant, home() / "gain"), "simulated")
    FootprintStore(user_folders().footprints).add(key, [Observation("run", 1 << 20, 0.1, source="tracked")])
    measured = peak()
    assert measured < declared / 4
    (home() / "gain" / "model.bin").write_bytes(b"others")
    assert peak() == declared


def test_unknown_names_and_misspelt_settings(toy):
    unknown = toy("weights", "fetch", "separate/htdemcus")
    assert unknown.code == 2
    assert "separate/htdemucs" in unknown.err
    assert toy("weights", "fetch").code == 2
    assert toy("weights", "get").code == 2
    outside = toy("plan", *TOY, "model/separate=out", out={"weights": {"folder": "../x"}})
    assert outside.code == 2
    assert "model/separate/out.weights.folder" in outside.err
