"""A variant's weights: where they lie, how they are fetched, what bytes they are. Nothing here reads a model."""

from pipelines.weights.digests import digest_of
from pipelines.weights.locations import WeightsLocation, locate
from pipelines.weights.spec import read_spec

__all__ = ["WeightsLocation", "digest_of", "locate", "read_spec"]
