"""An item's settings that remember what a task looked up in them: only that decides later whether its result still holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

#: Stands for all of them, of a task that went through them.
ALL = "*"


class Consulted(Mapping[str, Any]):
    """`settings` as they are. names: what was looked up, also where it is not set; `ALL` once somebody went through them."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self.names = set[str]()

    def __getitem__(self, name: str) -> Any:
        self.names.add(name)
        return self._settings[name]

    def __iter__(self) -> Iterator[str]:
        self.names.add(ALL)
        return iter(self._settings)

    def __len__(self) -> int:
        self.names.add(ALL)
        return len(self._settings)


def consulted(settings: Mapping[str, Any], names: Iterable[str], files: Mapping[str, str]) -> dict[str, Any]:
    """What `settings` say under `names`, None where they say nothing, for comparing. files: digests by path, which replace it."""

    def content(value: Any) -> Any:
        return files.get(str(value), value)

    whole = {name: content(value) for name, value in settings.items()}
    return {name: whole if name == ALL else whole.get(name) for name in sorted(names)}
