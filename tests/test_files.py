"""Files: whole or not at all, hashed, and locked across processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.files import file_lock, sha256_of, write_atomic


def test_a_write_replaces_the_whole_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomic(path, "a long first text")
    write_atomic(path, "short ü")
    assert path.read_text(encoding="utf-8") == "short ü"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomic(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomic(path, "\ud800")
    assert path.read_text(encoding="utf-8") == "old"


def test_the_digest_is_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_of(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


HOLD = """
import sys, os
from pathlib import Path
from pipelines.files import file_lock
with file_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
    os._exit(9) if sys.argv[2] == "die" else None
"""


@pytest.mark.parametrize("end", ["leave", "die"])
def test_another_process_holds_it_until_it_leaves_or_dies(tmp_path: Path, end: str) -> None:
    path = tmp_path / "made" / "x.lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), end], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(TimeoutError), file_lock(path, wait=False):
            pass
        other.stdin.close()
        with file_lock(path):
            assert path.is_file()
