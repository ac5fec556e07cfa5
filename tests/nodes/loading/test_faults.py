"""Whatever a reader raises becomes one sentence; what is not the files' fault stays what it is."""

import pytest

from nodes.loading.faults import reading
from pipelines.devices.out_of_memory import is_out_of_memory
from pipelines.schema.errors import TaskFailed, UsageError


@pytest.mark.parametrize("error", [RuntimeError("a\n b."), KeyError("x"), EOFError(), Exception("odd")])
def test_readers_faults_become_a_sentence(error):
    with (
        pytest.raises(TaskFailed, match=r"^X\.pth cannot be used: .+\. Fetch it again\.$"),
        reading("X.pth", "Fetch it again."),
    ):
        raise error


@pytest.mark.parametrize("error", [ImportError("torch"), UsageError("no"), KeyboardInterrupt()])
def test_what_is_not_the_files_fault_stays(error):
    with pytest.raises(type(error)), reading("X.pth"):
        raise error


def test_out_of_memory_is_still_seen():
    with pytest.raises(TaskFailed) as caught, reading("X.pth"):
        raise RuntimeError("CUDA out of memory")
    assert is_out_of_memory(caught.value)
