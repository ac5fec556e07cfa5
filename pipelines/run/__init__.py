"""Executes plans: two lanes of steps, recovery from memory trouble, artifacts and records. Loads models, as only
`footprints.measurement_process` does besides."""
