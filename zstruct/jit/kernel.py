"""What a function is to the compiler: a kernel, a helper of kernels, or a primitive.

A file of kernels is plain Python and loads no Numba. `kernel` marks what others call, `helper` what
kernels call, and `primitive` what only LLVM can say. A kernel is compiled when it is first called.
Until then Python can run it as it is, helpers and all, which for small inputs takes less time than to
load Numba, let alone to compile: see `Kernel.for_work`. Both ways give the same bits, but where
``fastmath`` lets the compiler reorder sums; kernels that have it are always compiled.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import math
import sys
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any, TypeVar

import numpy as np

from zstruct.jit.cache import is_kept
from zstruct.jit.registry import FACTORIES, HELPERS, KERNELS

__all__ = ["Kernel", "compiled_always", "helper", "kernel", "primitive", "stands_for"]

# Seconds that Python may spend on the kernels of a file, in a process, before they are loaded from
# disk, or compiled if they are not there: about what that takes. Once others are loaded, Numba is there.
_LOADING, _MORE, _COMPILING = 0.4, 0.02, 1.5

_Function = TypeVar("_Function", bound=Callable[..., Any])

_spent: dict[str, float] = {}
_always = False


class Kernel:
    """A function that is compiled when it is first called.

    Parameters
    ----------
    function
        What to compile.
    options
        Numba's, besides those that all kernels have.
    takes
        Seconds to compile it, about, for who waits; 1 or more.
    """

    def __init__(self, function: FunctionType, options: dict[str, Any], takes: int = 1):
        functools.update_wrapper(self, function)
        self.__name__ = function.__name__
        self.function, self.takes = function, takes
        self._compiled: Any = None
        KERNELS[self] = function, options

    def __call__(self, *arguments: Any) -> Any:
        """Call the compiled function; compile it first if nobody did."""
        return (self._compiled or self.compiled())(*arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return _find, (self.__module__, self.__name__)

    def compiled(self) -> Any:
        """Return Numba's function; no code is made, or loaded from disk, before that is called."""
        if self._compiled is None:
            from zstruct.jit.compiler import compiled

            self._compiled = compiled(self, self.takes)
        return self._compiled

    def interpreted(self, *arguments: Any) -> Any:
        """Call the function as Python runs it."""
        with np.errstate(all="ignore"):  # machine integers wrap, and kernels are silent about that
            return self.function(*arguments)

    def for_work(
        self, seconds: float | Callable[[], float], otherwise: Callable[..., Any] | None = None
    ) -> Callable[..., Any]:
        """Return what to call: the function as Python runs it, while that costs little, or the kernel.

        Parameters
        ----------
        seconds
            What Python will take for the call, roughly, or what says so, if that takes time. All calls of
            kernels of the same file draw on one allowance.
        otherwise
            What Python runs in place of the function, and gives the same: NumPy's way to do it, say.
        """
        if self._compiled is None and not _always:
            family = self.__module__
            spent = _spent.get(family, 0.0) + (seconds() if callable(seconds) else seconds)
            limit = _MORE if "numba" in sys.modules else _LOADING
            if spent <= limit or (spent <= _COMPILING and not is_kept(family)):
                _spent[family] = spent
                return otherwise or self.interpreted
            _spent[family] = math.inf  # never again
        return self


@contextlib.contextmanager
def compiled_always() -> Iterator[None]:
    """Have kernels compiled, however small the work is, in all threads."""
    global _always
    before, _always = _always, True
    try:
        yield
    finally:
        _always = before


def _find(module: str, name: str) -> Kernel:
    found: Kernel = getattr(importlib.import_module(module), name)
    return found


def kernel(function: Any = None, *, takes: int = 1, **options: Any) -> Any:
    """Mark a function that others call; a decorator, with options or without (see `Kernel`)."""
    if function is None:
        return functools.partial(kernel, takes=takes, **options)
    return Kernel(function, options, takes)


def helper(function: Any = None, **options: Any) -> Any:
    """Mark a function that kernels call; a decorator, with Numba's options or without."""
    if function is None:
        return functools.partial(helper, **options)
    HELPERS[function] = options
    return function


def primitive(signature: Any, emit: Callable[..., Any]) -> Callable[[_Function], _Function]:
    """Mark a function whose body says what Python does in place of LLVM instructions.

    Parameters
    ----------
    signature
        As Numba writes it, ``"int64(int64, int64)"``; or a function that makes one of `numba.types` and
        the types of the arguments.
    emit
        Adds the instructions: takes the context, the builder, the signature and the arguments as
        LLVM has them, and returns the result, or None.
    """

    def mark(function: _Function) -> _Function:
        def make() -> Any:
            from zstruct.jit.compiler import intrinsic_for

            return intrinsic_for(function, signature, emit)

        FACTORIES[function] = functools.cache(make)
        return function

    return mark


def stands_for(module: str, name: str) -> Callable[[_Function], _Function]:
    """Mark a function that is for Python what something that Numba knows is for the compiler."""

    def mark(function: _Function) -> _Function:
        FACTORIES[function] = lambda: getattr(importlib.import_module(module), name)
        return function

    return mark
