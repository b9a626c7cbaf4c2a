"""Kernels: packed arrays in, arrays out, no Python objects, no I/O, no GIL."""
