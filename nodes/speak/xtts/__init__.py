"""XTTS v2: a text in the voice of a reference recording, streamed."""

from nodes.speak.xtts.node import Xtts

__all__ = ["Xtts"]
