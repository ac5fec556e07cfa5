from pipelines.config.effective import effective, render


def test_each_effective_value_has_its_source_and_what_it_overrode():
    settings = effective(
        tier=("low_end", {"streams": 1, "limit": "2 GiB", "prebuffer": 0.75}),
        profile=("balanced", {"limit": "6 GiB", "prebuffer": 1.75}),
        dotenv={"VRPG_XTTS_GPU_VRAM_LIMIT_MB": "4096"},
        environ={"VRPG_XTTS_GPU_VRAM_LIMIT_MB": "5120"},
        given=["tier.streams=2", "input=a=b.wav", "-m"],
        defaults={"memory_mode": "balanced"},
    )
    found = {setting.key: setting for setting in settings}
    assert found["tier.streams"].source == "command line"
    assert found["tier.streams"].overrode == (("tier low_end", 1),)
    limit = found["tier.limit"]
    assert (limit.value, limit.source) == ("5120MiB", "VRPG_XTTS_GPU_VRAM_LIMIT_MB")
    assert [source for source, _ in limit.overrode] == [
        ".env: VRPG_XTTS_GPU_VRAM_LIMIT_MB",
        "profile balanced",
        "tier low_end",
    ]
    assert found["tier.prebuffer"].source == "profile balanced"
    assert found["memory_mode"].source == "default"
    assert found["input"].value == "a=b.wav"


def test_what_is_explained_stands_under_its_source_and_fits_the_screen():
    lines = render(
        effective(
            tier=("low_end", {"streams": 1, "limit": "2 GiB", "allow": {"pitch": ["crepe_full", "swift_f0"] * 4}}),
            profile=("balanced", {"limit": "6 GiB"}),
            dotenv={"VRPG_XTTS_GPU_VRAM_LIMIT_MB": "4096"},
            environ={"VRPG_XTTS_GPU_VRAM_LIMIT_MB": "5120"},
            given=["tier.streams=2"],
            defaults={"memory_mode": "balanced", "text": None, "voice": None},
        )
    )
    assert [line for line in lines if not line.startswith(" ")] == [
        "command line:", "VRPG_XTTS_GPU_VRAM_LIMIT_MB:", "tier low_end:", "default:", "not set: text, voice"
    ]  # fmt: skip
    assert all(len(line) <= 80 for line in lines)
    text = " ".join(" ".join(lines).split())
    assert (
        "tier.limit 5 GiB over 4 GiB of .env: VRPG_XTTS_GPU_VRAM_LIMIT_MB, 6 GiB of profile balanced, 2 GiB of tier low_end"
        in text
    )


def test_the_same_value_twice_is_not_an_override():
    (setting,) = effective(tier=("modest", {"streams": 1}), environ={"VRPG_XTTS_GPU_STREAMS": "1"})
    assert setting.overrode == ()
