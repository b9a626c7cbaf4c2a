"""Groups of an HDF5 file read one after the other: together where they are alike, else by the library."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.ragged import counts_to_offsets
from zstruct.schema import Level
from zstruct.sources.array_files.source import BLOCK_BYTES
from zstruct.sources.array_files.stored import Dialect
from zstruct.sources.content import Content
from zstruct.sources.hdf5 import groups, mace
from zstruct.sources.hdf5.blocks import joined
from zstruct.sources.hdf5.direct import Alike, Described, LeftError, described
from zstruct.sources.hdf5.file import damage
from zstruct.sources.hdf5.flat import shown
from zstruct.sources.hdf5.groups import Leaves
from zstruct.sources.hdf5.pages import plain_file
from zstruct.sources.hdf5.plan import Group, Plan, filled, plan_of
from zstruct.sources.source import Raw, Slice

__all__ = ["Form", "GroupReader", "extents", "form_of"]

_FIRST = 8
_SAMPLE = 200  # groups that are looked at to tell labels of atoms from those of structures
_AT_ONCE = 1000  # groups that are looked at for their sizes
_NEAR = 1 << 16  # bytes of a group, if the next one is read along with it
_ROW_BYTES = 56  # of an atom with forces, in double precision
_SMALL = 10_000  # paths that go along to other processes


@dataclass(frozen=True)
class Form:
    """Where the structures of a file are, and what is known of all of them.

    Parameters
    ----------
    leaves
        The groups that have structures.
    known
        What is known of the labels of all groups; None for MACE's.
    one_each
        Whether each group is one structure, which the first of them say for all.
    is_direct
        Whether most groups can be read without the library.
    """

    leaves: Leaves
    known: Dialect | None
    one_each: bool
    is_direct: bool

    @property
    def is_small(self) -> bool:
        """Whether it takes less to send than to find out."""
        return len(self.leaves.paths) <= _SMALL


def form_of(file: Any, content: Content, places: Mapping[str, str]) -> Form:
    """Return the form of a file of groups.

    Parameters
    ----------
    file
        The file of h5py.
    content
        The same.
    places
        Where what makes a structure is, as the user says it.

    Raises
    ------
    InputError
        If there are no structures.
    """
    pages = plain_file(content, 0)
    is_mace = mace.is_mace(file)
    listed = mace.configurations if is_mace else partial(groups.leaves, said=places)
    leaves = listed(file, pages=pages)
    paths = leaves.paths
    if not paths:
        raise InputError(
            "there are no structures that are known by the names of positions and atomic numbers: say "
            f"what these are called, keys={{'positions': ..., 'numbers': ...}}; the file has {shown(file)}",
            content.label,
        )
    some = np.arange(0, len(paths), max(1, len(paths) // _SAMPLE))
    which = np.full(len(some), -1)
    shapes: list[Mapping[str, tuple[int, ...] | None]] = []
    looked = _looked(content, leaves.addresses[some], is_mace, 0)
    if looked is not None:
        which = looked.which
        shapes = [
            {name: header.shape for name, header in looked.alike[k].sets.items()}
            for k in which.tolist()
            if k >= 0
        ]
    is_direct = bool(np.count_nonzero(which >= 0) > len(some) / 2)
    if is_mace:
        return Form(leaves, None, True, is_direct)
    one_each = any(groups.extent(file[path], places).alone for path in paths[:_FIRST] if path)
    known = groups.own_table(file, content.label)
    if known is None:
        shapes += [groups.shapes_of(_group(file, paths[k])) for k in some[which < 0].tolist()]
        levels: dict[str, Level] = groups.common_levels(shapes, places)
        known = Dialect(levels=levels)
    return Form(leaves, known, one_each, is_direct)


def extents(file: Any, form: Form, content: Content, places: Mapping[str, str]) -> list[tuple[int, int]]:
    """Return how many structures each group has, one where that can't be read, and how many atoms in all."""
    found = []
    paths, addresses = form.leaves
    for first in range(0, len(paths), _AT_ONCE):
        looked = _looked(content, addresses[first : first + _AT_ONCE], False, 0)
        known = []
        if looked is not None:
            known = [
                groups.extent_of({name: one.shape for name, one in alike.sets.items()}, places)
                for alike in looked.alike
            ]
        for k, path in enumerate(paths[first : first + _AT_ONCE]):
            number = -1 if looked is None else int(looked.which[k])
            one = known[number] if number >= 0 else groups.extent(_group(file, path), places)
            found.append((one.n if one.known else 1, one.rows))
    return found


def _looked(content: Content, addresses: NDArray[np.int64], deep: bool, expected: int) -> Described | None:
    """Return what is in groups, None if all of them are left to the library."""
    pages = plain_file(content, expected) if (addresses >= 0).any() else None
    if pages is None:
        return None
    try:
        return described(pages, addresses, deep)
    except (OSError, MemoryError):  # the library will say what is wrong
        return None


def _group(file: Any, path: str) -> Any:
    return file[path] if path else file


