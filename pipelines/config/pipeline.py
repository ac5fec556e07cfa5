"""A pipeline's file, `conf/pipeline/<name>.yaml`, checked and frozen. Whether its nodes fit together is for `pipelines.graph`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pipelines.config.device import PLACE
from pipelines.config.variants import ISOLATION, read_footprint
from pipelines.schema.config import NodeSpec, PipelineSpec
from pipelines.schema.errors import InvalidError, UsageError
from pipelines.schema.fields import FLAG, NAMES, TEXT, Reader, choice, each, mapping, read_fields
from pipelines.schema.roles import ROLES
from pipelines.schema.values import PORTS

_NAME = re.compile(r"^[a-z][a-z0-9_]{0,40}$")


def read_pipeline(name: str, data: Any) -> PipelineSpec:
    """One file of `conf/pipeline/`. Raises `UsageError`, or `InvalidError` for an input with several producers."""
    where = f"pipeline {name}"
    if not isinstance(data, Mapping) or not isinstance(data.get("nodes"), Mapping) or not data["nodes"]:
        raise UsageError(f"{where} has no `nodes:`. A pipeline is a mapping of node names to what they are.")
    values = read_fields(data, PIPELINE, where)
    nodes = tuple(_node(node, body, f"{where}: nodes.{node}") for node, body in values.pop("nodes").items())
    values = {key: value for key, value in values.items() if value != {}}
    return PipelineSpec(name, nodes, **values)


def _node(name: str, data: Any, where: str) -> NodeSpec:
    if not _NAME.match(name) or name == "item":
        raise UsageError(f"{where}: a node's name is lower case letters, digits and _, at most 41, and not `item`.")
    if not isinstance(data, Mapping):
        raise UsageError(f"{where} must say what it is: {{role: ..., in: ...}} or {{_target_: nodes...., in: ...}}.")
    values = read_fields(data, NODE, where)
    if ("role" in values) == ("_target_" in values):
        raise UsageError(f"{where} must have either `role` or `_target_`, and not both.")
    return NodeSpec(name, target=values.pop("_target_", None), inputs=values.pop("in", {}), **values)


def _producer(value: Any, where: str) -> str:
    if isinstance(value, list):
        raise InvalidError(
            f"{where} has {len(value)} producers ({', '.join(map(str, value))}); an input has exactly one."
        )
    if not isinstance(value, str):
        raise UsageError(f"{where} is {value!r}; it must be `node.port`.")
    return value


#: The fields of `PipelineSpec`.
PIPELINE: Mapping[str, Reader[Any]] = {"nodes": mapping, "items": each(choice(*PORTS)), "about": TEXT}
#: The fields of `NodeSpec`, with `_target_` for `target` and `in` for `inputs`.
NODE: Mapping[str, Reader[Any]] = {
    "role": choice(*ROLES),
    "_target_": TEXT,
    "in": each(_producer),
    "knobs": mapping,
    "after": NAMES,
    "isolation": ISOLATION,
    "device": PLACE,
    "footprint": read_footprint,
    "stream": FLAG,
}
