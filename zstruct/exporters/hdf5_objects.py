"""Groups and small datasets of HDF5 files, many of them, by h5py's low-level functions.

For every object h5py's usual functions make lists of properties, a dataspace and a type, which takes longer
than to write a few numbers. Here these are made once and used again. What is written is not known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import MissingExtraError
from zstruct.exporters.limits import same

__all__ = ["ZEROS", "SmallObjects", "created", "h5py"]

# Files are such that HDF5 1.10 reads them, and whatever came after it.
_VERSION = ("v110", "v110")
# Bytes of a dataset that is kept with its description: one piece of the file, not two.
_WITHIN = 8192
_MOST_SPACES = 10_000


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


def created(path: Path) -> Any:
    """Return a new file.

    Raises
    ------
    MissingExtraError
        If h5py is not installed.
    """
    return h5py().File(path, "w", libver=_VERSION)


#: Of texts in HDF5.
ZEROS = same(
    "texts with a zero character",
    lambda entry: any("\0" in text for text in entry.texts),
    "some of its texts have a zero character, where texts of HDF5 end",
)


class SmallObjects:
    """Makes groups and datasets, which are known by h5py's identifiers.

    Examples
    --------
    >>> file = h5py().File("memory", "w", driver="core", backing_store=False)
    >>> objects = SmallObjects()
    >>> group = objects.group(file.id, "0")
    >>> objects.add(group, "energy", np.array(-1.5))
    >>> objects.add(group, "name", objects.texts(["water", "ice"])[1:2].reshape(()))
    >>> float(file["0/energy"][()]), file["0/name"].asstr()[()]
    (-1.5, 'ice')
    """

    def __init__(self) -> None:
        package = h5py()
        self._package, properties = package, package.h5p
        self._group_properties = properties.create(properties.GROUP_CREATE)
        self._apart = properties.create(properties.DATASET_CREATE)
        self._apart.set_obj_track_times(False)
        self._within = self._apart.copy()
        self._within.set_layout(package.h5d.COMPACT)
        self._link = properties.create(properties.LINK_CREATE)
        self._unicode_link = self._link.copy()
        self._unicode_link.set_char_encoding(package.h5t.CSET_UTF8)
        self._text = package.string_dtype()
        self._names: dict[str, tuple[bytes, Any]] = {}
        self._spaces: dict[tuple[int, ...], Any] = {(): package.h5s.create(package.h5s.SCALAR)}
        self._types: dict[np.dtype[Any], tuple[Any, Any]] = {}

    def group(self, parent: Any, name: str) -> Any:
        """Return a new group in another, or in a file."""
        return self._package.h5g.create(parent, *self._named(name), self._group_properties)

    def texts(self, texts: Sequence[str]) -> NDArray[Any]:
        """Return texts as an array that `add` takes, as it takes rows of it."""
        return np.array(texts, dtype=self._text)

    def add(self, group: Any, name: str, values: NDArray[Any]) -> None:
        """Add a dataset to a group, under one of the few names that all groups have."""
        key = self._names.get(name)
        if key is None:
            key = self._names[name] = self._named(name)
        types = self._types.get(values.dtype)
        if types is None:
            types = self._types[values.dtype] = self._in_file_and_memory(values.dtype)
        package, lists = self._package, self._within if values.nbytes <= _WITHIN else self._apart
        dataset = package.h5d.create(group, key[0], types[0], self._space(values.shape), lists, key[1])
        if values.size:
            every = package.h5s.ALL
            dataset.write(every, every, values if values.flags.c_contiguous else values.copy(), types[1])

    def _named(self, name: str) -> tuple[bytes, Any]:
        """Return a name in bytes, and the properties of links that have it."""
        return name.encode(), self._link if name.isascii() else self._unicode_link

    def _in_file_and_memory(self, dtype: np.dtype[Any]) -> tuple[Any, Any]:
        """Return what values of a dtype are in a file, and in memory."""
        types = self._package.h5t
        return types.py_create(dtype, logical=True), types.py_create(dtype)

    def _space(self, shape: tuple[int, ...]) -> Any:
        space = self._spaces.get(shape)
        if space is None:
            if len(self._spaces) > _MOST_SPACES:
                self._spaces = {(): self._spaces[()]}
            space = self._spaces[shape] = self._package.h5s.create_simple(shape)
        return space
