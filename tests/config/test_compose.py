import pytest

from pipelines.config.compose import new_folder


def test_a_folder_that_is_taken_gets_the_next_number(tmp_path):
    wanted = tmp_path / "runs" / "12-00-00"
    assert [new_folder(wanted) for _ in range(3)] == [
        wanted,
        tmp_path / "runs/12-00-00-2",
        tmp_path / "runs/12-00-00-3",
    ]
    assert len(list((tmp_path / "runs").iterdir())) == 3


def test_a_file_in_the_way_is_not_walked_around(tmp_path):
    (tmp_path / "12-00-00").write_text("x")
    with pytest.raises(FileExistsError):
        new_folder(tmp_path / "12-00-00")
