from pathlib import Path

import pytest

from pipelines.config import catalog
from pipelines.config.catalog import conf_dir
from pipelines.config.compose import Composer
from pipelines.config.effective import effective
from pipelines.config.flags import parse_hydra_flags
from pipelines.config.variables import VARIABLES, overrides, read_dotenv, read_variables
from pipelines.schema.errors import ExitCode, UsageError

CONF = conf_dir()


def compose(*given):
    with Composer(parse_hydra_flags([*given, "pipeline=ultrasinger"])) as composer:
        return composer.compose()


# Wrong type, out of range, wrong unit, for every variable.
WRONG = {
    "VRPG_XTTS_GPU_STREAMS": ["-1", "65", "1.5", "two", "1e1", "٣"],
    "VRPG_XTTS_GPU_VRAM_LIMIT_MB": ["-1", "3 GB", "3072MB", "nan", "99999999999"],
    "VRPG_XTTS_GPU_UTILIZATION_TARGET": ["0.29", "0.96", "60%", "60", "nan", "inf", "half"],
    "VRPG_XTTS_PREBUFFER_SECONDS": ["-0.1", "31", "1250ms", "nan"],
    "VRPG_XTTS_PERFORMANCE_PROFILE": ["fast", "high-performance", "1"],
    "LOW_VRAM": ["maybe", "2", "sequential"],
    "MAX_CUDA_VRAM": ["0", "-4", "4GB", "2048", "nan"],
    "ACESTEP_OFFLOAD_TO_CPU": ["cpu", "2"],
    "ACESTEP_OFFLOAD_DIT_TO_CPU": ["cpu", "2"],
    "ACESTEP_MAX_DURATION": ["0", "601", "3 min", "inf"],
    "ACESTEP_MAX_BATCH_SIZE": ["0", "9", "1.5"],
    "ACESTEP_INIT_LM_DEFAULT": ["0.6B"],
}


def test_every_variable_of_the_documents_is_read():
    assert set(WRONG) == set(VARIABLES)


def test_the_page_has_every_variable_of_a_setting_with_its_range_and_keys():
    page = (CONF.parent / "docs" / "command-line.md").read_text(encoding="utf-8")
    right = {
        "VRPG_XTTS_PERFORMANCE_PROFILE": "modest",
        "LOW_VRAM": "true",
        "ACESTEP_MAX_DURATION": "60",
        "VRPG_XTTS_GPU_UTILIZATION_TARGET": "0.5",
    }
    for name, kind in VARIABLES.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert f"| {kind.wanted} |" in row
        assert f"`{next(iter(kind.convert(right.get(name, '1'))))}`" in row


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in WRONG.items() for text in texts])
def test_a_wrong_value_is_a_sentence_with_the_variable_and_its_range(name, text):
    with pytest.raises(UsageError) as caught:
        read_variables({name: text})
    assert caught.value.exit_code == ExitCode.USAGE
    assert name in str(caught.value)
    assert VARIABLES[name].wanted in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "keys"),
    [
        ("VRPG_XTTS_GPU_STREAMS", "0", {"tier.streams": 0}),
        ("VRPG_XTTS_GPU_VRAM_LIMIT_MB", "0", {"tier.limit": None}),
        ("VRPG_XTTS_GPU_VRAM_LIMIT_MB", "3072", {"tier.limit": "3072MiB"}),
        ("VRPG_XTTS_GPU_UTILIZATION_TARGET", "0.3", {"tier.utilisation": 0.3, "tier.utilisation_range": [0.3, 0.4]}),
        ("VRPG_XTTS_PREBUFFER_SECONDS", " 1.5 ", {"tier.prebuffer": 1.5}),
        ("VRPG_XTTS_PERFORMANCE_PROFILE", "Modest", {"profile": "modest"}),
        ("LOW_VRAM", "true", {"tier.residency": "sequential"}),
        ("LOW_VRAM", "False", {"tier.residency": "normal"}),
        ("LOW_VRAM", "auto", {"tier.residency": "auto"}),
        ("MAX_CUDA_VRAM", "4", {"device.total": "4096MiB", "device.cards_only": True}),
        ("ACESTEP_MAX_DURATION", "180", {"tier.music.duration": 180.0, "tier.music.duration_with_lm": 180.0}),
        ("ACESTEP_INIT_LM_DEFAULT", "no", {"tier.music.lm_default": False}),
    ],
)
def test_right_values_become_config_keys(name, text, keys):
    assert read_variables({name: text}) == {name: keys}


def test_an_empty_variable_is_unset():
    assert read_variables(dict.fromkeys(VARIABLES, " ")) == {}


def test_a_misspelt_variable_is_not_ignored():
    with pytest.raises(UsageError, match="VRPG_XTTS_GPU_STREAMS"):
        read_variables({"VRPG_XTTS_GPU_STREAM": "1"})


def test_contradicting_variables_are_refused():
    with pytest.raises(UsageError, match="contradicts"):
        overrides({"ACESTEP_OFFLOAD_TO_CPU": "false"}, {"ACESTEP_OFFLOAD_DIT_TO_CPU": "true"})


def test_hydra_composes_what_the_variables_say_with_the_whole_precedence():
    given = ["tier=low_end", "tier.streams=3"]
    environ = {"VRPG_XTTS_GPU_STREAMS": "2", "VRPG_XTTS_PREBUFFER_SECONDS": "0.6"}
    dotenv = {"VRPG_XTTS_PREBUFFER_SECONDS": "0.9", "VRPG_XTTS_PERFORMANCE_PROFILE": "balanced"}
    tier = compose(*overrides(environ, dotenv, given), *given).cfg.tier
    assert tier.streams == 3  # command line over environment
    assert tier.prebuffer == 0.6  # environment over .env
    assert tier.limit == "6 GiB"  # profile, chosen by .env, over tier
    assert tier.tiled_decode is True  # tier
    assert compose("tier=low_end").cfg.tier.limit == "2 GiB"


