"""Pickles read without executing anything in them: arrays of NumPy, plain values, and stand-ins for classes.

A pickle says which functions are to be called with what. Here those that it may name are a fixed few of this
module, which make arrays and records of what they are given; any other name ends the reading.
"""

from __future__ import annotations

import io
import math
import pickle
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from zstruct.errors import InputError
from zstruct.sources.opcodes import DAMAGED, DEEP, EXTENSION, FAR, LONG, SHARED, look_through

__all__ = ["Call", "Record", "loads", "shown"]

# What is said of a pickle that must not even be begun.
_REFUSED = {
    DAMAGED: "it is damaged or cut off",
    FAR: "it asks for a memory of more places than it has bytes, and is made to do harm",
    EXTENSION: "it calls by a number what only the program that wrote it knows",
    LONG: "it has integers of more than 64 bits",
    DEEP: "it has tuples in tuples without an end, and is made to do harm",
}
#: What is in a pickle, or is made of it, may take so many times its bytes, and so many more.
_TIMES, _MORE = 64, 1 << 20
_QUOTES = "'\""
_NAME = 80  # characters of names in messages
_SECONDS_PER_BYTE = 5e-7  # to look through it as Python does


def shown(said: str | Exception, most: int = 300) -> str:
    """Return a text of a pickle, or an error, as messages have it: short, and without control characters."""
    text = str(said)
    short = "".join(c if c.isprintable() else "?" for c in text[:most])
    return short if len(text) <= most else f"{short}..."


# Bytes of a value in a list; values that hold no others, and those of them that are of one size.
_PLACE = 8
_NUMBERS = frozenset({int, float, bool, type(None)})
_ALONE = _NUMBERS | {str, bytes, bytearray}


class _Room(threading.local):
    """Bytes that may yet be made of the pickle that a thread reads; None if it reads none."""

    left: int | None = None

    def take(self, nbytes: int) -> None:
        if self.left is None:
            return
        self.left -= nbytes
        if self.left < 0:
            raise pickle.UnpicklingError("it makes far more of its bytes than there are")


_ROOM = _Room()


