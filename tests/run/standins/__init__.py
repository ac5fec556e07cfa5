"""Nodes with known memory, for tests of everything that loads and runs nodes."""
