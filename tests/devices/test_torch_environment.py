from pipelines.devices.torch_build import TorchBuild
from pipelines.devices.torch_environment import torch_variables

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
