"""Help for nodes that read weights."""
