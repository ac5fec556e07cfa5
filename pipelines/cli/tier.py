"""`tier=auto` and cards by name: what the `device` group says becomes a tier's name and a size, before the run is composed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.cli import catalog
from pipelines.schema.errors import UsageError, did_you_mean
from pipelines.schema.hardware import Card, classify
from pipelines.schema.units import GIB, MIB, parse_bytes

#: A simulated card that is given neither a size nor a known name.
DEFAULT_SIZE = "8 GiB"


def detected_tier(device: Mapping[str, Any], search: Sequence[Path]) -> str:
    """The tier that `tier=auto` stands for: of the simulated card, of the CPU, or of the card the driver tells of."""
    kind = device.get("kind")
    if kind == "cpu":
        return "cpu"
    if kind == "simulated":
        return classify(simulated_card(device, search))[0]
    from pipelines.run.detect import detect

    found = detect()
    return found.tier if kind == "auto" or found.tier != "cpu" else "modest"


def simulated_card(device: Mapping[str, Any], search: Sequence[Path]) -> Card:
    """The card `device.name` and `device.total` describe. A known name brings its size unless `device.total` says otherwise."""
    name = device.get("name")
    known = find_card(str(name), search) if name else None
    size = device.get("total")
    if known is not None and size is None:
        return known
    if size is None and name:
        raise UsageError(
            f"There is no card {name!r} to simulate. {did_you_mean(str(name), [c.name for c in known_cards(search)])}"
        )
    try:
        total = parse_bytes(size or DEFAULT_SIZE)
    except ValueError as error:
        raise UsageError(f"device.total: {error}") from None
    return Card(str(name or "simulated card"), total, known.compute if known else None)


def find_card(name: str, search: Sequence[Path]) -> Card | None:
    """A card of `conf/cards.yaml` by its name, with or without the maker's."""
    plain = name.upper().replace("NVIDIA", "").replace("GEFORCE", "").strip()
    cards = known_cards(search)
    return next((card for card in cards if card.name.upper() == plain), None)


def known_cards(search: Sequence[Path]) -> list[Card]:
    """Every card that can be simulated by name."""
    for folder in search:
        file = folder / "cards.yaml"
        if file.is_file():
            data = catalog.load_yaml(file.read_text(encoding="utf-8"))
            return [_card(str(name), facts) for name, facts in data.items()]
    return []


def _card(name: str, facts: Mapping[str, Any]) -> Card:
    total = int(facts["reported"]) * MIB if "reported" in facts else int(float(facts["memory"]) * GIB)
    major, _, minor = str(facts.get("compute", "0.0")).partition(".")
    return Card(name, total, (int(major), int(minor or 0)))
