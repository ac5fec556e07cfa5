"""Headroom's engine: config -> graph -> problem -> plan -> run -> record, in layers that import only downwards."""

__version__ = "0.1.0"
