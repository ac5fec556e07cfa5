"""Versions of the libraries that count, in one list."""

import numpy

from pipelines.libraries import OF_MEMORY, OF_RESULTS, installed_versions, memory_versions


def test_what_is_not_installed_is_left_out() -> None:
    assert installed_versions(["numpy", "no-such-library"]) == {"numpy": numpy.__version__}


def test_footprints_are_kept_under_versions_in_a_fixed_order() -> None:
    named = [part.partition(" ")[0] for part in memory_versions().split(", ")]
    assert named == [name for name in OF_MEMORY if name in named]
    assert f"numpy {numpy.__version__}" in memory_versions()


def test_no_library_is_named_twice() -> None:
    assert len(set(OF_RESULTS)) == len(OF_RESULTS)
