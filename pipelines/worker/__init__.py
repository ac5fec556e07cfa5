"""Nodes in processes of their own."""
