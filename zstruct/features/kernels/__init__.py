"""Numba kernels: packed arrays in, arrays out, no Python objects, no I/O, no GIL.

A family of kernels is one file that imports no other: Numba keeps compiled code until the file that
defines it changes, and would go on using an old helper from elsewhere.
"""

from zstruct.compiling import announce

announce()
