"""docs/command-line.md has every exit code and every variable that the code reads or sets, docs/tiers.md every key of a tier."""

import ast
import re

import pytest

from pipelines.config.tier import MUSIC, TIER
from pipelines.config.variables import VARIABLES
from pipelines.schema import errors
from pipelines.schema.errors import ExitCode, HeadroomError
from pipelines.schema.fields import Kind
from pipelines.schema.settings import Tier
from tests.docs.pages import ROOT, read

PAGE = "docs/command-line.md"
#: Read by libraries at our bidding, so that no line of ours names them.
OF_LIBRARIES = {"HF_TOKEN", "NO_COLOR"}
#: Values and parts of names, which look like variables.
NOT_VARIABLES = {"PCI_BUS_ID", "VRPG_XTTS_GPU_"}
_VARIABLE = re.compile(r"(?:[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|PYTHON[A-Z]+|COLUMNS)_?")


def rows(page, heading):
    """The cells of the table rows under a heading."""
    part = re.split(r"^## ", read(page).partition(f"## {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_page_has_every_exit_code_with_its_exception():
    table = {int(code): name for code, name, _ in rows(PAGE, "Exit codes") if code.isdigit()}
    assert set(table) == set(map(int, ExitCode))
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, HeadroomError)]
    assert {code: f"`{kind.__name__}`" for kind in kinds if kind is not HeadroomError
            for code in [int(kind.exit_code)]} == {code: name for code, name in table.items() if name}  # fmt: skip


def read_by_the_code():
    """Names of variables in files that touch the environment."""
    found = set(VARIABLES)
    for folder in ("pipelines", "nodes"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            if re.search(r"\benviron|\bgetenv\b", text):
                values = (node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant))
                found |= {value for value in values if isinstance(value, str) and _VARIABLE.fullmatch(value)}
    return found - NOT_VARIABLES


def test_the_page_has_every_variable_that_the_code_reads_or_sets_and_no_other():
    documented = {name for row in rows(PAGE, "Variables") for name in re.findall(r"`(\w+)`", row[0])}
    found = read_by_the_code()
    assert {"HEADROOM_HOME", "CUDA_VISIBLE_DEVICES", "LOW_VRAM", "HF_HOME"} <= found
    assert documented == found | OF_LIBRARIES


@pytest.mark.parametrize("key", TIER)
def test_the_page_of_tiers_has_every_key_with_its_range_and_default(key):
    takes = {row[0]: row[1] for row in rows("docs/tiers.md", "Every setting of a tier")}[f"`tier.{key}`"]
    kind = TIER[key]
    if isinstance(kind, Kind):
        assert takes.startswith(kind.wanted)
    default = getattr(Tier("x"), key, None)
    if isinstance(default, bool | int | float) or (isinstance(default, str) and default):
        shown = (
            str(default).lower()
            if isinstance(default, bool)
            else f"{default:g}"
            if not isinstance(default, str)
            else f"`{default}`"
        )
        assert takes.endswith(f"; {shown}")
    if isinstance(default, tuple):
        assert takes.endswith(f"; [{', '.join(f'{each:g}' for each in default)}]")


def test_the_page_of_tiers_has_no_key_that_is_not_there():
    table = [row[0] for row in rows("docs/tiers.md", "Every setting of a tier") if row[0].startswith("`")]
    assert table == [f"`tier.{key}`" for key in TIER]


def test_the_page_of_tiers_has_the_keys_of_music():
    text = read("docs/tiers.md").partition("Of `tier.music`")[2]
    for key, kind in MUSIC.items():
        assert f"`{key}`" in text
        assert kind.wanted in " ".join(text.split())
