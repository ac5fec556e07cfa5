"""Nodes that say a text. Each variant is a package; `narrate` has what they share."""
