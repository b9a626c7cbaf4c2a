"""Kernels of similarity: fingerprints of structures, pairs with like ones, and superpositions."""
