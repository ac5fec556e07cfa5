"""PocketSphinx: English words without a download, and lyrics aligned to singing."""

from nodes.transcribe.pocketsphinx.node import PocketSphinx

__all__ = ["PocketSphinx"]
