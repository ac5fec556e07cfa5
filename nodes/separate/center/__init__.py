"""The singing without a network: what is in the middle of the stereo image and has a melody."""

from nodes.separate.center.node import Center

__all__ = ["Center"]
