"""What nodes share for weights: loading them without copies, their faults as sentences, their precision."""