class Record:
    """What stands in for an object of a class: what it was made of, and its state.

    A pickle gets a subclass for each class that it may name.

    Parameters
    ----------
    *arguments
        What it was made of.
    """

    __slots__ = ("arguments", "items", "state")
    arguments: tuple[Any, ...]
    items: list[Any]
    state: Any

    def __new__(cls, *arguments: Any) -> Record:
        """Make one of anything."""
        made = super().__new__(cls)
        made.arguments, made.state, made.items = arguments, None, []
        return made

    def __init__(self, *arguments: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def append(self, item: Any) -> None:
        """Take an item of what was a list."""
        self.items.append(item)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items.append((key, value))

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute that the object had."""
        state = self.state
        if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
            state = {**(state[0] or {}), **state[1]}
        return state.get(name, default) if isinstance(state, dict) else default


class Call:
    """What a pickle may call: a function of ours that can't be changed by it.

    Parameters
    ----------
    function
        What is called.
    """

    __slots__ = ("_function",)
    _function: Callable[..., Any]

    def __init__(self, function: Callable[..., Any]):
        object.__setattr__(self, "_function", function)

    def __setattr__(self, name: str, value: Any) -> None:
        raise pickle.UnpicklingError("it changes what it calls")

    def __call__(self, *arguments: Any) -> Any:
        """Call it."""
        made = self._function(*arguments)
        if isinstance(made, (bytes, bytearray)):
            _ROOM.take(len(made))
        return made


class _DType:
    """A dtype, of which a pickle says its byte order and nothing else."""

    __slots__ = ("dtype",)

    def __init__(self, code: Any, *rest: Any):
        if not isinstance(code, (str, bytes)):
            raise pickle.UnpicklingError("a dtype is none of numbers or texts")
        self.dtype = np.dtype(code if isinstance(code, str) else code.decode())
        if self.dtype.kind not in "biufSUO" or self.dtype.names is not None or not self.dtype.itemsize:
            kind = shown(str(code), _NAME)
            raise pickle.UnpicklingError(f"a dtype is {kind}, which is none of numbers or texts")

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 4 else None
        if order not in ("<", ">", "|", "=") or any(part is not None for part in state[2:5]):
            raise pickle.UnpicklingError("a dtype is made in a way of its own")
        if order in "<>" and self.dtype.kind != "O":
            self.dtype = self.dtype.newbyteorder(order)


class _Array(np.ndarray):
    """An array that takes its values from a pickle, if they are as many as it has places for."""

    #: Whether it has its values: NumPy would free what another might still look at.
    finished = False

    def __setitem__(self, key: Any, value: Any) -> None:
        if _ROOM.left is not None:
            raise pickle.UnpicklingError("it changes an array that it has made")
        super().__setitem__(key, value)

    def __setstate__(self, state: Any) -> None:
        if (
            self.finished
            or not isinstance(state, tuple)
            or len(state) != 5
            or not isinstance(state[2], _DType)
        ):
            raise pickle.UnpicklingError("an array is made in a way of its own")
        _, shape, kind, fortran, data = state
        dtype = kind.dtype
        count = _count(shape)
        wanted = (list, count) if dtype.kind == "O" else (bytes, count * dtype.itemsize)
        if isinstance(data, str) and dtype.kind != "O":  # bytes of Python 2
            data = data.encode("latin-1")
        if type(data) is not wanted[0] or len(data) != wanted[1]:
            raise pickle.UnpicklingError("an array has not as many values as places")
        _ROOM.take(count * dtype.itemsize)
        self.finished = True
        super().__setstate__((1, shape, dtype, fortran is True, data))  # type: ignore[arg-type]


def _count(shape: Any) -> int:
    """Return how many values an array has; -1 if its shape is none, or an endless one of nothing."""
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        return -1
    return math.prod(shape) if math.prod(n or 1 for n in shape) < _MORE or all(shape) else -1


def _empty(kind: Any, shape: Any, code: Any) -> Any:
    if kind is not _NDARRAY or shape != (0,):
        raise pickle.UnpicklingError("an array is made in a way of its own")
    return np.empty(0, np.uint8).view(_Array)


def _scalar(kind: Any, data: Any = None) -> Any:
    if not isinstance(kind, _DType) or kind.dtype.kind not in "biufSU" or not isinstance(data, (bytes, str)):
        raise pickle.UnpicklingError("a number is none")
    raw = data if isinstance(data, bytes) else data.encode("latin-1")
    _ROOM.take(kind.dtype.itemsize)
    return np.frombuffer(raw, kind.dtype, 1)[0]


def _buffer(data: Any, kind: Any, shape: Any, order: Any) -> Any:
    if not isinstance(kind, _DType) or kind.dtype.kind == "O" or not isinstance(data, (bytes, bytearray)):
        raise pickle.UnpicklingError("an array is made of something else than bytes")
    if _count(shape) < 0:
        raise pickle.UnpicklingError("an array is made in a way of its own")
    made = np.frombuffer(data, kind.dtype).reshape(shape, order="F" if order == "F" else "C").view(_Array)
    made.finished = True
    return made


def _encoded(text: Any, encoding: Any = "latin1") -> Any:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("bytes are written in a way of their own")
    return text.encode("latin-1")


_NDARRAY = Call(lambda *arguments: _refuse())


def _refuse() -> Any:
    raise pickle.UnpicklingError("an array is made in a way of its own")


_ARRAYS: dict[tuple[str, str], Call] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): Call(_DType),
    ("_codecs", "encode"): Call(_encoded),
    ("builtins", "bytes"): Call(lambda: b""),
    ("__builtin__", "bytes"): Call(lambda: b""),
}
for _module in ("numpy.core", "numpy._core"):
    _ARRAYS[f"{_module}.multiarray", "_reconstruct"] = Call(_empty)
    _ARRAYS[f"{_module}.multiarray", "scalar"] = Call(_scalar)
    _ARRAYS[f"{_module}.numeric", "_frombuffer"] = Call(_buffer)


class _Reader(pickle.Unpickler):
    """Reads a pickle with a table of what it may call."""

    def __init__(self, data: bytes, known: Mapping[tuple[str, str], Call | None]):
        super().__init__(io.BytesIO(data))
        self._known = known
        self._classes: dict[tuple[str, str], type[Record]] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name, if it is one of those that are known."""
        there = _ARRAYS.get((module, name))
        if there is not None:
            return there
        if (module, name) not in self._known:
            asked = shown(f"{module}.{name}", _NAME)
            raise pickle.UnpicklingError(
                f"it asks for {asked}, which is none of the few things that are made of it"
            )
        call = self._known[module, name]
        if call is not None:
            return call
        # Made for this pickle alone, which could change it.
        return self._classes.setdefault((module, name), type(name, (Record,), {"__slots__": ()}))


def loads(
    data: bytes, known: Mapping[tuple[str, str], Call | None], label: str, frame: int | None = None
) -> Any:
    """Return what a pickle holds.

    Parameters
    ----------
    data
        The pickle.
    known
        What it may name beside arrays, by module and name; None stands for a class of `Record`.
    label, frame
        The file and the structure, for messages.

    Raises
    ------
    InputError
        If it is damaged, or asks for anything else. Nothing of it is executed.
    """
    look = look_through.for_work(_SECONDS_PER_BYTE * len(data))
    found = look(np.frombuffer(data, dtype=np.uint8)) if data else DAMAGED
    if found in _REFUSED:
        raise InputError(f"the pickle can't be read: {_REFUSED[found]}", label, frame)
    _ROOM.left = _MORE + _TIMES * len(data)
    try:
        made = _Reader(data, known).load()
        if found == SHARED:
            _check_size(made, _MORE + _TIMES * len(data))
    except Exception as error:  # whatever a damaged or malicious one raises
        raise InputError(
            f"the pickle can't be read: {shown(error).strip(_QUOTES) or type(error).__name__}", label, frame
        ) from error
    finally:
        _ROOM.left = None
    return made


def _check_size(made: Any, most: int) -> None:
    """Raise unless what a pickle holds is of ordinary size where all that is shared is written out.

    Lists of one list, which has one list many times, and so on, take no memory until somebody makes an array
    or a text of them.
    """
    sizes: dict[int, float] = {}
    waiting = [(made, False)]
    while waiting:
        value, known = waiting.pop()
        if not known and id(value) in sizes:
            continue
        inside = _inside(value)
        if not known:
            # Objects may lead back to themselves, as those do that know each other; lists may not.
            sizes[id(value)] = _PLACE if isinstance(value, Record) else math.inf
            waiting.append((value, True))
            waiting += [(each, False) for each in inside if type(each) not in _ALONE]
            continue
        size = _size_alone(value)
        for each in inside:  # there may be many
            kind = type(each)
            size += _PLACE if kind in _NUMBERS else len(each) if kind in _ALONE else sizes[id(each)]
        if size > most:
            raise pickle.UnpicklingError("it holds the same things over and over, and is made to do harm")
        sizes[id(value)] = size


def _size_alone(value: Any) -> float:
    return len(value) if type(value) in _ALONE - _NUMBERS else getattr(value, "nbytes", _PLACE)


def _inside(value: Any) -> list[Any]:
    """Return what a value holds."""
    if isinstance(value, dict):
        return [*value, *value.values()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(value)
    if isinstance(value, Record):
        return [value.arguments, value.items, value.state]
    if isinstance(value, np.ndarray) and value.dtype.kind == "O":
        return value.ravel().tolist()
    return []
