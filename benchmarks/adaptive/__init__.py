"""The adaptive control measured: detection, latency and gaps on a clock of our own, yielding, low memory, first sound of a real chain."""
