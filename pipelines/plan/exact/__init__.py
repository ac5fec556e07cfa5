"""The least load seconds, proved: best-first search for small or regular problems."""
