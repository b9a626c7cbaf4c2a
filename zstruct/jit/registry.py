"""What has been marked for the compiler: kernels, helpers of kernels and primitives.

`zstruct.jit.kernel` writes it down when a file of kernels is imported, and `zstruct.jit.compiler` reads it
when the first kernel is called.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

__all__ = ["FACTORIES", "HELPERS", "KERNELS"]

#: What each kernel is made of: its function, and Numba's options besides those that all kernels have.
KERNELS: dict[Any, tuple[FunctionType, dict[str, Any]]] = {}
#: Numba's options of each function that kernels call.
HELPERS: dict[Any, dict[str, Any]] = {}
#: What makes the compiler's form of each primitive.
FACTORIES: dict[Any, Callable[[], Any]] = {}
