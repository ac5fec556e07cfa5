"""Nodes that put new words in the place of old ones: lines with times, speech fitted to them, and the mix."""
