"""The frozen data types every layer speaks in. Nothing here does work, reads a clock or imports a heavy library."""
