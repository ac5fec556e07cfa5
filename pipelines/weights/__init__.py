"""A variant's weights: where they lie, how they are fetched, what bytes they are. Nothing here reads a model."""

from pipelines.weights.digests import digest_of
from pipelines.weights.locations import WeightsLocation, locate
from pipelines.weights.spec import Source, WeightsSpec

__all__ = ["Source", "WeightsLocation", "WeightsSpec", "digest_of", "locate"]
