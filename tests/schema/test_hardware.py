import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.schema.hardware import TIERS, Card, choose, classify, sold_as
from pipelines.schema.units import GIB, MIB

# What `nvidia-smi` tells of each card (name, MiB, compute capability), and the tier by the table of
# document 000 (docs/seeds.md) with its hole filled.
CARDS = [
    # Named by the documents.
    ("NVIDIA GeForce RTX 5090", 32607, (12, 0), "high_end"),
    ("NVIDIA GeForce RTX 4090", 24564, (8, 9), "high_end"),
    ("NVIDIA A100-SXM4-40GB", 40960, (8, 0), "high_end"),
    ("NVIDIA A100-SXM4-80GB", 81920, (8, 0), "high_end"),
    ("NVIDIA GeForce RTX 3070", 8192, (8, 6), "mid_range"),
    ("NVIDIA GeForce RTX 4060", 8188, (8, 9), "mid_range"),
    ("NVIDIA GeForce RTX 3050", 8192, (8, 6), "modest"),
    ("NVIDIA GeForce RTX 3050 6GB Laptop GPU", 6144, (8, 6), "modest"),
    ("NVIDIA GeForce RTX 3050 Laptop GPU", 4096, (8, 6), "modest"),
    ("NVIDIA GeForce GTX 1660", 6144, (7, 5), "modest"),
    ("NVIDIA GeForce RTX 3060 Laptop GPU", 6144, (8, 6), "modest"),
    ("NVIDIA GeForce RTX 3090", 24576, (8, 6), "high_end"),
    ("NVIDIA GeForce RTX 5060 Ti", 16311, (12, 0), "upper_mid"),
    ("NVIDIA GeForce RTX 2080", 8192, (7, 5), "mid_range"),
    # Others.
    ("NVIDIA GeForce GT 1030", 2048, (6, 1), "low_end"),
    ("NVIDIA GeForce GTX 970", 4096, (5, 2), "low_end"),
    ("NVIDIA GeForce GTX 1060 3GB", 3072, (6, 1), "low_end"),
    ("NVIDIA GeForce MX450", 2048, (7, 5), "low_end"),
    ("Tesla K80", 11441, (3, 7), "low_end"),
    ("Tesla M40 24GB", 22945, (5, 2), "low_end"),
    ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", 4864, (8, 0), "modest"),
    ("NVIDIA GeForce GTX 1050 Ti", 4096, (6, 1), "modest"),
    ("NVIDIA GeForce GTX 1650", 3911, (7, 5), "modest"),
    ("NVIDIA GeForce GTX 1080 Ti", 11264, (6, 1), "modest"),
    ("Tesla P100-PCIE-16GB", 16280, (6, 0), "modest"),
    ("Tesla P40", 22919, (6, 1), "modest"),
    ("NVIDIA GeForce RTX 2060", 6144, (7, 5), "modest"),
    ("NVIDIA GeForce RTX 2080 Ti", 11264, (7, 5), "mid_range"),
    ("NVIDIA GeForce RTX 3060", 12288, (8, 6), "mid_range"),
    ("NVIDIA GeForce RTX 3080", 10240, (8, 6), "mid_range"),
    ("NVIDIA GeForce RTX 4070", 12282, (8, 9), "mid_range"),
    ("NVIDIA GeForce RTX 5060 Ti 8GB", 8151, (12, 0), "mid_range"),
    ("NVIDIA GeForce RTX 5070", 12227, (12, 0), "mid_range"),
    ("NVIDIA Titan V", 12066, (7, 0), "mid_range"),
    ("Tesla T4", 15360, (7, 5), "upper_mid"),
    ("Tesla V100-SXM2-16GB", 16160, (7, 0), "upper_mid"),
    ("Tesla V100-SXM2-32GB", 32510, (7, 0), "upper_mid"),
    ("Quadro RTX 8000", 46080, (7, 5), "upper_mid"),
    ("NVIDIA GeForce RTX 4060 Ti", 16380, (8, 9), "upper_mid"),
    ("NVIDIA GeForce RTX 4080", 16376, (8, 9), "upper_mid"),
    ("NVIDIA GeForce RTX 4090 Laptop GPU", 16376, (8, 9), "upper_mid"),
    ("NVIDIA GeForce RTX 5080", 16303, (12, 0), "upper_mid"),
    ("NVIDIA RTX A4500", 20470, (8, 6), "upper_mid"),
    ("NVIDIA A10G", 23028, (8, 6), "high_end"),
    ("NVIDIA L4", 23034, (8, 9), "high_end"),
    ("NVIDIA L40S", 46068, (8, 9), "high_end"),
    ("NVIDIA RTX A6000", 49140, (8, 6), "high_end"),
    ("NVIDIA H100 80GB HBM3", 81559, (9, 0), "high_end"),
    ("NVIDIA H200", 143771, (9, 0), "high_end"),
    ("NVIDIA B200", 183359, (10, 0), "high_end"),
]


