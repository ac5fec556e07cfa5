"""A node whose process dies, for runs under faults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pipelines.schema.node import Context, Inputs, Outputs, Place, Port


class Killed:
    """Its process is killed with signal 9 when it loads."""

    inputs: ClassVar[Mapping[str, Port]] = {"audio": Port("audio")}
    outputs: ClassVar[Mapping[str, Port]] = {"audio": Port("audio")}

    def load(self, place: Place) -> Any:
        import os

        os.kill(os.getpid(), 9)

    def unload(self, model: Any) -> None:
        """It never gets there."""

    def run(self, model: Any, inputs: Inputs, context: Context) -> Outputs:
        return {"audio": inputs["audio"]}
