"""Where memory is counted and held: CPU, CUDA, and cards that are not there, behind one protocol."""
