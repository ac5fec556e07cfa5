"""A plan's start costs no module that only a run, a fetch or a failure needs."""

import subprocess
import sys

HEAVY = (
    "pipelines.run.engine",
    "pipelines.weights.fetch",
    "torch",
    "ssl",
    "urllib.request",
    "filelock",
    "packaging.requirements",
    "pathvalidate",
    "huggingface_hub",
)
CODE = """
import sys
import pipelines.api
from pipelines.inputs.items import find_items
from pipelines.schema.config import Variant
from pipelines.schema.weights import WeightsSpec
from pipelines.weights import locate
from pipelines.paths import user_folders

find_items(None, "Hello again", {}, {"text": "text"})
locate(Variant("pitch/x", "pitch", "x", weights=WeightsSpec(folders=("x",), files=("y",)), requires=("json",)), user_folders().weights)
print(*[name for name in sys.argv[1:] if name in sys.modules])
"""


def test_what_a_plan_needs_loads_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", CODE, *HEAVY], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