class GroupReader:
    """Reads groups of a file of h5py.

    Parameters
    ----------
    file
        The file of h5py.
    form
        Its form.
    content
        The same file.
    places
        Where what makes a structure is, as the user says it.
    """

    def __init__(self, file: Any, form: Form, content: Content, places: Mapping[str, str]):
        self._file, self._form, self._content, self._places = file, form, content, places
        self._label = content.label

    def read(self, piece: Slice) -> Iterator[Raw]:
        """Yield the structures of a slice of groups in blocks."""
        part = slice(piece.start, piece.stop)
        paths, addresses = self._form.leaves.paths[part], self._form.leaves.addresses[part]
        looked = None
        if self._form.is_direct:
            near = piece.nbytes < _NEAR * len(paths)
            looked = _looked(self._content, addresses, self._form.known is None, piece.nbytes if near else 0)
        which = np.full(len(paths), -1) if looked is None else looked.which
        plans = [] if looked is None else [self._plan(alike) for alike in looked.alike]
        weights = [n * atoms * _ROW_BYTES for _, n, atoms in plans]
        first, frame, nbytes = 0, piece.first_frame, 0
        by_library: dict[int, Group | str] = {}
        for k, number in enumerate(which.tolist()):
            if number >= 0:
                nbytes += weights[number]
            else:
                found = by_library[k] = self._one(paths[k])
                nbytes += 0 if isinstance(found, str) else found.n * found.atoms * _ROW_BYTES
            if nbytes >= BLOCK_BYTES or k == len(paths) - 1:
                raw, frame = self._block(paths, (first, k + 1), frame, looked, plans, by_library)
                yield raw
                first, nbytes, by_library = k + 1, 0, {}

    def _block(
        self,
        paths: Sequence[str],
        where: tuple[int, int],
        frame: int,
        looked: Described | None,
        plans: Sequence[_Planned],
        by_library: dict[int, Group | str],
    ) -> tuple[Raw, int]:
        """Return some groups joined into a block, and the number of the frame that follows."""
        first, last = where
        ready: list[tuple[NDArray[np.int64], Group]] = []
        which = np.full(last - first, -1) if looked is None else looked.which[first:last]
        for number in np.unique(which[which >= 0]).tolist():
            assert looked is not None
            members = np.flatnonzero(which == number) + first
            made = self._together(looked, looked.alike[number], members, plans[number].plan)
            if isinstance(made, Group):
                ready.append((members, made))
            else:
                by_library |= {k: made or self._one(paths[k]) for k in members.tolist()}
        sizes, good = np.zeros(last - first, dtype=np.int64), np.ones(last - first, dtype=bool)
        for members, group in ready:
            sizes[members - first] = group.n // len(members)
        reasons = {}
        for k, found in by_library.items():
            if isinstance(found, str):
                good[k - first] = False
                reasons[k] = found
                sizes[k - first] = self._count(paths[k])
            else:
                sizes[k - first] = found.n
                ready.append((np.array([k]), found))
        frames = frame + counts_to_offsets(sizes)
        starts = counts_to_offsets(np.where(good, sizes, 0))
        bad = {
            number: f"group {paths[k].strip('/')!r}: {reason}"
            for k, reason in reasons.items()
            for number in range(int(frames[k - first]), int(frames[k - first + 1]))
        }
        ready.sort(key=lambda one: int(one[0][0]))
        if len(ready) > 1 and any(len(members) > 1 for members, _ in ready):
            for members, group in ready:
                each = group.n // len(members)
                group.places = (starts[members - first][:, None] + np.arange(each)).reshape(-1)
        return joined([group for _, group in ready], frame, bad), int(frames[-1])

    def _together(
        self, looked: Described, alike: Alike, members: NDArray[np.int64], plan: Plan | str | None
    ) -> Group | str | None:
        """Return groups that are alike, why they can't be read, or None if they are left to the library."""
        if isinstance(plan, str):
            return plan
        read = looked.values(alike, members)
        try:
            if plan is None:
                return mace.configurations_of(alike.sets, read, len(members), self._label)
            return filled(plan, read, len(members))
        except (InputError, LeftError, OSError, MemoryError):  # it says so of each by itself
            return None

    def _plan(self, alike: Alike) -> _Planned:
        """Return what groups that are alike are."""
        if self._form.known is None:
            numbers = alike.sets.get("atomic_numbers")
            return _Planned(None, 1, numbers.shape[0] if numbers is not None and numbers.shape else 0)
        try:
            plan = plan_of(alike.sets, alike.others, self._places, self._form.known, self._label)
        except InputError as error:
            return _Planned(error.reason, 1, 0)
        fault = self._wrong_number(plan.n)
        return _Planned(plan if fault is None else fault, plan.n, plan.atoms)

    def _wrong_number(self, n: int) -> str | None:
        wrong = self._form.one_each and n != 1
        return f"it has {n} structures, where 1 should be" if wrong else None

    def _one(self, path: str) -> Group | str:
        """Return a group as the library reads it, or why it can't be read."""
        try:
            group = _group(self._file, path)
            if self._form.known is None:
                return mace.read_configuration(group, self._label)
            found = groups.read_group(group, self._places, self._form.known, self._label)
        except InputError as error:
            return error.reason
        except Exception as error:
            if (said := damage(error)) is None:
                raise
            return f"it is damaged: {said}"
        return self._wrong_number(found.n) or found

    def _count(self, path: str) -> int:
        """Return how many structures a group should have."""
        try:
            return 1 if self._form.one_each else groups.size(_group(self._file, path), self._places)
        except Exception as error:
            if damage(error) is None:
                raise
            return 1


class _Planned(NamedTuple):
    """The plan of groups that are alike, or why they can't be read, None for MACE's; what one of them has."""

    plan: Plan | str | None
    n: int
    atoms: int
