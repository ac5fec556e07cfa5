"""The process in which a variant is measured: a request on standard input, one line of JSON as the answer."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
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
    trusted = tuple(request.get("trusted", ("nodes",)))

    def node_with(knobs: Mapping[str, Any]) -> Node:
        return make(request["target"], {**request["knobs"], **knobs}, trusted)

    place = Place(device.torch_device, Path(request["weights"]) if request.get("weights") else None)
    sizes = request["sizes"]
    first = min(sizes, key=lambda size: (size["seconds"], size["characters"]))
    before = _settled(device)
    row, model = _load(node_with({}), place, device)
    first_seconds = row["seconds"]
    _run(node_with(first["knobs"]), model, first, device, before)
    _unload(node_with({}), model, device)
    del model
    after = _settled(device)
    row, model = _load(node_with({}), place, device)
    loaded = _settled(device)
    # Some libraries never give memory back (ONNX Runtime's arena): a small input after a large one shows it, as in a batch.
    last = max(sizes, key=lambda size: (size["seconds"], size["characters"]))
    _run(node_with(last["knobs"]), model, last, device, loaded)
    runs = [_run(node_with(size["knobs"]), model, size, device, loaded) for size in sizes]
    _unload(node_with({}), model, device)
    del model
    end = _settled(device)
    return {
        "context": max(0, after - before),
        "leaked": max(0, end - after),
        "first_load_seconds": first_seconds,
        "loads": [row],
        "runs": runs,
    }


def _load(node: Node, place: Place, device: Device) -> tuple[dict[str, Any], Any]:
    start = time.perf_counter()
    with device.watch() as reading:
        model = node.load(place)
    seconds = time.perf_counter() - start
    device.loaded("measured", 0, model)
    held = max(0, _settled(device) - reading.start_bytes)
    return _row(reading.peak_bytes - reading.start_bytes, held, seconds, reading.source), model


def _run(node: Node, model: Any, size: Mapping[str, Any], device: Device, loaded: int) -> dict[str, Any]:
    """One run's row. Its bytes are above `loaded`, the level after the load: what earlier runs left behind counts too."""
    item = Item("measured", seconds=size["seconds"], channels=size["channels"], characters=size["characters"])
    inputs = synthetic_inputs(node.inputs, item)
    with tempfile.TemporaryDirectory() as folder:
        context = Context("measured", Path(folder), device=device.torch_device)
        _settled(device)
        start = time.perf_counter()
        with device.watch() as reading:
            outputs = node.run(model, inputs, context)
        seconds = time.perf_counter() - start
        held = max(0, reading.end_bytes - reading.start_bytes)
        del outputs, inputs
    return _row(max(0, reading.peak_bytes - loaded), held, seconds, reading.source)


def _unload(node: Node, model: Any, device: Device) -> None:
    node.unload(model)
    del model
    device.unloaded("measured")


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