def test_every_variable_reaches_a_key_that_exists():
    """Hydra refuses unknown keys, so composing is the check. `tier=auto` must take them all as well."""
    right = {"VRPG_XTTS_GPU_STREAMS": "1", "VRPG_XTTS_GPU_VRAM_LIMIT_MB": "0", "VRPG_XTTS_GPU_UTILIZATION_TARGET": "0.5",
             "VRPG_XTTS_PREBUFFER_SECONDS": "1", "VRPG_XTTS_PERFORMANCE_PROFILE": "modest", "LOW_VRAM": "true", "MAX_CUDA_VRAM": "4",
             "ACESTEP_OFFLOAD_TO_CPU": "true", "ACESTEP_OFFLOAD_DIT_TO_CPU": "true", "ACESTEP_MAX_DURATION": "60",
             "ACESTEP_MAX_BATCH_SIZE": "1", "ACESTEP_INIT_LM_DEFAULT": "false"}  # fmt: skip
    assert set(right) == set(VARIABLES)
    for tier in ("auto", "modest"):
        cfg = compose(*overrides(right, {}), f"tier={tier}").cfg
        assert cfg.tier.limit is None
        assert cfg.device.total == "4096MiB"
        assert cfg.tier.music.duration_with_lm == 60


def test_a_variable_of_two_keys_yields_whole_to_the_command_line():
    """A range that came with another target would contradict the target typed, and a size typed is not about cards only."""
    environ = {"VRPG_XTTS_GPU_UTILIZATION_TARGET": "0.8", "MAX_CUDA_VRAM": "4"}
    assert overrides(environ, {}, ["tier.utilisation=0.5", "device.total=8GiB"]) == ()
    explained = effective(tier=("x", {}), environ=environ, given=["tier.utilisation=0.5", "device.total=8GiB"])
    assert {setting.key for setting in explained} == {"tier.utilisation", "device.total"}
    assert overrides(environ, {}, ["tier.utilisation_range=[0.7,0.9]"]) == (
        "++tier.utilisation=0.8", "++device.total=4096MiB", "++device.cards_only=true",
    )  # fmt: skip


def test_the_command_lines_profile_outranks_the_environments():
    given = ["profile=balanced"]
    assert overrides({"VRPG_XTTS_PERFORMANCE_PROFILE": "modest"}, {}, given) == ()


def test_dotenv_files_are_read_as_people_write_them(tmp_path):
    file = tmp_path / ".env"
    file.write_text("# a comment\n\nexport A=1\nB = 'two words' # why\nC=\"x#y\"\nD=pla#in # note\nE=\nF=$(rm -rf /)\n")
    assert read_dotenv(file) == {"A": "1", "B": "two words", "C": "x#y", "D": "pla#in", "E": "", "F": "$(rm -rf /)"}
    assert read_dotenv(tmp_path / "none") == read_dotenv(tmp_path) == {}
    file.write_bytes(b"\xef\xbb\xbfA=1\r\nB=2\r\n")
    assert read_dotenv(file) == {"A": "1", "B": "2"}


@pytest.mark.parametrize("text", ["JUST WORDS", "=x", "A='open", 'key: "-----BEGIN', "SECRET='a\nb'"])
def test_lines_of_others_stop_nobody(tmp_path, text, capfd):
    file = tmp_path / ".env"
    file.write_text(f"A=1\n{text}\nLOW_VRAM=true\n")
    assert {"A": "1", "LOW_VRAM": "true"}.items() <= read_dotenv(file).items()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("text", ["LOW_VRAM true", "MAX_CUDA_VRAM: 4", "LOW_VRAM='true"])
def test_a_line_meant_for_us_that_is_none_is_named_without_what_it_says(tmp_path, text):
    file = tmp_path / ".env"
    file.write_text(f"A=1\n{text}\n")
    with pytest.raises(UsageError, match=rf"line 2 names {text[:8]}\w* and is not NAME=value\.$"):
        read_dotenv(file)


@pytest.mark.parametrize(
    ("name", "limit", "streams", "profile"),
    [("modest", "3072MiB", 1, "modest"), ("high_end", None, 2, "high_performance")],
)
def test_the_recommended_sets_ship_and_compose(name, limit, streams, profile):
    composed = compose(*overrides({}, read_dotenv(CONF / "env" / f"{name}.env")), "tier=mid_range")
    assert composed.choices["profile"] == profile
    assert (composed.cfg.tier.limit, composed.cfg.tier.streams) == (limit, streams)


def test_no_value_of_a_variable_can_say_more_than_its_key():
    """An environment may come from a stranger's compose file: nothing of it reaches Hydra but what was parsed."""
    for name in VARIABLES:
        for text in ("1,tier=high_end", "${oc.env:HOME}", "1 hydra.run.dir=/tmp", "true\ntier.limit=null"):
            with pytest.raises(UsageError):
                overrides({name: text}, {})


def test_all_tiers_have_the_same_keys_so_that_each_can_be_overridden():
    keys = {name: set(catalog.read([CONF], "tier", name)) - {"auto"} for name in catalog.options([CONF], "tier")}
    keys["auto"] = set(catalog.load_yaml(Path(CONF / "tier" / "auto.yaml").read_text())) - {"auto"}
    assert len({frozenset(found) for found in keys.values()}) == 1, keys
