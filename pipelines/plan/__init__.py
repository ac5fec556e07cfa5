"""Problem in, plan out: a pure function, its proofs, its explanations and the independent checker."""
