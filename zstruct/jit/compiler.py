"""Kernels as Numba has them: what they call is compiled too, and code is kept on disk.

A file of kernels has a second namespace, for the compiler: the same names, but helpers and kernels are
Numba's functions there and primitives are instructions. This is loaded when a kernel is called for the
first time, for Numba takes a while to start.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import pickle
import sys
import threading
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numba
from numba import types
from numba.core import compiler, serialize, sigutils
from numba.extending import intrinsic

from zstruct.jit import cache
from zstruct.jit.notice import SECONDS, watch
from zstruct.jit.registry import FACTORIES, HELPERS, KERNELS

__all__ = ["compiled", "intrinsic_for"]

_njit: Any = numba.njit  # its hints know fewer options than it takes
_lock = threading.RLock()
_namespaces: dict[str, dict[str, Any]] = {}
_translated: dict[Any, Any] = {}


def compiled(kernel: Any, takes: int) -> Any:
    """Return Numba's function for a kernel of the registry, which takes some seconds to compile."""
    watch()
    function, _ = KERNELS[kernel]
    SECONDS[function.__module__, function.__name__] = takes
    with _lock:
        _namespace(function.__module__)
        return _translate(kernel, function.__module__)


def _namespace(module: str) -> dict[str, Any]:
    """Return what the names in a file of kernels mean to the compiler."""
    if module not in _namespaces:
        names = vars(sys.modules[module])
        namespace = _namespaces[module] = dict(names)
        # First all of them, for functions call each other in any order.
        namespace.update({name: _translate(value, module) for name, value in names.items()})
    return _namespaces[module]


def _translate(value: Any, module: str) -> Any:
    try:
        known = _translated.get(value)
    except TypeError:  # not hashable: a constant
        return value
    if known is not None:
        return known
    if value in KERNELS:
        function, options = KERNELS[value]
    elif isinstance(value, FunctionType) and value in FACTORIES:
        _translated[value] = FACTORIES[value]()
        return _translated[value]
    elif isinstance(value, FunctionType) and value in HELPERS:
        function, options = value, {"no_cpython_wrapper": True, **HELPERS[value]}
    else:
        return value
    if function.__module__ != module:
        _namespace(function.__module__)
        return _translated[value]
    copied = FunctionType(function.__code__, _namespaces[module], function.__name__, function.__defaults__)
    copied.__module__, copied.__qualname__ = function.__module__, function.__qualname__
    translated = _translated[value] = _njit(nogil=True, no_cfunc_wrapper=True, **options)(copied)
    translated._cache = _Kept(copied)
    translated.get_call_template = functools.partial(_template, translated.get_call_template)
    return translated


def _template(get: Callable[..., Any], args: Any, kws: Any) -> Any:
    """Return what Numba calls: the same function for constants as for variables, compiled once."""
    return get([types.unliteral(of) for of in args], {name: types.unliteral(of) for name, of in kws.items()})


def intrinsic_for(function: Callable[..., Any], signature: Any, emit: Callable[..., Any]) -> Any:
    """Return Numba's form of a primitive; see `zstruct.jit.kernel.primitive`."""
    if isinstance(signature, str):
        arguments, result = sigutils.normalize_signature(signature)
        whole = result(*arguments)

        def sign(*_: Any) -> Any:
            return whole

    else:

        def sign(*arguments: Any) -> Any:
            return signature(types, *arguments)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        made = emit(context, builder, signature, arguments)
        return context.get_dummy_value() if made is None else made

    def define(typingctx: Any, *arguments: Any) -> Any:
        return sign(*arguments), generate

    define.__name__ = function.__name__
    own = list(inspect.signature(function).parameters.values())
    first = inspect.Parameter("typingctx", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    define.__signature__ = inspect.Signature([first, *own])  # type: ignore[attr-defined]
    return intrinsic(define)


class _Kept:
    """The cache of one function, as Numba calls it: compiled code by types of arguments."""

    def __init__(self, function: FunctionType):
        self._module, self._name = function.__module__, function.__qualname__
        self.cache_path = ""

    def load_overload(self, signature: Any, context: Any) -> Any:
        """Return the code for a signature; None if it is not kept."""
        context.refresh()
        kept = cache.load(self._module, self._file(signature, context.codegen()))
        if kept is None:
            return None
        return compiler.CompileResult._rebuild(context, *pickle.loads(kept))

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keep the code for a signature."""
        if not result.library.has_dynamic_globals:
            cache.save(self._module, self._file(signature, result.codegen), serialize.dumps(result._reduce()))

    def _file(self, signature: Any, codegen: Any) -> str:
        """Return the name of the file for a signature, this processor and this Python."""
        key = (signature, codegen.magic_tuple(), numba.__version__, sys.version_info[:2], sys.abiflags)
        return f"{self._name}-{hashlib.sha256(repr(key).encode()).hexdigest()[:32]}.code"

    def enable(self) -> None:
        """Do nothing: the cache is always on."""

    def disable(self) -> None:
        """Do nothing: the cache is always on."""

    def flush(self) -> None:
        """Do nothing: what is kept of other sources is not found."""
