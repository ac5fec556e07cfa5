"""Figures about memory: how well it is predicted, held, loaded and given back. `python -m benchmarks.memory`."""
