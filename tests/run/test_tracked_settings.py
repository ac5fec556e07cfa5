"""What a task looked up in its settings is what its result depends on."""

from pipelines.run.tracked_settings import ALL, TrackedSettings, tracked_values

SETTINGS = {"voice": "a.wav", "language": "de"}


def test_what_is_looked_up_is_remembered_set_or_not():
    settings = TrackedSettings(SETTINGS)
    assert settings.get("voice") == "a.wav"
    assert settings.get("title") is None
    assert "speaker" not in settings
    assert settings.names == {"voice", "title", "speaker"}


def test_who_goes_through_them_depends_on_all():
    for through in (dict, len, bool, list, lambda each: each == {}):
        settings = TrackedSettings(SETTINGS)
        through(settings)
        assert ALL in settings.names


def test_a_file_is_known_by_its_content():
    names = {"voice", "title"}
    assert tracked_values(SETTINGS, names, {"a.wav": "1f"}) == {"title": None, "voice": "1f"}
    assert tracked_values(SETTINGS, {ALL}, {"a.wav": "1f"}) == {ALL: {"voice": "1f", "language": "de"}}
