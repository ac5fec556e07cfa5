from itertools import pairwise

import pytest

from pipelines.config import catalog
from pipelines.config.cards import find_card, read_cards
from pipelines.config.catalog import conf_dir
from pipelines.config.tier import load_tier, read_tier
from pipelines.plan.policy import POLICIES
from pipelines.run.ladder import MODES
from pipelines.schema.errors import UsageError
from pipelines.schema.hardware import RULES, TIERS, classify, sold_as
from pipelines.schema.roles import ROLES
from pipelines.schema.settings import MEMORY_MODES, RESIDENCIES
from pipelines.schema.units import GIB, MIB

SEARCH = [conf_dir()]
#: The last choice of each role, which needs no weights to be found and fits anywhere.
WEIGHTLESS = {
    "separate": "center",
    "transcribe": "pocketsphinx",
    "pitch": "swift_f0",
    "speak": "espeak",
    "convert": "world",
}


def tier(name):
    return load_tier(SEARCH, name)


ALL = [tier(name) for name in (*TIERS, "cpu")]


def test_the_tiers_of_the_classifier_are_the_tiers_of_the_tree():
    assert set(catalog.options(SEARCH, "tier")) == {*TIERS, "cpu"}
    assert [rule.tier for rule in RULES] == list(reversed(TIERS[1:]))


@pytest.mark.parametrize(("low", "high"), list(pairwise(TIERS)))
def test_no_tier_allows_less_than_the_one_below_it(low, high):
    small, big = tier(low), tier(high)
    for role in ROLES:
        assert set(small.allow[role]) <= set(big.allow[role])
    assert (small.limit_bytes or 10**18) < (big.limit_bytes or 10**18)
    assert small.streams <= big.streams
    for key in ("utilisation", "prebuffer"):
        assert getattr(small, key) < getattr(big, key)
    assert small.first_audio > big.first_audio
    assert small.real_time_factor > big.real_time_factor
    assert set(small.cpu_fallback) >= set(big.cpu_fallback)
    for role, knobs in small.knobs.items():
        if "batch" in knobs:
            assert knobs["batch"] <= big.knobs[role]["batch"]


@pytest.mark.parametrize("name", [*TIERS, "cpu"])
def test_every_role_ends_in_what_needs_no_weights(name):
    for role, last in WEIGHTLESS.items():
        assert tier(name).allow[role][-1] == last


@pytest.mark.parametrize("name", [*TIERS, "cpu"])
def test_allowed_variants_keep_one_order_and_exist(name):
    for role, names in tier(name).allow.items():
        best_first = [variant for variant in tier("high_end").allow[role] if variant in names]
        assert [variant for variant in names if variant in best_first] == best_first
        known = catalog.options(SEARCH, f"model/{role}")
        assert set(names) <= set(known)


@pytest.mark.parametrize("name", TIERS)
def test_the_documents_numbers(name):
    """Limits in MiB, utilisation, prebuffer, yield as document 000 (docs/seeds.md) has them; None for its hole."""
    message = {"low_end": (2048, 0.40, 0.75, 0.01), "modest": (3072, 0.50, 1.25, 0.01), "mid_range": (6144, 0.70, 1.75, 0),
            "upper_mid": None, "high_end": (None, 0.85, 2.5, 0)}[name]  # fmt: skip
    if message is None:
        return
    found = tier(name)
    limit = None if found.limit_bytes is None else found.limit_bytes // MIB
    assert (limit, found.utilisation, found.prebuffer, found.yield_seconds) == message


@pytest.mark.parametrize("one", ALL, ids=lambda t: t.name)
def test_targets_lie_in_their_ranges(one):
    for key in ("utilisation", "prebuffer"):
        low, high = getattr(one, f"{key}_range")
        assert low <= getattr(one, key) <= high


def test_a_tiers_limit_leaves_a_quarter_of_its_smallest_card():
    for rule in RULES:
        limit = tier(rule.tier).limit_bytes
        assert limit is None or limit == rule.gigabytes * GIB * 3 // 4


@pytest.mark.parametrize("name", ["auto", "high_performance", "balanced", "modest"])
def test_profiles_say_nothing_a_tier_does_not(name):
    profile = catalog.read(SEARCH, "profile", name)
    assert set(profile) <= set(catalog.read(SEARCH, "tier", "modest"))
    assert "allow" not in profile


def test_known_cards_are_read_and_found_as_people_write_them():
    cards = read_cards(SEARCH)
    assert len(cards) >= 30
    assert find_card("nvidia geforce rtx 4090", SEARCH) == cards["RTX 4090"]
    assert classify(cards["RTX 4090"])[0] == "high_end"
    assert classify(cards["RTX 5060 Ti"])[0] == "upper_mid"
    assert all(sold_as(card.total_bytes) == int(sold_as(card.total_bytes)) for card in cards.values())
    with pytest.raises(UsageError, match="RTX 4090"):
        find_card("RTX 409", SEARCH)


def test_a_users_own_cards_add_to_the_shipped_ones(tmp_path):
    (tmp_path / "cards.yaml").write_text("My Card: {memory: 7, compute: 8.6}\nRTX 4090: {memory: 48, compute: 8.9}\n")
    cards = read_cards([tmp_path, *SEARCH])
    assert cards["My Card"].total_bytes == 7 * GIB
    assert cards["RTX 4090"].total_bytes == 48 * GIB
    assert "RTX 3070" in cards


@pytest.mark.parametrize(
    "text", ["- a\n", "A: 3\n", "A: {memory: x, compute: 8.6}\n", "A: {memory: 8}\n", "A: {memory: 8, compute: x}\n"]
)
def test_a_spoilt_card_list_is_a_sentence(tmp_path, text):
    (tmp_path / "cards.yaml").write_text(text)
    with pytest.raises(UsageError, match="must map card names"):
        read_cards([tmp_path])


def test_a_setting_that_no_tier_has_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match=r"^tier/mine: there is no setting 'prebufer'\. Did you mean 'prebuffer'"):
        read_tier("mine", {"prebufer": 1}, "tier/mine")


def test_a_tiers_policies_are_the_planners():
    assert set(RESIDENCIES) == {*POLICIES, "auto"}
    assert set(MEMORY_MODES) == set(MODES)
