import os

from pipelines.devices import torch_environment
from pipelines.devices.torch_build import TorchBuild
from pipelines.devices.torch_environment import set_torch_variables, torch_variables, variables_for

NEW, OLD = TorchBuild("2.11.0+cu130", (13, 0)), TorchBuild("2.8.0+cu128", (12, 8))
SETTINGS = {"garbage_collection_threshold": 0.6, "max_split_size_mb": 128}


def test_the_name_is_the_installed_torchs():
    text = "garbage_collection_threshold:0.6,max_split_size_mb:128"
    assert torch_variables(SETTINGS, NEW, {})["PYTORCH_ALLOC_CONF"] == text
    assert torch_variables(SETTINGS, OLD, {})["PYTORCH_CUDA_ALLOC_CONF"] == text


def test_what_the_user_has_set_is_left_alone():
    assert (
        torch_variables(SETTINGS, NEW, {"PYTORCH_CUDA_ALLOC_CONF": "x:1", "CUDA_DEVICE_ORDER": "FASTEST_FIRST"}) == {}
    )


def test_without_settings_or_torch_only_the_numbering():
    assert torch_variables({}, NEW, {}) == torch_variables(SETTINGS, None, {}) == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def test_torch_takes_the_setting_of_every_tier():
    """torch parses the text when its allocator starts; on a machine without a card only the text's form can be checked."""
    import re

    from pipelines.config.catalog import conf_dir, load_yaml, options

    for tier in options([conf_dir()], "tier"):
        wanted = load_yaml((conf_dir() / "tier" / f"{tier}.yaml").read_text())["allocator"]
        text = torch_variables(wanted, NEW, {}).get("PYTORCH_ALLOC_CONF", "")
        assert re.fullmatch(r"|[a-z_]+:[\w.]+(,[a-z_]+:[\w.]+)*", text)


def test_the_name_changed_with_torch_2_9():
    for version, name in (
        ("2.9", "PYTORCH_ALLOC_CONF"),
        ("2.9.0", "PYTORCH_ALLOC_CONF"),
        ("2.8.9", "PYTORCH_CUDA_ALLOC_CONF"),
    ):
        assert name in torch_variables(SETTINGS, TorchBuild(version, None), {})


def test_they_are_set_in_this_process_where_nothing_was(monkeypatch):
    monkeypatch.setattr(torch_environment, "installed_torch", lambda: NEW)
    for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", "put back after the test")
    monkeypatch.delenv("PYTORCH_ALLOC_CONF")
    set_torch_variables({"max_split_size_mb": 128})
    assert os.environ["PYTORCH_ALLOC_CONF"] == "max_split_size_mb:128"
    assert os.environ["CUDA_DEVICE_ORDER"] == "FASTEST_FIRST"


def test_a_process_with_another_torch_has_the_settings_under_the_name_it_reads():
    assert variables_for(OLD, {"PYTORCH_ALLOC_CONF": "x:1", "A": "b"}) == {"PYTORCH_CUDA_ALLOC_CONF": "x:1", "A": "b"}
    assert variables_for(NEW, {"PYTORCH_CUDA_ALLOC_CONF": "x:1"}) == {"PYTORCH_ALLOC_CONF": "x:1"}
    both = {"PYTORCH_CUDA_ALLOC_CONF": "old:1", "PYTORCH_ALLOC_CONF": "new:1"}
    assert variables_for(NEW, both) == {"PYTORCH_ALLOC_CONF": "new:1"}
    assert variables_for(None, {"PYTORCH_ALLOC_CONF": "x:1", "A": "b"}) == {"A": "b"}
    assert variables_for(NEW, {"A": "b"}) == {"A": "b"}
