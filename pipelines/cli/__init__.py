"""The command line: one verb a file. `screen` draws; YAML becomes frozen data in `pipelines.config`."""
