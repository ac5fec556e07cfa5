"""The UltraStar song file: notes with words, and the audio they belong to."""

from nodes.ultrastar.song import Song

__all__ = ["Song"]
