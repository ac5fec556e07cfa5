"""From a `_target_` to a node object, and no further: only classes of `nodes.` and of registered plugins can be named."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import PathFinder
from importlib.metadata import entry_points
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any, cast, get_args, get_type_hints

from pipelines.graph.build import Ports
from pipelines.schema.errors import UsageError, did_you_mean
from pipelines.schema.node import Node
from pipelines.schema.roles import Role

_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", type(None): "null"}
_DOTTED = re.compile(r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")


def trusted_packages(extra: Sequence[str] = ()) -> tuple[str, ...]:
    """Packages whose classes a config may name: ours, installed plugins' (entry point `headroom.nodes`), the command line's."""
    plugins = sorted(point.value.partition(":")[0] for point in entry_points(group="headroom.nodes"))
    return ("nodes", *plugins, *extra)


def node_class(target: str, trusted: Sequence[str] = ("nodes",)) -> type[Node]:
    """The class `target` names. Raises `UsageError` for anything outside `trusted` before importing anything."""
    if not _DOTTED.match(target) or not any(target.startswith(package + ".") for package in trusted):
        raise UsageError(
            f"_target_ {target!r} is not allowed: it must be a class inside {' or '.join(trusted)}. "
            "A plugin registers the entry point `headroom.nodes`; --trust PACKAGE allows one for this call."
        )
    module_name, _, name = target.rpartition(".")
    try:
        module = _import(module_name)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"_target_ {target!r}: there is no module {error.name!r}. Check the spelling, install its package, or call "
            "headroom from the folder it lies in."
        ) from None
    except Exception as error:  # whatever the module's own lines raise
        raise UsageError(
            f"_target_ {target!r}: {module_name} cannot be imported: {type(error).__name__}: {error}. Mend it there."
        ) from error
    found = getattr(module, name, None)
    if found is None:
        classes = [key for key, value in vars(module).items() if inspect.isclass(value) and hasattr(value, "outputs")]
        raise UsageError(f"_target_ {target!r}: {module_name} has no {name!r}. {did_you_mean(name, classes)}")
    home = getattr(found, "__module__", "")
    if not inspect.isclass(found) or not any(home == p or home.startswith(p + ".") for p in trusted):
        raise UsageError(f"_target_ {target!r} is not a node class of {' or '.join(trusted)}.")
    missing = [part for part in ("inputs", "outputs", "load", "unload", "run") if not hasattr(found, part)]
    if missing:
        raise UsageError(f"_target_ {target!r} is not a node: it has no {', '.join(missing)}.")
    return cast("type[Node]", found)


def _import(name: str) -> ModuleType:
    """Import the module of a trusted package: an installed one, else one in the current folder.

    The current folder is not on the path of an installed command, and must not be: any file there would count as a
    module. So only this one package is taken from it.
    """
    package = name.partition(".")[0]
    if package not in sys.modules and find_spec(package) is None:
        _import_from_current_folder(package)
    return importlib.import_module(name)


def _import_from_current_folder(package: str) -> None:
    spec = PathFinder.find_spec(package, [os.getcwd()])
    if spec is None:
        return
    sys.modules[package] = module_from_spec(spec)
    if spec.loader is not None:  # a folder without __init__.py has none
        try:
            spec.loader.exec_module(sys.modules[package])
        except BaseException:
            del sys.modules[package]
            raise


def make_node(target: str, knobs: Mapping[str, Any], trusted: Sequence[str] = ("nodes",)) -> Node:
    """A node object with its knobs. Raises `UsageError` for unknown knobs and for values its class refuses."""
    kind = node_class(target, trusted)
    known = [name for name in inspect.signature(kind).parameters if name != "self"]
    for knob in knobs:
        if knob not in known:
            raise UsageError(f"{target} has no knob {knob!r}. {did_you_mean(knob, known)}")
    _refuse_kinds(target, kind, knobs)
    try:
        return kind(**knobs)
    except (TypeError, ValueError) as error:
        given = ", ".join(f"{knob}={value!r}" for knob, value in knobs.items())
        raise UsageError(f"{target} refuses its knobs ({given}): {error}") from None


def _refuse_kinds(target: str, kind: type[Node], knobs: Mapping[str, Any]) -> None:
    """Values that are not what the constructor's annotations say, where these are plain kinds."""
    try:
        hints = get_type_hints(kind.__init__)
    except (NameError, TypeError):  # annotations of a module that is there for type checkers only
        return
    for knob, value in knobs.items():
        allowed = get_args(hints.get(knob)) or (hints.get(knob),)
        fits = [type(value) is each or (each is float and type(value) is int) for each in allowed]
        if all(each in _KINDS for each in allowed) and not any(fits):
            wanted = " or ".join(_KINDS[each] for each in allowed)
            raise UsageError(f"{target}: the knob {knob} is {value!r}; it must be {wanted}.")


def check_role(name: str, target: str, role: Role, trusted: Sequence[str] = ("nodes",)) -> None:
    """Raise `UsageError` where the class of variant `name` cannot do its role: a port is lacking, of another type, or never given.

    What a role gives only sometimes, a class may leave out.
    """
    faults = "; ".join(_unlike(node_class(target, trusted), role))
    if faults:
        raise UsageError(
            f"{name}: {target} does not have the ports of the role {role.name}: {faults}. `headroom list nodes` shows them."
        )


def _unlike(kind: type[Node], role: Role) -> Iterator[str]:
    for side, own, ports in (("input", kind.inputs, role.inputs), ("output", kind.outputs, role.outputs)):
        for port, wanted in ports.items():
            if port not in own and not wanted.optional:
                yield f"it has no {side} `{port}: {wanted.type}`"
            elif port in own and own[port].type != wanted.type:
                yield f"its {side} `{port}` is {own[port].type} and not {wanted.type}"
    always = {port for port, given in role.inputs.items() if not given.optional}
    for port, wanted in kind.inputs.items():
        if not wanted.optional and port not in always:
            yield f"it needs an input `{port}`, which the role does not always give"


def ports_of(target: str, trusted: Sequence[str] = ("nodes",)) -> Ports:
    """The ports a node class states."""
    kind = node_class(target, trusted)
    return Ports(dict(kind.inputs), dict(kind.outputs))
