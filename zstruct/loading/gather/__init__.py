"""From lists of structures to packed batches: rows of decoded blocks, copied by kernels."""
