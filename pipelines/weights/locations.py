"""Where a variant's weights lie: an explicit path, the weights folder, the caches of libraries, or nowhere, saying where was looked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.schema.config import Variant
from pipelines.schema.weights import WeightsSpec
from pipelines.weights.caches import cache_places
from pipelines.weights.environments import built_python
from pipelines.weights.modules import modules_fault


@dataclass(frozen=True, slots=True)
class WeightsLocation:
    """What was found of a variant.

    Attributes
    ----------
    path : the file or folder of its weights; None where they are missing, none are needed, or its modules are missing.
    where : what kind of place `path` is, in words.
    looked : the places that were looked in, where its weights are in none of them.
    unmet : what else is missing, modules or an environment, as a sentence's middle; `""` where nothing is.
    fetchable : whether `headroom weights fetch` brings all that is missing.
    """

    path: Path | None = None
    where: str = ""
    looked: tuple[str, ...] = ()
    unmet: str = ""
    fetchable: bool = False

    @property
    def missing(self) -> str:
        """All that is missing, as a sentence's middle; `""` where the variant can be used."""
        return self._missing(" or ".join(self.looked))

    @property
    def brief(self) -> str:
        """`missing`, naming the first place only: for lists of many variants."""
        return self._missing(self.looked[0] if self.looked else "")

    @property
    def lacks_only_weights(self) -> bool:
        """Whether weights are missing and nothing else is."""
        return bool(self.looked) and not self.unmet

    def _missing(self, places: str) -> str:
        return " and ".join(filter(None, [self.unmet, places and f"no weights in {places}"]))


def locate(variant: Variant, home: Path) -> WeightsLocation:
    """Find what `variant` needs: its modules or an environment of its own, then its weights. Reads none, needs no network.

    home: the weights folder.
    """
    found = _find_weights(variant.weights, home)
    fault = "" if variant.environment else modules_fault(variant.requires)
    if fault:
        return WeightsLocation(unmet=fault)
    if variant.environment and built_python(variant.environment) is None:
        fetchable = found.fetchable or not found.missing
        return replace(found, unmet="its own environment is not built", fetchable=fetchable)
    return found


def fetch_command(variant: Variant) -> str:
    """What to type to get its weights and its environment."""
    consent = f" accept_licence=[{variant.stem}]" if variant.needs_consent else ""
    return f"headroom weights fetch {variant.origin}{consent}"


def _find_weights(spec: WeightsSpec | None, home: Path) -> WeightsLocation:
    if spec is None:
        return WeightsLocation()
    if spec.path is not None:
        path = Path(spec.path).expanduser()
        if path.exists():
            return WeightsLocation(path=path, where="explicit path")
        return WeightsLocation(looked=(str(path),))
    folders = [home / folder for folder in spec.folders]
    for folder in folders:
        if folder.exists():
            return WeightsLocation(path=folder, where="weights folder")
    caches = cache_places(spec)
    for cache in caches:
        if cache.is_whole():
            return WeightsLocation(path=cache.folder, where=cache.where)
    looked = (*folders, *(cache.folder for cache in caches))
    return WeightsLocation(looked=tuple(map(str, looked)), fetchable=bool(spec.sources))
