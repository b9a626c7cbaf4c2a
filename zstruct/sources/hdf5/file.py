"""HDF5 files, and the arrays in them. What the arrays mean is not known here."""

from __future__ import annotations

import gc
import io
import math
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError, MissingExtraError
from zstruct.sources.content import Content
from zstruct.sources.origins import raised_by

__all__ = ["H5Array", "damage", "h5py", "opened", "text_of", "texts_of", "unit_of"]

_UNITS = ("units", "unit")
# Bytes of values that may be filled in, and how many may be compressed to one.
_LARGE, _MOST_PACKED = 1 << 24, 1100


def h5py() -> Any:
    """Return the package.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError("HDF5 files need a package: pip install 'zstruct[hdf5]'") from error
    return h5py


@contextmanager
def opened(content: Content) -> Iterator[Any]:
    """Open a file for a while.

    Raises
    ------
    InputError
        If it is none or damaged, also where that is found while it is read.
    MissingExtraError
        If h5py is not installed.
    """
    package = h5py()
    content.fingerprint()  # what is not there is said so
    try:
        if content.path is not None:
            if os.path.isdir(content.path):
                raise InputError("this is a directory, not an HDF5 file", content.label)
            with package.File(content.path, "r", locking=False) as file:
                yield file
        else:
            with content.open() as stream, package.File(_Uncollected(stream), "r") as file:
                yield file
    except Exception as error:
        _forget_locals(error)
        if (found := damage(error)) is None:
            raise
        raise InputError(f"the HDF5 file is damaged, cut off or none: {found}", content.label) from error


def _forget_locals(error: BaseException | None) -> None:
    """Let go of what the calls had in hand that an error went through.

    Among it are h5py's settings of how a stream is read. Kept until the interpreter has ended, as errors
    sometimes are, they would call it once more, which is a segmentation fault.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


class _Uncollected(io.RawIOBase):
    """A stream for h5py, which finds no garbage while it is read.

    h5py holds the lock of its library meanwhile, and whatever of h5py is found to be garbage, in any thread,
    waits for that lock: a thread that fetches what is read here would never go on.

    Parameters
    ----------
    stream
        What is read.
    """

    def __init__(self, stream: BinaryIO):
        self._stream = stream

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can seek."""
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a place; return it."""
        with _uncollected():
            return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """Return where it is."""
        return self._stream.tell()

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer; return how much there was."""
        with _uncollected():
            n: int = self._stream.readinto(buffer)  # type: ignore[attr-defined]
            return n


@contextmanager
def _uncollected() -> Iterator[None]:
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def damage(error: Exception) -> str | None:
    """Return what h5py says of a file, if it is h5py that raised an error; whatever kind of error that is."""
    if not raised_by(error, "h5py"):
        return None
    return str(error).strip("'\"") or type(error).__name__


class H5Array:
    """An array of a file.

    Parameters
    ----------
    dataset
        The dataset of h5py.
    """

    in_order = False

    def __init__(self, dataset: Any):
        self._dataset = dataset
        shape = dataset.shape
        self.shape: tuple[int, ...] = tuple(shape or ())
        self.dtype: np.dtype[Any] = dataset.id.dtype
        self.fault: str | None = None
        if shape is None:
            self.fault = "it is empty"
        elif self.dtype.kind == "O" and h5py().check_string_dtype(self.dtype) is None:
            self.fault = "its values are neither numbers nor texts"
        elif self.dtype.kind not in "biufSUO":
            self.fault = f"its values are {self.dtype.name}, which can't be stored"
        else:
            self.fault = self._empty_claim()

    def _empty_claim(self) -> str | None:
        """Return a sentence if it says that it has far more values than can be in its bytes."""
        nbytes = math.prod(self.shape) * self.dtype.itemsize
        if nbytes <= _LARGE or nbytes <= _MOST_PACKED * (stored := int(self._dataset.id.get_storage_size())):
            return None
        return f"it says that it has {nbytes:,} bytes, and {stored:,} bytes are in the file"

    @cached_property
    def path(self) -> str:
        """Where it is in the file."""
        return str(self._dataset.name).strip("/")

    @cached_property
    def unit(self) -> str | None:
        """The unit that it states."""
        return unit_of(self._dataset)

    def whole(self) -> NDArray[Any]:
        """Return all values of a small one, without what h5py does for large ones."""
        if self.fault is not None:
            raise InputError(f"{self.path}: {self.fault}")
        if self.dtype.kind not in "iuf":
            return np.asarray(self._dataset[()])
        values = np.empty(self.shape, self.dtype)
        if values.size:
            every = h5py().h5s.ALL
            self._dataset.id.read(every, every, values)
        return values

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Return some rows; an array without axes is its own row."""
        if self.fault is not None:
            raise InputError(f"{self.path}: {self.fault}")
        if not self.shape:
            return np.asarray(self._dataset[()])
        shape = (max(0, min(stop, self.shape[0]) - start), *self.shape[1:])
        if self.dtype.kind == "O":
            return np.asarray(self._dataset.asstr(errors="replace")[start:stop])
        values = np.empty(shape, self.dtype)
        if values.size:
            self._dataset.read_direct(values, np.s_[start : start + shape[0]])
        return values


def unit_of(dataset: Any) -> str | None:
    """Return the unit that a dataset states in an attribute, or None."""
    attrs = dataset.attrs
    for name in _UNITS:
        if name in attrs:
            return text_of(attrs[name]) or None
    return None


def text_of(value: Any) -> str:
    """Return what an attribute or a dataset says, if that is one text, else an empty one."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value) if isinstance(value, str) else ""


def texts_of(values: Any) -> NDArray[Any]:
    """Return an array of texts of an attribute as texts of Python."""
    table = np.asarray(values, dtype=object)
    return np.array([text_of(one) for one in table.reshape(-1)], dtype=object).reshape(table.shape)
