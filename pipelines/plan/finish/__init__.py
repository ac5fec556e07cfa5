"""From an order of loads and runs to a plan: runs joined, loads hidden behind runs, every number computed."""
