"""Every variable and tier setting that can be wrong, through the command line: exit code 2, its name and its range."""

import pytest

from pipelines.config.variables import VARIABLES

SIMULATED = ("pipeline=toy", "tier=toy", "device=simulated", "device.total=1GiB", "text=x")
#: Wrong type, out of range, wrong unit, for every variable; the rest is in test_environment.
WRONG = {
    "VRPG_XTTS_GPU_STREAMS": ["two", "65", "2 streams"],
    "VRPG_XTTS_GPU_VRAM_LIMIT_MB": ["much", "-1", "3GB"],
    "VRPG_XTTS_GPU_UTILIZATION_TARGET": ["half", "0.96", "60%"],
    "VRPG_XTTS_PREBUFFER_SECONDS": ["soon", "31", "1250ms"],
    "VRPG_XTTS_PERFORMANCE_PROFILE": ["1", "fast", "high performance"],
    "LOW_VRAM": ["maybe", "2", "4GB"],
    "MAX_CUDA_VRAM": ["small", "0", "4GB"],
    "ACESTEP_OFFLOAD_TO_CPU": ["cpu", "2", "4GB"],
    "ACESTEP_OFFLOAD_DIT_TO_CPU": ["cpu", "2", "4GB"],
    "ACESTEP_MAX_DURATION": ["long", "601", "3min"],
    "ACESTEP_MAX_BATCH_SIZE": ["all", "9", "1.5"],
    "ACESTEP_INIT_LM_DEFAULT": ["0.6B", "2", "3GB"],
}


def refused(result, *parts):
    """One sentence on stderr, code 2, every part in it, nothing but it."""
    assert result.code == 2, result.out
    assert result.err.startswith("error: ")
    for part in parts:
        assert part in result.err, result.err
    assert "Traceback" not in result.err
    assert result.out == ""


def test_no_variable_is_left_out():
    assert set(WRONG) == set(VARIABLES)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in WRONG.items() for text in texts])
def test_a_wrong_variable_stops_every_verb(headroom, monkeypatch, name, text):
    monkeypatch.setenv(name, text)
    for verb in ("plan", "run", "detect"):
        refused(headroom(verb, *(SIMULATED if verb != "detect" else ()), toy=verb != "detect"),
                name, repr(text), VARIABLES[name].wanted)  # fmt: skip


def test_a_wrong_line_of_dotenv_is_said_to_stand_there(headroom, tmp_path):
    (tmp_path / ".env").write_text("LOW_VRAM=perhaps\n", encoding="utf-8")
    refused(headroom("plan", *SIMULATED, toy=True), ".env: LOW_VRAM", "perhaps", VARIABLES["LOW_VRAM"].wanted)
    (tmp_path / ".env").write_text("LOW_VRAM true\n", encoding="utf-8")
    refused(headroom("plan", *SIMULATED, toy=True), ".env, line 1", "NAME=value")


def test_a_misspelt_variable_is_not_ignored(headroom, monkeypatch):
    monkeypatch.setenv("VRPG_XTTS_GPU_STREAM", "2")
    refused(headroom("plan", *SIMULATED, toy=True), "VRPG_XTTS_GPU_STREAM", "Did you mean 'VRPG_XTTS_GPU_STREAMS'")


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("tier.streams=-1", ("streams", "0 (CPU) to 64")),
        ("tier.streams=many", ("streams", "0 (CPU) to 64")),
        ("tier.limit=3XB", ("tier", "limit", "3XB")),
        ("tier.residency=normall", ("tier.residency", "Did you mean 'normal'", "auto, normal, planned, sequential")),
        ("tier.residency=true", ("tier.residency", "True")),
        ("tier.prebuffer=1250", ("tier.prebuffer", "0 to 30")),
        ("tier.prebuffer=soon", ("tier.prebuffer", "0 to 30")),
        ("tier.prebuffer_range=[2,1]", ("tier.prebuffer_range", "the lower first")),
        ("tier.utilisation=60", ("tier.utilisation", "0.3 to 0.95")),
        ("tier.utilisation=60%", ("tier.utilisation", "0.3 to 0.95")),
        ("tier.utilisation_range=0.5", ("tier.utilisation_range", "the lower first")),
        ("tier.yield_seconds=10", ("tier.yield_seconds", "0 to 1")),
        ("tier.cpu_fallback=[pich]", ("tier.cpu_fallback", "pitch")),
        ("tier.cpu_fallback=true", ("tier.cpu_fallback", "list of roles")),
        ("tier.offload=maybe", ("tier.offload", "true or false")),
        ("tier.on_excess=ignore", ("tier.on_excess", "clamp or refuse")),
        ("tier.allocator={max_split_size_mb: '1,backend:x'}", ("tier.allocator", "max_split_size_mb")),
        ("tier.music.duration=3", ("tier.music.duration", "10 to 600")),
        ("tier.music.batch=1.5", ("tier.music.batch", "1 to 8")),
        ("device.total=much", ("device.total", "much")),
        ("device.total=-1GiB", ("device.total", "-1GiB")),
        ("device.cards_only=4", ("device.cards_only", "true or false")),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_refused_by_name_whoever_says_it(headroom, override, parts):
    given = [each for each in SIMULATED if each.partition("=")[0] != override.partition("=")[0]]
    refused(headroom("plan", *given, f"++{override}", toy=True), *parts)


def test_a_music_setting_that_contradicts_another_is_refused_wherever_each_was_said(headroom, monkeypatch):
    monkeypatch.setenv("ACESTEP_OFFLOAD_DIT_TO_CPU", "true")
    both = ("ACESTEP_OFFLOAD_TO_CPU", "ACESTEP_OFFLOAD_DIT_TO_CPU", "contradicts")
    simulated = ("pipeline=dub", "text=x", "device=simulated")
    refused(headroom("plan", *simulated, "tier.music.offload=false"), *both)
    monkeypatch.setenv("ACESTEP_OFFLOAD_TO_CPU", "false")
    refused(headroom("plan", *simulated), *both)


def test_a_limit_above_the_device_is_refused_with_both_sizes(headroom, monkeypatch):
    refused(
        headroom("plan", *SIMULATED, "tier.limit=2GiB", toy=True),
        "2,048 MiB",
        "1,024 MiB",
        "VRPG_XTTS_GPU_VRAM_LIMIT_MB",
    )
    monkeypatch.setenv("VRPG_XTTS_GPU_VRAM_LIMIT_MB", "2048")
    refused(headroom("plan", *SIMULATED, toy=True), "2,048 MiB", "1,024 MiB", "VRPG_XTTS_GPU_VRAM_LIMIT_MB")


def test_more_memory_than_a_known_card_has_is_refused(headroom, monkeypatch):
    monkeypatch.setenv("MAX_CUDA_VRAM", "16")
    card = ("pipeline=dub", "text=x", "device=simulated", "device.name=RTX 3060")
    refused(headroom("plan", *card), "MAX_CUDA_VRAM", "16.0 GiB", "12.0 GiB")
