"""A variant's weights: where they lie, how they are fetched, what bytes they are. Nothing here reads a model."""

from pipelines.run.weights.digest import digest_of
from pipelines.run.weights.locate import Located, locate, weights_home
from pipelines.run.weights.need import Need, Source

__all__ = ["Located", "Need", "Source", "digest_of", "locate", "weights_home"]
