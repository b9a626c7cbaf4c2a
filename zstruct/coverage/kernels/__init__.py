"""Kernels of distances between vectors."""
