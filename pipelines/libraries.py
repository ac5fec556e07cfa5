"""The libraries whose versions count, and which versions are installed. None is imported."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata

#: Distributions whose version changes how much memory a model takes. Measured footprints are kept under them, in this order.
OF_MEMORY = ("torch", "ctranslate2", "onnxruntime", "demucs", "torchcrepe", "coqui-tts", "transformers", "numpy")
#: Distributions whose version may change a result or a footprint.
OF_RESULTS = (*OF_MEMORY, "torchaudio", "faster-whisper", "swift-f0", "pocketsphinx", "librosa", "soundfile", "pyworld",
              "hydra-core", "omegaconf", "networkx")  # fmt: skip


def installed_versions(names: Iterable[str] = OF_RESULTS) -> dict[str, str]:
    """Distribution -> version, of those in `names` that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def memory_versions() -> str:
    """`torch 2.11.0, numpy 2.1.0, ...`: under which versions a footprint was measured."""
    return ", ".join(f"{name} {version}" for name, version in installed_versions(OF_MEMORY).items())
