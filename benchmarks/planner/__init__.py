"""How good the planner's plans are, how fast it is, and against what: `python -m benchmarks.planner`."""
