"""Real-size networks with random weights: ours against the libraries' own front ends."""
