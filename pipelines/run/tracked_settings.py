"""An item's settings that track which of them a task reads: only those decide later whether its result can be reused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

#: In place of names: the task iterated over the settings, so it may depend on all of them.
ALL = "*"


class TrackedSettings(Mapping[str, Any]):
    """`settings` as a mapping. names: what was read so far, also where it is not set; `ALL` once they were iterated over."""

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


def tracked_values(settings: Mapping[str, Any], names: Iterable[str], files: Mapping[str, str]) -> dict[str, Any]:
    """The values of `settings` under `names`, None where they are not set. files: digests by path; a path is replaced by its digest."""

    def content(value: Any) -> Any:
        return files.get(str(value), value)

    whole = {name: content(value) for name, value in settings.items()}
    return {name: whole if name == ALL else whole.get(name) for name in sorted(names)}
