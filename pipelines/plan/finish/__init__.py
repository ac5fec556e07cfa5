"""From an order of loads and runs to a plan: runs put together, loads hidden behind runs, every number worked out."""
