"""Cards known by name, from `conf/cards.yaml`: the sizes `device=simulated device.name=...` stands for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines.cli.catalog import load_yaml
from pipelines.schema.errors import UsageError, did_you_mean
from pipelines.schema.hardware import Card
from pipelines.schema.units import GIB, MIB

_MAKERS = re.compile(r"^(nvidia\s+)?(geforce\s+|tesla\s+)?", re.IGNORECASE)


def read_cards(search: Sequence[Path]) -> Mapping[str, Card]:
    """Every known card by name; a user's `cards.yaml` (`-cd`) adds to the shipped one and outranks it."""
    cards: dict[str, Card] = {}
    for folder in reversed(search):
        file = folder / "cards.yaml"
        if file.is_file():
            try:
                data = load_yaml(file.read_text(encoding="utf-8"))
                cards |= {str(name): _card(str(name), row) for name, row in data.items()}
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise UsageError(
                    f"{file} must map card names to {{memory: GB, compute: 8.6}}: {' '.join(str(error).split())}."
                ) from None
    return cards


def _card(name: str, row: Mapping[str, float]) -> Card:
    major, _, minor = str(row["compute"]).partition(".")
    total = int(row["reported"]) * MIB if "reported" in row else int(row["memory"]) * GIB
    return Card(name, total, (int(major), int(minor or 0)))


def find_card(name: str, search: Sequence[Path]) -> Card:
    """The card of that name; "NVIDIA GeForce" and capitals do not matter. Raises `UsageError` with the nearest names."""
    cards = read_cards(search)
    wanted = _plain(name)
    for known, card in cards.items():
        if _plain(known) == wanted:
            return card
    raise UsageError(f"No card {name!r} is known here; give device.total= instead. {did_you_mean(name, cards)}")


def _plain(name: str) -> str:
    return " ".join(_MAKERS.sub("", name.strip()).lower().split())
