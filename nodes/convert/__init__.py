"""Nodes that change whose voice is heard and leave the words alone."""
