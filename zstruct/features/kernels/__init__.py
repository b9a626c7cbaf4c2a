"""Kernels: packed arrays in, arrays out, no Python objects, no I/O, no GIL.

A family of kernels is a file; see `zstruct.jit.kernel` for when they are compiled.
"""
