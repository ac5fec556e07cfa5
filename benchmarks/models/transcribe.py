"""Whisper at its real sizes with made weights: what faster-whisper takes on a CPU, against what conf/model/transcribe declares.

`python -m benchmarks.models transcribe`. Each network recites a text that fills its decoder, the most it can be made to hold,
and is measured as `headroom measure` does. Its file is in half precision as the published ones are, so that loading it in
8 bits converts. RAM over length is taken with a tiny network, ours against the library's pipeline.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.models.apart import apart, declared, measured

#: Fields of Hugging Face's WhisperConfig (width, layers of encoder and decoder, heads, mel bands), each measured in 8 bits.
SIZES = {
    "tiny": (384, 4, 4, 6, 80),
    "small": (768, 12, 12, 12, 80),
    "large_v3_turbo": (1280, 32, 4, 20, 128),
}
BATCHES = (1, 2)
#: Tokens that fill the decoder, seconds of a full window, and the words said.
_TOKENS, _WINDOW, _SPOKEN = (
    440,
    28.0,
    ("all", "night", "long", "we", "sing", "this", "song", "until", "morning", "comes"),
)
#: Lengths (s) between which RAM may grow.
_SHORT, _LONG = 60.0, 600.0


def run(quick: bool) -> dict[str, Any]:
    """Every size, one full window for each of a batch; the bars hold what is declared against it."""
    found: dict[str, Any] = {"variants": {}, "bars": {}}
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("tiny",) if quick else SIZES:
            folder = f"{scratch}/{name}"
            apart(make, folder=folder, name=name)
            variant = f"{name}_int8"
            row = take(folder, variant, BATCHES)
            print(f"  {variant}: {row}", flush=True)
            found["variants"][variant] = row
            found["bars"] |= _bars(variant, row)
            shutil.rmtree(folder)
        apart(make, folder=f"{scratch}/short", name="")
        lengths = (_SHORT, _SHORT * 3 if quick else _LONG)
        grown = {
            side.__name__: [apart(side, folder=f"{scratch}/short", seconds=s)["peak_mib"] for s in lengths]
            for side in (node, library)
        }
    rate = {side: round((b - a) / (lengths[1] - lengths[0]), 3) for side, (a, b) in grown.items()}
    found |= {"ram_mib_tiny_network": grown, "ram_mib_per_second": rate}
    bar = f"RAM grows {rate['node']} MiB a second of sound (at most a third of the library's {rate['library']})"
    found["bars"][bar] = rate["node"] <= rate["library"] / 3
    return found


def make(folder: str, name: str) -> dict[str, Any]:
    """Write a network of that size, or the tests' tiny one."""
    from tests.checkpoints.whisper import make_whisper

    if not name:
        make_whisper(Path(folder))
        return {}
    width, encoder, decoder, heads, mels = SIZES[name]
    sizes = {
        "d_model": width, "encoder_layers": encoder, "decoder_layers": decoder, "num_mel_bins": mels,
        "encoder_attention_heads": heads, "decoder_attention_heads": heads, "encoder_ffn_dim": 4 * width, "decoder_ffn_dim": 4 * width,
    }  # fmt: skip
    words = " ".join(_SPOKEN[index % len(_SPOKEN)] for index in range(_TOKENS))
    made = make_whisper(Path(folder), words, _WINDOW, **sizes)
    return {"bytes": (made / "model.bin").stat().st_size}


def take(folder: str, name: str, batches: tuple[int, ...]) -> dict[str, Any]:
    """What the variant takes, a full window for each of its batch, and what its file declares. Bytes and seconds."""
    from pipelines.footprints.measurement import Size, measure
    from pipelines.schema.config import evaluate

    variant = declared("transcribe", name)
    sizes = [Size(_WINDOW * batch, knobs={"batch": batch}) for batch in batches]
    took = measure(variant, sizes, weights=Path(folder), timeout_seconds=3000)
    says = variant.footprint_in("host")
    runs = [row for row in took.observations if row.op == "run"]
    return {
        "file_bytes": (Path(folder) / "model.bin").stat().st_size,
        "weights": [took.weights_bytes, says.weights],
        "load_peak": [took.load_peak_bytes, says.load_peak or says.weights],
        "context": [took.context_bytes, sum(says.context.values())],
        "load_seconds": [round(took.load_seconds, 2), round(took.reload_seconds, 2)],
        "workspace": {
            batch: [row.bytes, round(evaluate(says.workspace, size.item(), {"batch": batch}))]
            for batch, size, row in zip(batches, sizes, runs, strict=True)
        },
        "seconds": {batch: round(row.seconds, 1) for batch, row in zip(batches, runs, strict=True)},
        "fit": dict(took.regression.terms),
    }


def _bars(name: str, row: dict[str, Any]) -> dict[str, bool]:
    """Declared bytes cover what was measured, and not with more than half as much again."""
    pairs = {"weights": row["weights"], "load peak": row["load_peak"]}
    pairs |= {f"workspace at batch {batch}": pair for batch, pair in row["workspace"].items()}
    return {
        f"{name}: {what} {took / 1e6:.0f} MB, declared {message / 1e6:.0f} (1 to 1.5 times)": took
        <= message
        <= 1.5 * took
        for what, (took, message) in pairs.items()
    }


def _sound(seconds: float) -> Any:
    from pipelines.footprints.synthetic import synthetic_inputs
    from pipelines.schema.config import Item
    from pipelines.schema.node import Port

    return synthetic_inputs({"audio": Port("audio")}, Item("a", seconds=seconds))["audio"]


def node(folder: str, seconds: float) -> dict[str, Any]:
    """The node, reading a file as it goes."""
    from nodes.transcribe.whisper import Whisper
    from pipelines.schema.node import Context, Place
    from pipelines.schema.values import Audio

    whisper = Whisper(compute="int8", batch=1)
    model, path = whisper.load(Place("cpu", Path(folder))), _written(folder, seconds)
    whisper.run(model, {"audio": _sound(2.0)}, Context("a", Path(folder)))  # imports what it imports on first use
    return measured(lambda: whisper.run(model, {"audio": Audio.open(path)}, Context("a", Path(folder))))[1]


def library(folder: str, seconds: float) -> dict[str, Any]:
    """faster-whisper's batched pipeline on the same file, one window at a time too."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    pipeline = BatchedInferencePipeline(WhisperModel(folder, device="cpu", compute_type="int8"))
    path = str(_written(folder, seconds))
    list(pipeline.transcribe(str(_written(folder, 2.0)), batch_size=1)[0])
    return measured(lambda: list(pipeline.transcribe(path, batch_size=1, word_timestamps=True)[0]))[1]


def _written(folder: str, seconds: float) -> Path:
    import soundfile

    path, sound = Path(folder) / f"{seconds:g}.wav", _sound(seconds)
    if not path.exists():
        soundfile.write(path, sound.read().T, sound.rate)
    return path
