"""docs/nodes says what the code, the configs and the results say, of every role, variant and knob."""

import re

import pytest

from pipelines.schema.roles import ROLES
from tests.docs.tables import PAGES, TABLES, knobs, licences, renewed, variants

ALL = [variant for role in sorted(ROLES) for variant in variants(role)]
PLAIN = ["nodes.notes.Notes", "nodes.wav.Wav", "nodes.dub.lines.Lines", "nodes.dub.time_fit.Fit", "nodes.dub.mix.Mix"]


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_tables_are_up_to_date(page):
    text = page.read_text(encoding="utf-8")
    assert text.count("<!-- table:") == text.count("<!-- end -->") > 0
    assert text == renewed(text), "run `python -m tests.docs.tables --write`"


@pytest.mark.parametrize("role", sorted(ROLES))
def test_every_role_has_a_page_with_its_tables(role):
    text = (PAGES / f"{role}.md").read_text(encoding="utf-8")
    for table in ("variants", "knobs", "footprints"):
        assert f"<!-- table: {table} {role} -->" in text


@pytest.mark.parametrize("variant", ALL, ids=lambda variant: variant.name)
def test_a_variant_says_its_licences_and_where_its_figures_are_from(variant):
    weights, code = licences(variant)
    assert code
    assert (weights == "none") == (not variant.weights and "in " not in weights), variant.name
    stated = [part for part in re.split(r" AND ", variant.licence) if part != "MIT"]
    assert all(part in f"{weights} {code}" for part in stated)
    assert variant.commercial_use == (not re.search(r"-NC-|no commercial use", weights))
    for kind, footprint in variant.footprints.items():
        assert re.search(r"measured|estimate|computed|traced|counted|README", footprint.source), (variant.name, kind)


@pytest.mark.parametrize("target", sorted({variant.target for variant in ALL} | set(PLAIN)))
def test_every_knob_is_explained(target):
    unexplained = [name for name, (_, message) in knobs(target).items() if not message]
    assert not unexplained


@pytest.mark.parametrize("variant", ALL, ids=lambda variant: variant.name)
def test_a_variant_sets_only_knobs_there_are(variant):
    assert set(variant.knobs) <= set(knobs(variant.target))


def test_a_page_that_is_behind_is_seen():
    page = "<!-- table: knobs nodes.wav.Wav -->\nold\n<!-- end -->"
    assert TABLES["knobs"]("nodes.wav.Wav") in renewed(page)
    assert "old" not in renewed(page)
