"""The singing and the rest of a mix, apart."""
