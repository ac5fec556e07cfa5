"""Nodes that tell words and when they are said or sung."""
