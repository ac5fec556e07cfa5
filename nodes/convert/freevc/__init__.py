"""FreeVC: speech in the voice of a reference recording."""

from nodes.convert.freevc.node import FreeVc

__all__ = ["FreeVc"]