@pytest.mark.parametrize(("name", "mib", "compute", "tier"), CARDS, ids=[f"{row[0]} {row[1]}" for row in CARDS])
def test_real_cards_land_in_their_tier(name, mib, compute, tier):
    found, reason = classify(Card(name, mib * MIB, compute))
    assert found == tier
    assert name in reason
    assert reason.endswith(".")


@pytest.mark.parametrize(
    ("below", "at", "gigabytes", "compute"),
    [("low_end", "modest", 4, (6, 0)), ("modest", "mid_range", 8, (7, 0)), ("mid_range", "upper_mid", 16, (7, 0)),
     ("upper_mid", "high_end", 24, (8, 0))],
)  # fmt: skip
def test_each_boundary_belongs_to_the_upper_tier(below, at, gigabytes, compute):
    older = (compute[0], compute[1] - 1) if compute[1] else (compute[0] - 1, 9)
    assert classify(Card("x", gigabytes * GIB, compute))[0] == at
    assert classify(Card("x", int(gigabytes * 0.91 * GIB), compute))[0] == at
    assert classify(Card("x", int(gigabytes * 0.89 * GIB), compute))[0] == below
    assert classify(Card("x", gigabytes * GIB, older))[0] != at


def test_what_the_documents_code_gets_wrong():
    """Its `vram_gb >= 32` puts its own first two examples into mid_range: they report 31.8 and 24.0 GiB."""
    assert 32607 / 1024 < 32
    assert classify(Card("NVIDIA GeForce RTX 5090", 32607 * MIB, (12, 0)))[0] == "high_end"


def test_unknown_counts_as_modest_and_nothing_as_cpu():
    assert classify(Card("a card of another make", 0))[0] == "modest"
    assert classify(None)[0] == "cpu"


def test_unknown_compute_capability_leaves_it_to_the_memory():
    assert classify(Card("simulated", 8 * GIB))[0] == "mid_range"


@given(st.integers(1, 300 * 1024), st.integers(0, 300 * 1024), st.tuples(st.integers(3, 12), st.integers(0, 9)))
def test_more_memory_never_means_a_lower_tier(mib, more, compute):
    low, high = (classify(Card("x", size * MIB, compute))[0] for size in (mib, mib + more))
    assert TIERS.index(low) <= TIERS.index(high)


@given(st.integers(1, 400 * 1024))
def test_the_box_never_says_much_more_than_the_card(mib):
    assert mib / 1024 / 1.002 - 0.06 <= sold_as(mib * MIB) <= mib / 1024 / 0.9 + 0.06


def test_several_cards_the_best_tier_then_memory_then_newer_then_free_then_first():
    small, big = Card("RTX 3060", 12 * GIB, (8, 6), 0), Card("RTX 3090", 24 * GIB, (8, 6), 1)
    assert choose([small, big]) == (big, "cuda:1 of 2, RTX 3090 before RTX 3060: high_end rather than mid_range.")
    a, b = Card("RTX 4060", 8 * GIB, (8, 9), 0), Card("RTX 4070", 12 * GIB, (8, 9), 1)
    assert choose([a, b])[0] == b
    old, new = Card("RTX 2070", 8 * GIB, (7, 5), 0), Card("RTX 4060", 8 * GIB, (8, 9), 1)
    assert choose([old, new])[0] == new
    busy, idle = Card("L4", 24 * GIB, (8, 9), 0, used_bytes=9 * GIB), Card("L4", 24 * GIB, (8, 9), 1)
    assert choose([busy, idle])[0] == idle
    assert choose([Card("L4", 24 * GIB, (8, 9), 1), Card("L4", 24 * GIB, (8, 9), 0)])[0].index == 0
    assert choose([])[0] is None


def test_an_old_card_with_much_memory_does_not_beat_a_newer_one():
    p40, rtx = Card("Tesla P40", 22919 * MIB, (6, 1), 0), Card("RTX 3070", 8 * GIB, (8, 6), 1)
    assert choose([p40, rtx])[0] == rtx
