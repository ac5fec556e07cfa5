"""Cards by name (`conf/cards.yaml`), for `device=simulated device.name=...`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.config import catalog
from pipelines.schema.errors import UsageError, did_you_mean
from pipelines.schema.hardware import Card
from pipelines.schema.settings import DeviceSpec
from pipelines.schema.units import GIB, MIB, format_bytes

_MAKERS = re.compile(r"^(nvidia\s+)?(geforce\s+|tesla\s+)?", re.IGNORECASE)

#: Bytes of a simulated card that is given neither a size nor a known name.
DEFAULT_BYTES = 8 * GIB


def simulated_card(device: DeviceSpec, search: Sequence[Path]) -> Card:
    """The card `device.name` and `device.total` describe. A known name brings its size unless `device.total` is given."""
    if device.name and device.total is None:
        return find_card(device.name, search)
    total = DEFAULT_BYTES if device.total is None else device.total
    known = _named(device.name, read_cards(search)) if device.name else None
    if known and device.cards_only and total > known.total_bytes:
        raise UsageError(
            f"MAX_CUDA_VRAM asks for {format_bytes(total)}, which is more than {known.name} has ({format_bytes(known.total_bytes)})."
        )
    return Card(device.name or "simulated card", total, known.compute if known else None)


def read_cards(search: Sequence[Path]) -> Mapping[str, Card]:
    """Every known card by name; a user's `cards.yaml` (`-cd`) adds to the shipped one and outranks it."""
    cards: dict[str, Card] = {}
    for folder in reversed(search):
        file = folder / "cards.yaml"
        if file.is_file():
            try:
                data = catalog.load_yaml(file.read_text(encoding="utf-8"))
                cards |= {str(name): _card(str(name), row) for name, row in data.items()}
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise UsageError(
                    f"{file} must map card names to {{memory: GB, compute: 8.6}}: {' '.join(str(error).split())}."
                ) from None
    return cards


def _card(name: str, row: Mapping[str, Any]) -> Card:
    major, _, minor = str(row["compute"]).partition(".")
    total = int(row["reported"]) * MIB if "reported" in row else int(float(row["memory"]) * GIB)
    return Card(name, total, (int(major), int(minor or 0)))


def find_card(name: str, search: Sequence[Path]) -> Card:
    """The card of that name; "NVIDIA GeForce" and capitals do not matter. Raises `UsageError` with the nearest names."""
    cards = read_cards(search)
    if card := _named(name, cards):
        return card
    raise UsageError(f"No card {name!r} is known here; give device.total= instead. {did_you_mean(name, cards)}")


def _named(name: str, cards: Mapping[str, Card]) -> Card | None:
    return next((card for known, card in cards.items() if _plain(known) == _plain(name)), None)


def _plain(name: str) -> str:
    return " ".join(_MAKERS.sub("", name.strip()).lower().split())
