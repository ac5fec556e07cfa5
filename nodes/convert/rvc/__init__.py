"""RVC: the voice of a trained checkpoint."""

from nodes.convert.rvc.node import Rvc

__all__ = ["Rvc"]
