"""What a library raised becomes an error of ours, with a sentence; and an error that is remembered holds nothing."""

import errno

import pytest

from pipelines.run.errors import as_headroom, forget_frames
from pipelines.schema.errors import HeadroomError, InvalidError, OutOfMemory, SurroundingsFailed, TaskFailed


class LibsndfileError(RuntimeError):
    def __init__(self, code: int) -> None:
        super().__init__("Error opening")
        self.code = code


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (MemoryError("no room"), OutOfMemory, "s/n failed: memory ran out (no room)."),
        (RuntimeError("CUDA out of memory"), OutOfMemory, "memory ran out"),
        (OSError(errno.ENOSPC, "No space left on device"), SurroundingsFailed, "s/n failed: No space left on device."),
        (OSError(errno.EDQUOT, "Quota exceeded"), SurroundingsFailed, "Quota exceeded"),
        (OSError(errno.EROFS, "Read-only file system"), SurroundingsFailed, "Read-only"),
        (OSError(errno.ENOENT, "No such file"), TaskFailed, "No such file"),
        (LibsndfileError(2), SurroundingsFailed, "Is the disk full?"),
        (LibsndfileError(1), TaskFailed, "s/n failed: LibsndfileError: Error opening"),
        (ValueError(), TaskFailed, "s/n failed: ValueError: it gave no reason"),
    ],
)
def test_an_exception_is_of_the_kind_that_says_whose_it_is(error: Exception, kind: type, words: str) -> None:
    found = as_headroom(error, "s/n failed")
    assert type(found) is kind
    assert words in str(found)


def test_the_line_that_raised_is_named() -> None:
    try:
        int("x")
    except ValueError as error:
        text = str(as_headroom(error, "s/n failed"))
    line = test_the_line_that_raised_is_named.__code__.co_firstlineno + 2
    assert text.endswith(f" (test_errors.py, line {line})")


def test_ours_stays_as_it_is() -> None:
    error = InvalidError("so")
    assert as_headroom(error, "s/n failed") is error


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:
        return caught


def test_a_kept_error_and_all_its_causes_let_go_of_their_frames() -> None:
    first = raised(OSError("first"))
    second = raised(ValueError("second"), first)
    third = raised(TaskFailed("third"))
    third.__context__ = second
    assert all(error.__traceback__ for error in (first, second, third))
    forget_frames(third)
    assert [error.__traceback__ for error in (first, second, third)] == [None] * 3
    assert third.__context__ is second  # what happened is still known


def test_an_error_that_is_its_own_cause_ends() -> None:
    error = raised(HeadroomError("x"))
    error.__cause__ = error
    forget_frames(error)
    assert error.__traceback__ is None
