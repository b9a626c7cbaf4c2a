"""What makes labels: a function of batches, or what makes a calculator of ASE; told apart, named, compared.

Two runs with the same name and version, or with a model in the same state, make the same labels: then what
the first of them left can be gone on with.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from zstruct.arguments import shown
from zstruct.errors import ArgumentTypeError

__all__ = ["is_factory", "name_of", "reason_of", "state_of"]

_LONGEST = 300  # characters of a reason


def is_factory(how: Any) -> bool:
    """Return whether this makes calculators of ASE: it takes nothing. What takes a batch is a function.

    Raises
    ------
    ArgumentTypeError
        If it is neither.

    Examples
    --------
    >>> is_factory(lambda: None), is_factory(lambda batch: {})
    (True, False)
    """
    if hasattr(how, "get_potential_energy") and not isinstance(how, type):
        raise ArgumentTypeError(
            f"how is a calculator, {shown(how)}, and one is made for each process: give what makes it, as in "
            "lambda: EMT()"
        )
    if not callable(how):
        raise ArgumentTypeError(
            "how is a function of a batch that returns labels by name, or what makes a calculator of ASE, "
            f"not {shown(how)}; arrays are kept by zstruct.labels.add"
        )
    if hasattr(how, "forward"):  # of torch, whose signature says nothing
        return False
    try:
        parameters = inspect.signature(how).parameters.values()
    except (TypeError, ValueError):
        return isinstance(how, type)
    given = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [one for one in parameters if one.kind in given and one.default is one.empty]
    several = any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in parameters)
    if isinstance(how, type):
        if needed:
            raise ArgumentTypeError(
                f"{how.__name__} needs {', '.join(one.name for one in needed)} to make a calculator: give "
                f"lambda: {how.__name__}(...)"
            )
        return True
    if len(needed) > 1:
        raise ArgumentTypeError(
            f"how is called with one batch, and {name_of(how)} needs "
            f"{', '.join(one.name for one in needed)}: use functools.partial for the others"
        )
    return not needed and not several


def name_of(how: Any) -> str:
    """Return what a function, a class or an object is called, with its module.

    Examples
    --------
    >>> name_of(functools.partial(np.linalg.norm, axis=1))
    'numpy.linalg.norm'
    """
    while isinstance(how, functools.partial):
        how = how.func
    named = how if hasattr(how, "__qualname__") else type(how)
    return f"{named.__module__}.{named.__qualname__}"


def reason_of(error: BaseException) -> str:
    """Return what went wrong, in a line.

    Examples
    --------
    >>> reason_of(ValueError("no convergence"))
    'ValueError: no convergence'
    """
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def state_of(how: Callable[..., Any]) -> str | None:
    """Return the SHA-256 of the state of a model of torch, or None for what has none.

    That of its structure, as it is printed, and of the names, dtypes, shapes and numbers of its tensors.
    """
    read = getattr(how, "state_dict", None)
    state = read() if callable(read) else None
    if not isinstance(state, Mapping) or not state:
        return None
    found = hashlib.sha256(f"{name_of(how)}\n{how}".encode())
    for name, tensor in state.items():
        if not hasattr(tensor, "detach"):
            found.update(f"{name} {tensor!r}\n".encode())
            continue
        array = tensor.detach().cpu()
        found.update(f"{name} {array.dtype} {tuple(array.shape)}\n".encode())
        try:
            numbers = array.numpy()
        except TypeError:  # of a dtype that NumPy does not know: single precision holds it
            numbers = array.float().numpy()
        found.update(np.ascontiguousarray(numbers).reshape(-1).view(np.uint8).data)
    return found.hexdigest()
