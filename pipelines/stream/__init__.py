"""Streaming: nodes that give their sound to the next one piece by piece, while it is being made."""
