"""What answering costs: planning imports no library that only carrying out needs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = [
    "torch",
    "torchaudio",
    "librosa",
    "scipy",
    "sklearn",
    "matplotlib",
    "networkx",
    "ctranslate2",
    "faster_whisper",
    "onnxruntime",
    "pyworld",
    "pocketsphinx",
    "transformers",
    "demucs",
    "torchcrepe",
    "espeakng_loader",
    "pandas",
    "asyncio",
    "multiprocessing",
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["plan", "pipeline=dub", "text=hello", "tier.allow.speak=[espeak]", "tier.allow.convert=[world]"],
        ["list"],
        ["fit", "pipeline=dub", "text=hello", "tier.allow.speak=[espeak]", "tier.allow.convert=[world]"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_answering_imports_no_heavy_library(arguments, tmp_path):
    program = (
        "import json, sys\nfrom pipelines.cli.main import main\n"
        f"code = main({arguments!r})\n"
        f"print(json.dumps([code, sorted(set({HEAVY!r}) & set(sys.modules))]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [0, []]
