"""Words and pitch to notes: what is sung, on which syllable."""

from nodes.notes.node import Notes

__all__ = ["Notes"]
