"""Load seconds and makespans that no plan of a problem can go below."""
