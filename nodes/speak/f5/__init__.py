"""F5-TTS: a text in the voice of a reference recording whose words are known."""

from nodes.speak.f5.node import F5

__all__ = ["F5"]
