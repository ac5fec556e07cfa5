"""A variant's weights: where they lie, how they are fetched, what bytes they are. Nothing here reads a model."""

from pipelines.weights.digest import digest_of
from pipelines.weights.locate import Located, locate
from pipelines.weights.need import Need, Source

__all__ = ["Located", "Need", "Source", "digest_of", "locate"]
