"""What the steps of pipelines do: a folder a role, a file or a package a variant; `audio`, `text` and `weights` are shared helpers.

Nodes import `pipelines.schema` and nothing else of `pipelines`.
"""
