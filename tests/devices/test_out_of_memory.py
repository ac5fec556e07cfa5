"""The many texts by which libraries say that memory ran out."""

import errno

import pytest

from pipelines.devices.out_of_memory import is_out_of_memory


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: out of memory",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "GET was unable to find an engine to execute this computation",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ],
)
def test_a_card_says_in_many_ways_that_it_is_full(text):
    assert is_out_of_memory(RuntimeError(text))


def test_onnxruntimes_own_classes_say_it_too():
    state = pytest.importorskip("onnxruntime.capi.onnxruntime_pybind11_state")
    assert is_out_of_memory(state.RuntimeException("Failed to allocate memory for requested buffer of size 8"))
    assert not is_out_of_memory(state.RuntimeException("Invalid rank for input"))


def test_the_cause_of_an_error_says_it_too_and_other_kinds_of_error_do_not():
    def raised(error, cause=None, context=None):
        error.__cause__, error.__context__ = cause, context
        return error

    full = RuntimeError("CUDA out of memory")
    assert is_out_of_memory(raised(ValueError("x"), cause=full))
    assert is_out_of_memory(raised(ValueError("x"), context=raised(KeyError("y"), context=full)))
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(OSError(errno.ENOMEM, "no"))
    assert not is_out_of_memory(OSError(errno.ENOSPC, "out of memory cards"))
    assert not is_out_of_memory(ValueError("out of memory"))
    assert not is_out_of_memory(RuntimeError("out of paper"))


def test_errors_that_name_each_other_as_their_cause_end():
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert not is_out_of_memory(one)
