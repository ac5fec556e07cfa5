"""The models that are loaded now: loaded, unloaded, and each checked to give its memory back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from pipelines.devices.leaks import Return, await_return
from pipelines.devices.protocol import Device
from pipelines.run.errors import as_headroom
from pipelines.run.job import Job

#: How long an unload may take to show before it is called a leak.
RETURN_SECONDS = 2.0


class ResidentModels:
    """What is on the device between two steps. emit: informs the observers, as `Engine.emit`."""

    def __init__(self, device: Device, emit: Callable[..., None]) -> None:
        self._device, self._emit = device, emit
        self._loaded: dict[str, Any] = {}
        self._bytes: dict[str, int] = {}
        #: The unloads that did not give their memory back.
        self.returns: list[Return] = []

    def __contains__(self, model: str) -> bool:
        return model in self._loaded

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._loaded))

    def get(self, model: str | None) -> Any:
        """What the node's `load` returned; None for a model that is not loaded, or for no model."""
        return None if model is None else self._loaded.get(model)

    def load(self, job: Job, model: str) -> Any:
        """Load a model where the job says its weights are. Raises a `HeadroomError`."""
        try:
            made = self._loaded[model] = job.loader(model).load(job.places[model])
        except Exception as error:
            raise as_headroom(error, f"{model} could not be loaded") from error
        return made

    def measured(self, job: Job, model: str, grown_bytes: int) -> None:
        """Note by how much loading a model raised the use of the device: as much must come back."""
        # What a library keeps from its first use on is context: no more than its planned weights are a model's own.
        self._bytes[model] = min(max(0, grown_bytes), job.problem.models[model].weights_bytes)

    def unload(self, job: Job, model: str) -> None:
        """Let go of a model if it is loaded. What its node raises becomes a warning and does not end the run."""
        if model not in self._loaded:
            return
        loaded, used = self._loaded.pop(model), self._device.used_bytes()
        try:
            job.loader(model).unload(loaded)
        except Exception as error:
            self._emit("warning", text=f"{model}: its unload failed ({type(error).__name__}: {error}); it was dropped.")
        del loaded
        self._device.unloaded(model)
        self._check_returned(model, used)

    def _check_returned(self, model: str, used_before: int) -> None:
        """Collect what the model held, and raise an alert that names it where its bytes do not leave the device."""
        held, failing = self._bytes.pop(model, 0), sys.exc_info()[1] is not None
        if not held or failing:  # the frames of an error that is being handled still refer to it: nothing can be said
            self._device.reclaim()
            return
        returned = await_return(self._device, model, held, used_before, within_seconds=RETURN_SECONDS)
        if not returned.clean:
            self.returns.append(returned)
            self._emit("alert", what="leak", text=returned.sentence)
