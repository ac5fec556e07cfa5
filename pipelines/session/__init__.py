"""From settings to a job: what there is (inventory), what may be chosen, what is chosen, what was learned."""
