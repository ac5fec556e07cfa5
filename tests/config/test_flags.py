from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from pipelines.config.flags import parse_hydra_flags, quote, quoted
from pipelines.schema.errors import UsageError


def read_back(override):
    """The value as Hydra's grammar reads it, with an escaped interpolation as OmegaConf resolves it."""
    value = OverridesParser.create().parse_override(override).value()
    return value.replace("\\${", "${") if isinstance(value, str) else value


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1).filter(lambda text: "\\$" not in text))
def test_any_text_in_quotes_comes_back_as_it_was(text):
    assert read_back(f"text={quoted(text)}") == text


@pytest.mark.parametrize(
    "text", ["two words", "a, b", "it's", "C:\\music\\", "ends in \\'", "=x", "naïve", "[not a list", "${seed}"]
)
def test_free_text_is_quoted_for_the_keys_that_take_it(text):
    assert read_back(quote(f"text={text}")) == text
    assert quote(f"seed={text}") == f"seed={text}"


@pytest.mark.parametrize("value", ["", "null", "[a.wav,b.wav]", "'quoted already'", '"as well"'])
def test_what_is_meant_for_hydra_is_left_alone(value):
    assert quote(f"input={value}") == f"input={value}"


def test_a_file_whose_name_looks_like_a_list_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("[live].wav").touch()
    Path("[live]").touch()
    assert quote("input=[live]") == "input='[live]'"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seed", "5"], "seed is a setting and has no dashes, seed=VALUE."),
        (["--multirn"], "Unknown flag '--multirn'. Did you mean '--multirun'"),
        (["pipeline=dub", "text=two", "words"], "put quotes around both: 'text=two words'"),
        (["ultrasinger"], "Did you mean pipeline=ultrasinger?"),
        (["tier"], "Did you mean tier=VALUE?"),
    ],
)  # fmt: skip
def test_a_word_that_is_no_setting_is_refused_with_what_was_meant(words, message):
    with pytest.raises(UsageError) as caught:
        parse_hydra_flags(words)
    assert message in str(caught.value)
