"""Nodes that put another voice in place of the one in a sound and leave the words alone."""
