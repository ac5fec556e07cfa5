"""Good plans for problems too large to solve exactly: orders built, improved and written out within a budget."""
