"""YAML, variables and flags become frozen data (`pipelines.schema.settings`), here and nowhere else.

The way of a command line: `flags` puts the variables of the environment (`variables`) before what was typed; `compose` lets
Hydra compose the tree, watched by `guard`, its complaints reworded by `hydra_errors` and `suggestions`; `settings` checks
and freezes what came out, with a module for each kind of file: `pipeline`, `variants`, `tier`, `device`, `options`. `auto`
decides what depends on the device, `cards` knows cards by name, `catalog` reads single files, and `effective` explains
where each value came from.
"""
