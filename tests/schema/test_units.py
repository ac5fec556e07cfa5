import pytest

from pipelines.schema.units import format_bytes, format_seconds, parse_bytes


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("3 GiB", 3 * 1024**3),
        ("410MiB", 410 * 1024**2),
        ("1.5 GB", 1_500_000_000),
        (7, 7),
        ("12", 12),
        ("2 kb", 2000),
        ("1 TiB", 1024**4),
    ],
)
def test_sizes_as_people_write_them(text, count):
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["three", "3 XB", "-1 GiB", "", "1e99", True, None, "9999999 TiB", "nan"])
def test_what_is_not_a_size(text):
    with pytest.raises(ValueError, match="3 GiB"):
        parse_bytes(text)


def test_sizes_and_times_for_people():
    assert [format_bytes(n) for n in (0, 512, 5 * 1024**2, 410 * 1024**2, 24 * 1024**3)] == [
        "0 MiB",
        "512 B",
        "5.0 MiB",
        "410 MiB",
        "24.0 GiB",
    ]
    assert [format_seconds(s) for s in (0.25, 59.6, 83, 3720)] == ["0.2 s", "1 min 00 s", "1 min 23 s", "1 h 02 min"]
