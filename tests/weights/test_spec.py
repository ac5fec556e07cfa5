"""The `weights:` of a variant's file is read into a spec, or refused with the key that is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipelines.schema.config import Variant
from pipelines.schema.errors import UsageError
from pipelines.schema.weights import Source, WeightsSpec
from pipelines.weights import read_spec
from pipelines.weights.spec import _FIELDS


def variant(**weights: object) -> Variant:
    given = {"folder": "tiny", "hub": "owner/tiny", "files": ["model.bin", "config.json"], **weights}
    return Variant("transcribe/tiny", "transcribe", "x", weights=read_spec(given, "transcribe/tiny"))


def test_everything_a_file_may_say() -> None:
    other = {"hub": "a/b", "revision": "v1", "subfolder": "s", "files": "c.bin", "optional": ["d.txt"]}
    spec = variant(
        size="1 MiB", sha256={"model.bin": "AB" * 32}, tts="t", library="m.th", **{"with": {"sub": other}}
    ).weights
    assert spec == WeightsSpec(
        folders=("tiny", "transcribe/tiny"),
        files=("model.bin", "config.json", "sub/*"),
        sources=(
            Source("owner/tiny", ("model.bin", "config.json")),
            Source("a/b", ("c.bin",), ("d.txt",), subfolder="s", revision="v1", into="sub"),
        ),
        size=1 << 20,
        sha256={"model.bin": "ab" * 32},
        tts="t",
        library=("m.th",),
    )


def test_every_key_is_in_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "weights.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(_FIELDS)


def test_a_variant_without_weights_has_no_spec() -> None:
    assert read_spec({}, "pitch/x") is None


@pytest.mark.parametrize(
    "weights",
    [
        {"folder": "../out"}, {"folder": "/out"}, {"folder": "."}, {"files": ["../x"]}, {"subfolder": "a/../../b"},
        {"hub": "https://evil/x"}, {"hub": "../x"}, {"revision": "../main"}, {"sha256": {"model.bin": "abc"}},
        {"with": {"../x": {"hub": "a/b", "files": ["c"]}}}, {"with": {"x": {"hub": "a/b", "url": "c"}}}, {"fold": "x"},
        {"size": "many"}, {"with": {"x": {"files": ["c"]}}}, {"tts": "../x"}, {"files": {"a": 1}},
    ],
)  # fmt: skip
def test_places_outside_and_misspelt_settings_are_refused(weights: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"model/transcribe/tiny\.weights"):
        variant(**weights)
