"""Carries plans out: devices, lanes, records. The only layer with clocks, files and heavy libraries."""
