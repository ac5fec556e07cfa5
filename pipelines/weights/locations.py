"""Where a variant's weights lie: an explicit path, the weights folder, the caches of libraries, or nowhere, saying where was looked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.schema.config import Variant
from pipelines.weights.caches import cached
from pipelines.weights.environments import built_python
from pipelines.weights.modules import modules_fault
from pipelines.weights.spec import WeightsSpec


@dataclass(frozen=True, slots=True)
class WeightsLocation:
    """What was found for a variant. `missing` is empty where it can be used, else a sentence; `looked` are the places.

    where: what kind of place `path` is. fetchable: whether `headroom weights fetch` brings all that is missing.
    """

    path: Path | None = None
    missing: str = ""
    looked: tuple[str, ...] = ()
    where: str = ""
    fetchable: bool = False

    @property
    def brief(self) -> str:
        """`missing`, naming the first place only: for lists of many variants."""
        return self.missing.replace(" or ".join(self.looked), self.looked[0]) if self.looked else self.missing


def locate(variant: Variant, home: Path) -> WeightsLocation:
    """Find what `variant` needs without reading it: modules, or an environment of its own; then weights. Needs no network."""
    found = _weights(WeightsSpec.of(variant), home)
    fault = "" if variant.environment else modules_fault(variant.requires)
    if fault:
        return replace(found, path=None, missing=fault, fetchable=False)
    if variant.environment and built_python(variant.environment) is None:
        both = " and ".join(filter(None, ["its own environment is not built", found.missing]))
        return replace(found, missing=both, fetchable=found.fetchable or not found.missing)
    return found


def fetch_command(variant: Variant) -> str:
    """What to type to get its weights and its environment."""
    consent = f" accept_licence=[{variant.stem}]" if variant.needs_consent else ""
    return f"headroom weights fetch {variant.origin}{consent}"


def _weights(spec: WeightsSpec | None, home: Path) -> WeightsLocation:
    if spec is None:
        return WeightsLocation()
    if spec.path is not None:
        path = Path(spec.path).expanduser()
        if path.exists():
            return WeightsLocation(path=path, where="explicit path")
        return WeightsLocation(missing=f"no weights in {path}", looked=(str(path),))
    places = [home / folder for folder in spec.folders]
    for place in places:
        if place.exists():
            return WeightsLocation(path=place, where="weights folder")
    found, whose, more = cached(spec)
    if found is not None:
        return WeightsLocation(path=found, where=whose)
    looked = (*(str(place) for place in places), *more)
    return WeightsLocation(missing=f"no weights in {' or '.join(looked)}", looked=looked, fetchable=bool(spec.sources))
