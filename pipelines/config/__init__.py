"""YAML, variables and flags become frozen data, here and nowhere else."""
