"""Kernels: functions that Numba compiles when they are first needed, and where their code is kept.

`zstruct.jit.kernel` is all that a file of kernels imports, and it loads no Numba; the compiler and the
cache are loaded with the first kernel that is compiled.
"""
