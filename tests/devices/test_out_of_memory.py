"""The many texts by which libraries say that memory ran out."""

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
