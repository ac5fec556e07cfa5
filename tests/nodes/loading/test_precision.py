"""float16 only where a card computes in it."""

import pytest

from nodes.loading.precision import check_precision, in_half


def test_half_precision_is_for_cards():
    assert in_half("float16", "cuda:0")
    assert not in_half("float16", "cpu")
    assert not in_half("float32", "cuda:0")


def test_another_precision_is_refused():
    check_precision("float16")
    with pytest.raises(ValueError, match="'int8' must be float32 or float16"):
        check_precision("int8")
