"""Nodes that part the singing from the rest of a mix."""
