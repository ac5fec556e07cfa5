"""The command line: one verb a file, and the border where YAML becomes frozen data."""
