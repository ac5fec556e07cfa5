"""Fundamental frequency over time."""
