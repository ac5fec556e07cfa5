"""The `device` group: which device a run is on, and what each of its settings may be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pipelines.schema.errors import nearest
from pipelines.schema.fields import BYTES, FLAG, TEXT, Kind, Reader, choice, read_fields, whole
from pipelines.schema.roles import ROLES
from pipelines.schema.settings import DeviceSpec


def read_device(data: Any) -> DeviceSpec:
    """The composed `device` group. Raises `UsageError`."""
    values = read_fields(data, DEVICE, "device")
    roles = {role: values.pop(role) for role in ROLES if role in values}
    return DeviceSpec(**values, roles=roles)


def _place(value: Any) -> str:
    if not re.fullmatch(r"cpu|cuda(:\d+)?|simulated", str(value)):
        raise ValueError(nearest(str(value), ("cpu", "cuda")))
    return str(value)


#: The device that a role or a node is kept on.
PLACE = Kind("cpu, cuda or cuda:N", _place)
#: The fields of `DeviceSpec`, with a field for each role instead of `roles`.
DEVICE: Mapping[str, Reader[Any]] = {
    "kind": choice("auto", "cpu", "cuda", "simulated"),
    "index": whole(0, 1023),
    "total": BYTES,
    "cards_only": FLAG,
    "name": TEXT,
    "context": BYTES,
    **dict.fromkeys(ROLES, PLACE),
}
