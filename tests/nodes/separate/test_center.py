"""The separation that needs no weights, against songs whose voice is known."""

from pathlib import Path

import numpy as np
import pytest

from nodes.sample.song import RATE, Song, make_song
from nodes.separate.center import Center, spectrum
from pipelines.schema.errors import Interrupted, TaskFailed
from pipelines.schema.node import Context
from pipelines.schema.roles import ROLES
from pipelines.schema.values import Audio


@pytest.fixture(scope="module")
def song() -> Song:
    return make_song(seed=4, seconds=6.0)


def separated(samples, folder: Path, rate: int = RATE, **context) -> tuple[np.ndarray, np.ndarray]:
    out = Center().run(None, {"audio": Audio.of(samples, rate)}, Context("song", folder, **context))
    return out["vocals"].read(), out["instrumental"].read()


def decibels(wanted: np.ndarray, got: np.ndarray) -> float:
    """How far what is wrong in `got` lies below `wanted`, whatever its gain."""
    scale = np.dot(wanted, got) / np.dot(wanted, wanted)
    return float(10 * np.log10(np.sum((scale * wanted) ** 2) / np.sum((got - scale * wanted) ** 2)))


def test_has_the_ports_of_its_role() -> None:
    assert Center.inputs.keys() == ROLES["separate"].inputs.keys()
    assert Center.outputs.keys() == ROLES["separate"].outputs.keys()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 4, 9])
def test_the_voice_comes_out_far_cleaner_than_it_went_in(seed: int, tmp_path: Path) -> None:
    song = make_song(seed=seed, seconds=8.0)
    vocals, _ = separated(song.mix, tmp_path)
    truth = song.vocals.mean(axis=0)
    assert decibels(truth, vocals[0]) > decibels(truth, song.mix.mean(axis=0)) + 4.0


def test_voice_and_rest_are_as_long_as_the_mix_and_sum_to_it(song: Song, tmp_path: Path) -> None:
    vocals, rest = separated(song.mix, tmp_path)
    assert vocals.shape == (1, song.mix.shape[1])
    assert rest.shape == song.mix.shape
    np.testing.assert_allclose(vocals + rest, song.mix, atol=2e-6)


def test_what_is_only_on_one_side_is_no_singing(song: Song, tmp_path: Path) -> None:
    sides = np.stack([song.vocals[0], -song.vocals[1]])
    vocals, _ = separated(sides, tmp_path)
    assert np.sqrt(np.mean(vocals**2)) < 0.05 * np.sqrt(np.mean(sides**2))


def test_talk_in_the_centre_of_film_sound_is_found(song: Song, tmp_path: Path) -> None:
    film = np.zeros((6, song.mix.shape[1]), np.float32)
    film[:2], film[2] = song.band, song.vocals.mean(axis=0)
    vocals, rest = separated(film, tmp_path)
    assert rest.shape == song.mix.shape
    assert decibels(film[2], vocals[0]) > decibels(film[2], song.mix.mean(axis=0)) + 4.0


def test_how_much_is_held_at_once_changes_nothing(song: Song, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = separated(song.mix, tmp_path / "a")
    monkeypatch.setattr(spectrum, "_AT_ONCE", 31)
    pieces, _ = separated(song.mix, tmp_path / "b")
    np.testing.assert_allclose(pieces, whole, atol=1e-5)


def test_the_same_mix_gives_the_same_bytes(song: Song, tmp_path: Path) -> None:
    for name in ("a", "b"):
        separated(song.mix, tmp_path / name)
    for file in ("vocals.wav", "instrumental.wav"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_mono_mix_is_worked_on_and_said_to_be_one(song: Song, tmp_path: Path) -> None:
    message: list[str] = []
    vocals, rest = separated(song.mix[0], tmp_path, warn=message.append)
    assert rest.shape == (1, song.mix.shape[1])
    assert np.abs(vocals).max() > 0.01
    assert len(message) == 1
    assert "mono" in message[0]


@pytest.mark.parametrize("frames", [1, 50, 1000, 8001])
def test_short_and_8_khz_sound_comes_back_at_its_own_rate_and_length(frames: int, tmp_path: Path) -> None:
    mix = np.random.default_rng(0).uniform(-0.5, 0.5, (2, frames)).astype(np.float32)
    vocals, rest = separated(mix, tmp_path, rate=8000)
    assert vocals.shape == (1, frames)
    np.testing.assert_allclose(vocals + rest, mix, atol=2e-6)


def test_silence_stays_silence(tmp_path: Path) -> None:
    vocals, rest = separated(np.zeros((2, RATE), np.float32), tmp_path)
    assert not vocals.any()
    assert not rest.any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_numbers_fail_the_task(value: float, tmp_path: Path) -> None:
    mix = np.zeros((2, RATE), np.float32)
    mix[1, RATE // 2] = value
    with pytest.raises(TaskFailed, match="not numbers"):
        separated(mix, tmp_path)


def test_an_empty_mix_fails_the_task(tmp_path: Path) -> None:
    with pytest.raises(TaskFailed, match="no samples"):
        separated(np.zeros((2, 0), np.float32), tmp_path)


def test_a_cancelled_task_stops(song: Song, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        separated(song.mix, tmp_path, cancelled=lambda: True)


@pytest.mark.parametrize("knobs", [{"low": 10}, {"low": 900, "high": 800}, {"floor": 1.5}])
def test_knobs_out_of_range_are_refused(knobs: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="low"):
        Center(**knobs)
