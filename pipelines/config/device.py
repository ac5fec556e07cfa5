"""The `device` group: which device a run is on, and what each of its settings may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.devices.registry import device_kinds, parse_spec
from pipelines.schema.errors import UsageError, nearest
from pipelines.schema.fields import BYTES, FLAG, TEXT, Hint, Kind, Reader, choice, read_fields, whole
from pipelines.schema.roles import ROLES
from pipelines.schema.settings import DeviceSpec


def read_device(data: Any) -> DeviceSpec:
    """The composed `device` group. Raises `UsageError`."""
    values = read_fields(data, DEVICE, "device")
    roles = {role: values.pop(role) for role in ROLES if role in values}
    return DeviceSpec(**values, roles=roles)


def _place(value: Any) -> str:
    try:
        parse_spec(str(value))
    except UsageError:
        raise Hint(nearest(str(value), device_kinds())) from None
    return str(value)


def _kind(value: Any, where: str) -> str:
    return choice("auto", *device_kinds())(value, where)


#: The device that a role or a node is kept on.
PLACE = Kind("a kind of device, or one by its number (cpu, cuda:1)", _place)
#: The fields of `DeviceSpec`, with a field for each role instead of `roles`.
DEVICE: Mapping[str, Reader[Any]] = {
    "kind": _kind,
    "index": whole(0, 1023),
    "total": BYTES,
    "cards_only": FLAG,
    "name": TEXT,
    "context": BYTES,
    **dict.fromkeys(ROLES, PLACE),
}
