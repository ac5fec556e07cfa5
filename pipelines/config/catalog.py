"""What the config tree offers, read straight from its folders: option names of a group, and one option's raw YAML."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pipelines
from pipelines.schema.errors import UsageError, did_you_mean


def conf_dir() -> Path:
    """The config tree that ships with Headroom: inside the package when installed, beside it in a checkout."""
    package = Path(pipelines.__file__).parent
    return package / "conf" if (package / "conf").is_dir() else package.parent / "conf"


def options(search: Sequence[Path], group: str) -> list[str]:
    """Names of the options of `group` in every folder of the search path, sorted, `auto` left out."""
    found = {file.stem for folder in search for file in (folder / group).glob("*.yaml")}
    return sorted(found - {"auto"})


def find(search: Sequence[Path], group: str, name: str) -> Path:
    """The first file of the search path for an option. `UsageError` with the nearest names where there is none."""
    for folder in search:
        file = folder / group / f"{name}.yaml"
        if file.is_file():
            return file
    raise UsageError(f"There is no {group}/{name}. {did_you_mean(name, options(search, group))}")


def read(search: Sequence[Path], group: str, name: str) -> dict[str, Any]:
    """One option's YAML as plain data: no interpolation, no tags, no objects. Repeated keys are faults."""
    file = find(search, group, name)
    try:
        data = load_yaml(file.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is not valid YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(data, dict):
        raise UsageError(f"{file} must hold named fields.")
    return data


def load_yaml(text: str) -> Any:
    """Plain YAML data. Raises `ValueError` for bad YAML, tags that make objects, and keys that stand twice."""
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc]
        pass

    def mapping(loader: Any, node: Any) -> dict[Any, Any]:
        keys = [loader.construct_object(key) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(f"the key {key!r} stands twice (line {node.start_mark.line + 1})")
        loader.flatten_mapping(node)
        return {loader.construct_object(k, deep=True): loader.construct_object(v, deep=True) for k, v in node.value}

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        return yaml.load(text, Loader=Loader)  # noqa: S506 - a subclass of the safe loader
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
