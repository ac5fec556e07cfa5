"""Which variant each node uses: sets of variants from the best down, the best that fits, and what more memory would buy."""
