"""espeak-ng: a text by a formant synthesiser, and the library for other nodes."""

from nodes.speak.espeak.node import Espeak

__all__ = ["Espeak"]
