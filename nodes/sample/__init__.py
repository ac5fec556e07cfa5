"""The song with ground truth: a library behind `headroom sample`, not a node."""
