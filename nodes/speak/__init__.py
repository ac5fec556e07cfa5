"""Nodes that say a text. Each variant is a file; what they share is `sentences` (how a text is cut) and `narrate`."""
