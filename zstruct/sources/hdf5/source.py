"""HDF5 files: flat arrays, groups by formula or by structure, MACE's, and pickled ones of aenet."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from zstruct.errors import InputError
from zstruct.keywords import keywords
from zstruct.sources.array_files.source import BLOCK_BYTES, ArrayFileSource
from zstruct.sources.array_files.stored import Dialect, StoredArray
from zstruct.sources.content import Content
from zstruct.sources.hdf5 import aenet, flat
from zstruct.sources.hdf5.file import H5Array, opened
from zstruct.sources.hdf5.reading import Form, GroupReader, extents, form_of
from zstruct.sources.source import SLICE_BYTES, Raw, Slice

__all__ = ["HDF5Source"]


@keywords()
class HDF5Source(ArrayFileSource):
    """Structures in an HDF5 file.

    Groups by formula, as ANI and SPICE have them: ``species`` or ``atomic_numbers`` of all conformations of a
    group, ``coordinates`` or ``conformations``, energies, forces or gradients (which are forces but for their
    sign). Groups by structure, such as ``/structures/0``. Flat arrays: those of ``/structures`` and
    ``/labels`` with ``atomic_numbers_splits`` and ``forces_splits`` (in eV and angstrom), or any others, with
    ``keys=`` for what makes a structure. MACE's preprocessed files, in eV and angstrom. aenet's databases,
    whose structures are pickles, with ``allow_pickle=True`` only: arrays and two classes of aenet are made of
    them by this package itself, and nothing else.

    Units are those that attributes of datasets state (``units``), as in SPICE; what states none is asked for.

    Parameters
    ----------
    path
        The file.
    places
        Where what makes a structure is, as the user says it: the dataset's name, or its path in the file, by
        that of `PLACES`.
    allow_pickle
        Whether structures that are pickles may be read.

    Raises
    ------
    InputError
        If the file is damaged, or what is in it makes no structures.
    MissingExtraError
        If h5py is not installed.
    """

    runs_in: Literal["threads", "processes", "here", "caller"] = "processes"

    def __init__(
        self,
        path: str | os.PathLike[str] | Content,
        *,
        places: Mapping[str, str] | None = None,
        allow_pickle: bool = False,
    ):
        super().__init__(path, places={name: key.strip("/") for name, key in (places or {}).items()})
        self.allow_pickle = allow_pickle
        self._known_form: Form | None = None

    def __getstate__(self) -> dict[str, Any]:
        form = self._known_form
        return {**super().__getstate__(), "_known_form": form if form is None or form.is_small else None}

    @contextmanager
    def arrays(self) -> Iterator[Mapping[str, StoredArray]]:
        """Open the file for a while, and have its datasets by name."""
        with opened(self.content) as file:
            yield self._datasets(file)

    def _datasets(self, file: Any) -> dict[str, StoredArray]:
        return {name: H5Array(dataset) for name, dataset in flat.datasets(file, self.label).items()}

    def dialect(self, arrays: Mapping[str, StoredArray]) -> Dialect:
        """Return what is known of flat arrays."""
        with opened(self.content) as file:
            return flat.dialect(file, arrays, self.label)

    def said(self, arrays: Mapping[str, StoredArray]) -> Mapping[str, str]:
        """Return where the user says that what makes a structure is, be it by paths."""
        names = {array.path: key for key, array in arrays.items() if isinstance(array, H5Array)}
        return {name: names.get(key, key) for name, key in self.places.items()}

    def scan(self) -> list[Slice]:
        """Return ranges of structures, or of groups of them.

        Raises
        ------
        InputError
            If there are none, or the file is damaged.
        """
        with opened(self.content) as file:
            if flat.is_flat(file, self.places):
                self.runs_in = "threads"
                return super().scan()
            size = int(self.fingerprint()["size"])
            if aenet.is_aenet(file):
                n = aenet.count(file, self.allow_pickle, self.label)
                return _even(n, size, SLICE_BYTES // 4, self.label)
            return self._grouped(file, size)

    def _grouped(self, file: Any, size: int) -> list[Slice]:
        """Return ranges of groups of about as many bytes."""
        form = self._form(file)  # goes along to whoever reads
        self.runs_in = "threads" if form.is_direct else "processes"
        paths = form.leaves.paths
        nbytes = SLICE_BYTES // (2 if form.is_direct else 4)  # several for each worker
        if form.one_each:
            return _even(len(paths), size, nbytes, self.label)
        sizes = extents(file, form, self.content, self.places)
        total = max(1, sum(rows for _, rows in sizes))
        slices = []
        begin = frame = share = frames = 0
        for k, (n, rows) in enumerate(sizes):
            share += rows * size // total + 1
            frames += n
            if share >= nbytes or k == len(sizes) - 1:
                slices.append(Slice(begin, k + 1, frame, share))
                begin, frame, share, frames = k + 1, frame + frames, 0, 0
        return slices

    def _form(self, file: Any) -> Form:
        """Return where the structures are, and what is known of all of them, found out once."""
        with self._lock:
            if self._known_form is None:
                self._known_form = form_of(file, self.content, self.places)
            return self._known_form

    def read(self, piece: Slice) -> Iterator[Raw]:
        """Yield the structures of a slice in blocks."""
        with opened(self.content) as file:
            if flat.is_flat(file, self.places):
                arrays = self._datasets(file)
                table = self.table(arrays)
                for first, last in table.ranges(piece.start, piece.stop, BLOCK_BYTES):
                    yield table.block(arrays, first, last)
            elif aenet.is_aenet(file):
                yield from aenet.read(file, piece, self.allow_pickle, self.label)
            else:
                yield from GroupReader(file, self._form(file), self.content, self.places).read(piece)


def _even(n: int, size: int, nbytes: int, label: str) -> list[Slice]:
    """Return ranges of structures of about the same size."""
    if n == 0:
        raise InputError("there are no structures in this file", label)
    each = max(1, n * nbytes // max(1, size))
    return [
        Slice(first, min(first + each, n), first, max(1, size * (min(first + each, n) - first) // n))
        for first in range(0, n, each)
    ]
