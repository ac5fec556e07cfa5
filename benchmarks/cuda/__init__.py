"""Figures that only a CUDA card can give. `python -m benchmarks.cuda` on a machine that has one."""
