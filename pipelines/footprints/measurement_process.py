"""The process in which a variant is measured: a request on standard input, one line of JSON as the answer."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pipelines.devices.out_of_memory import is_out_of_memory
from pipelines.devices.protocol import Device
from pipelines.devices.registry import open_device
from pipelines.footprints.synthetic import synthetic_inputs
from pipelines.schema.config import Item
from pipelines.schema.errors import ExitCode
from pipelines.schema.node import Context, Node, Place

Maker = Callable[[str, Mapping[str, Any], tuple[str, ...]], Node]


def measure_node(request: Mapping[str, Any], device: Device, make: Maker) -> dict[str, Any]:
    """Load, run and unload the node once; then again, the largest size unwatched and every size watched."""
    subject, sizes = _Subject(request, device, make), sorted(request["sizes"], key=_length)
    before = _settled(device)
    first, model = subject.load()
    subject.run(model, sizes[0], before)
    subject.unload(model)
    del model
    after = _settled(device)
    second, model = subject.load()
    loaded = _settled(device)
    # Some libraries never give memory back (ONNX Runtime's arena): a small input after a large one shows it, as in a batch.
    subject.run(model, sizes[-1], loaded)
    runs = [subject.run(model, size, loaded) for size in request["sizes"]]
    subject.unload(model)
    del model
    return {
        "context": max(0, after - before),
        "leaked": max(0, _settled(device) - after),
        "first_load_seconds": first["seconds"],
        "loads": [second],
        "runs": runs,
    }


def _length(size: Mapping[str, Any]) -> tuple[float, int]:
    return size["seconds"], size["characters"]


@dataclass(frozen=True, slots=True)
class _Subject:
    """The node that is measured, made anew for each load, run and unload, as its knobs may differ."""

    request: Mapping[str, Any]
    device: Device
    make: Maker

    def _node(self, knobs: Mapping[str, Any] = MappingProxyType({})) -> Node:
        trusted = tuple(self.request.get("trusted", ("nodes",)))
        return self.make(self.request["target"], {**self.request["knobs"], **knobs}, trusted)

    def load(self) -> tuple[dict[str, Any], Any]:
        """The row of a load, and what `Node.load` returned."""
        weights = self.request.get("weights")
        place, node = Place(self.device.torch_device, Path(weights) if weights else None), self._node()
        start = time.perf_counter()
        with self.device.watch() as reading:
            model = node.load(place)
        seconds = time.perf_counter() - start
        self.device.loaded("measured", 0, model)
        held = max(0, _settled(self.device) - reading.start_bytes)
        return _row(reading.peak_bytes - reading.start_bytes, held, seconds, reading.source), model

    def run(self, model: Any, size: Mapping[str, Any], loaded: int) -> dict[str, Any]:
        """The row of a run. Its bytes are above `loaded`, the level after the load: what earlier runs left behind counts too."""
        node = self._node(size["knobs"])
        item = Item("measured", seconds=size["seconds"], channels=size["channels"], characters=size["characters"])
        inputs = synthetic_inputs(node.inputs, item)
        with tempfile.TemporaryDirectory() as folder:
            context = Context("measured", Path(folder), device=self.device.torch_device)
            _settled(self.device)
            start = time.perf_counter()
            with self.device.watch() as reading:
                outputs = node.run(model, inputs, context)
            seconds = time.perf_counter() - start
            held = max(0, reading.end_bytes - reading.start_bytes)
            del outputs, inputs
        return _row(max(0, reading.peak_bytes - loaded), held, seconds, reading.source)

    def unload(self, model: Any) -> None:
        """Let go of the model, as far as the node can: the caller's reference is still there."""
        self._node().unload(model)
        self.device.unloaded("measured")


def _settled(device: Device) -> int:
    device.reclaim()
    return device.used_bytes()


def _row(count: int, held: int, seconds: float, source: str) -> dict[str, Any]:
    return {"bytes": count, "held": held, "seconds": seconds, "source": source}


def main() -> None:
    """Answer the request on standard input."""
    from pipelines.node_classes import make_node

    request = json.load(sys.stdin)
    wanted = request["device"]
    try:
        device = open_device(wanted["spec"], total=wanted.get("total"))
        for module in device.measured_with:
            import_module(module)
        answer = measure_node(request, device, make_node)
    except Exception as error:
        code = ExitCode.OUT_OF_MEMORY if is_out_of_memory(error) else ExitCode.TASK_FAILED
        answer = {"error": f"{type(error).__name__}: {error}", "exit_code": int(code)}
    sys.stdout.write("\n" + json.dumps({"headroom": answer}) + "\n")


if __name__ == "__main__":
    main()
