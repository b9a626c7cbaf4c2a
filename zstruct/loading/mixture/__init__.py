"""Several stores as one dataset: their parts, how much of each an epoch has, and what batches have."""
