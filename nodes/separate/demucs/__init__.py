"""Hybrid Transformer Demucs: the singing by a trained network."""

from nodes.separate.demucs.node import Demucs

__all__ = ["Demucs"]
