"""HDF5 files: flat arrays, groups by formula or by structure, MACE's, and pickled ones of aenet."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

from zstruct.errors import InputError
from zstruct.keywords import keywords
from zstruct.sources.array_files.source import BLOCK_BYTES, ArrayFileSource
from zstruct.sources.array_files.stored import Dialect, StoredArray
from zstruct.sources.content import Content
from zstruct.sources.hdf5 import aenet, flat, groups, mace
from zstruct.sources.hdf5.blocks import joined
from zstruct.sources.hdf5.file import DAMAGED, H5Array, opened, said
from zstruct.sources.hdf5.groups import Group
from zstruct.sources.source import SLICE_BYTES, Raw, Slice

__all__ = ["HDF5Source"]

_FIRST = 8
_SAMPLE = 200  # groups that are looked at to tell labels of atoms from those of structures


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
        self._known_labels: Dialect | None = None

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
                return _even(aenet.count(file, self.allow_pickle, self.label), size, self.label)
            if mace.is_mace(file):
                return _even(len(mace.configurations(file)), size, self.label)
            return self._grouped(file, size)

    def _grouped(self, file: Any, size: int) -> list[Slice]:
        """Return ranges of groups of about as many bytes."""
        paths = self._paths(file)
        self._labels(file, paths)  # goes along to whoever reads
        if self._alone(file, paths):
            return _even(len(paths), size, self.label)
        counts = []
        for path in paths:
            group = file[path] if path else file
            counts.append((groups.size(group, self.places), groups.extent(group, self.places).rows))
        slices = []
        begin = frame = nbytes = frames = 0
        total = max(1, sum(rows for _, rows in counts))
        for k, (n, rows) in enumerate(counts):
            nbytes += rows * size // total + 1
            frames += n
            if nbytes >= SLICE_BYTES // 4 or k == len(counts) - 1:
                slices.append(Slice(begin, k + 1, frame, nbytes))
                begin, frame, nbytes, frames = k + 1, frame + frames, 0, 0
        return slices

    def _alone(self, file: Any, paths: list[str]) -> bool:
        """Tell whether each group is one structure, which the first of them say for all."""
        some = [file[path] for path in paths[:_FIRST] if path]
        return any(groups.extent(group, self.places).alone for group in some)

    def _paths(self, file: Any) -> list[str]:
        paths = groups.leaves(file, self.places)
        if not paths:
            raise InputError(
                "there are no structures that are known by the names of positions and atomic numbers: say "
                "what these are called, keys={'positions': ..., 'numbers': ...}; the file has "
                f"{flat.shown(file)}",
                self.label,
            )
        return paths

    def read(self, piece: Slice) -> Iterator[Raw]:
        """Yield the structures of a slice in blocks."""
        with opened(self.content) as file:
            if flat.is_flat(file, self.places):
                arrays = self._datasets(file)
                table = self.table(arrays)
                for first, last in table.ranges(piece.start, piece.stop, BLOCK_BYTES):
                    yield table.block(arrays, first, last)
                return
            if aenet.is_aenet(file):
                yield from aenet.read(file, piece, self.allow_pickle, self.label)
                return
            read: Callable[[Any], Group]
            count: Callable[[Any], int]
            if mace.is_mace(file):
                paths = mace.configurations(file)
                read, count = partial(mace.read_configuration, label=self.label), _one
            else:
                paths = self._paths(file)
                known = self._labels(file, paths)
                read = partial(groups.read_group, said=self.places, known=known, label=self.label)
                count = _one if self._alone(file, paths) else partial(groups.size, said=self.places)
            yield from self._joined(file, paths[piece.start : piece.stop], piece.first_frame, read, count)

    def _joined(
        self,
        file: Any,
        paths: list[str],
        first: int,
        read: Callable[[Any], Group],
        count: Callable[[Any], int],
    ) -> Iterator[Raw]:
        """Yield groups joined into blocks."""
        waiting: list[Group] = []
        bad: dict[int, str] = {}
        size, begin, frame = 0, first, first
        for path in paths:
            group = file[path] if path else file
            try:
                found = read(group)
                if found.n != (n := count(group)):
                    raise InputError(f"it has {found.n} structures, where {n} should be", self.label)
                waiting.append(found)
                size += found.n * found.atoms * 56
                frame += found.n
            except (InputError, *DAMAGED) as error:
                reason = error.reason if isinstance(error, InputError) else f"it is damaged: {said(error)}"
                last = frame + count(group)
                bad |= {k: f"group {path.strip('/')!r}: {reason}" for k in range(frame, last)}
                frame = last
            if size >= BLOCK_BYTES:
                yield joined(waiting, begin, bad)
                waiting, bad, size, begin = [], {}, 0, frame
        if waiting or bad:
            yield joined(waiting, begin, bad)

    def _labels(self, file: Any, paths: list[str]) -> Dialect:
        """Return what is known of all labels: in one group, rows may be as many as atoms by chance."""
        with self._lock:
            if self._known_labels is None:
                self._known_labels = groups.own_table(file, self.label)
            if self._known_labels is None:
                some = paths[:: max(1, len(paths) // _SAMPLE)]
                levels = groups.common_levels([file[path] if path else file for path in some], self.places)
                self._known_labels = Dialect(levels=levels)
            return self._known_labels


def _one(group: Any) -> int:
    return 1


def _even(n: int, size: int, label: str) -> list[Slice]:
    """Return ranges of structures of about the same size."""
    if n == 0:
        raise InputError("there are no structures in this file", label)
    each = max(1, n * (SLICE_BYTES // 4) // max(1, size))
    return [
        Slice(first, min(first + each, n), first, max(1, size * (min(first + each, n) - first) // n))
        for first in range(0, n, each)
    ]
