"""Sound handed on piece by piece while it is being made."""
