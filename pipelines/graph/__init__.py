"""A pipeline's nodes joined by typed ports, and the problem it makes for given items. Pure: no torch, no files."""
