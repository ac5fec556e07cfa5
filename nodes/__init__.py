"""What the steps of pipelines do: one small file a node. Nodes know `pipelines.schema` and nothing else of ours."""
