"""Which structures pass limits on energy and force, or the user's own test, when a store is opened.

What `zstruct.build` can leave out of a store, a dataset can leave aside: the same limits, read from
the store a range at a time. This module knows nothing of batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zstruct.arguments import array_of, check, integer, real
from zstruct.errors import InputError, ZstructError
from zstruct.loading.gather.gather import out_of_range
from zstruct.ragged import segment_ranges, segment_reduce
from zstruct.splits.storage import open_split
from zstruct.stats.references import References
from zstruct.store.store import Store

__all__ = ["Where", "as_int", "chosen_structures", "is_plain", "kept", "positions_of"]

Where = Callable[[Store], ArrayLike] | ArrayLike

_INT64 = np.dtype(np.int64)
_BLOCK_ATOMS = 1 << 21  # looked at together


def kept(
    store: Store,
    rows: NDArray[np.int64] | None,
    max_energy: float | None,
    max_force: float | None,
    max_force_component: float | None,
    where: Where | None,
    references: References | None,
) -> NDArray[np.int64] | None:
    """Return those of some structures that pass all tests; None stands for all.

    A limit on a label does not apply to a structure without that label.

    Parameters
    ----------
    store
        The store.
    rows
        The structures to choose from.
    max_energy
        Largest energy per atom, less that of free atoms if there are `references`, in eV.
    max_force
        Largest norm of the force on any atom, in eV/angstrom.
    max_force_component
        Largest absolute value of any component of a force, in eV/angstrom.
    where
        A boolean for every structure of the store, or a function of the `Store` that returns that.
    references
        Energies of free atoms.

    Raises
    ------
    TypeError
        If a limit is no number.
    ValueError
        If a limit is NaN, or one of forces is negative, if the store has not what is limited, or if
        `where` is no mask of all structures.
    """
    if max_energy is max_force is max_force_component is where is None:
        return rows
    limits = {
        "max_energy": (max_energy, "energy"),
        "max_force": (max_force, "forces"),
        "max_force_component": (max_force_component, "forces"),
    }
    for name, (limit, field) in limits.items():
        number = real(name, limit)
        if number is not None and field == "forces" and number < 0:
            raise ValueError(f"{name} is a limit of what is never negative, not {limit!r}")
        if limit is not None and field not in store.fields:
            raise ValueError(f"{name} needs {field}, and {store.path} has none")
    passing = np.ones(store.n_structures, dtype=bool)
    if where is not None:
        passing &= _mask(store, where)
    offsets = store.read("offsets")
    if max_energy is not None:
        passing &= ~(_energies(store, offsets, references) > max_energy)
    if not max_force is max_force_component is None:
        for here, start, stop, edges in _ranges(offsets):
            forces = np.nan_to_num(store.read("forces", start, stop), nan=0.0)
            if max_force is not None:
                squares = segment_reduce(np.einsum("ij,ij->i", forces, forces), edges, "max")
                passing[here] &= ~(squares > max_force**2)
            if max_force_component is not None:
                largest = segment_reduce(np.abs(forces).max(axis=1), edges, "max")
                passing[here] &= ~(largest > max_force_component)
    return np.flatnonzero(passing) if rows is None else rows[passing[rows]]


def _mask(store: Store, where: Where) -> NDArray[np.bool_]:
    try:
        mask = array_of("where", where(store) if callable(where) else where)
    except Exception as error:
        reason = f"the filter given as where= raised {type(error).__name__}: {error}"
        raise (error if isinstance(error, ZstructError) else InputError(reason)) from error
    if mask.dtype != bool or mask.shape != (store.n_structures,):
        raise ValueError(
            f"where is a boolean for each of the {store.n_structures:,} structures of the store, or a "
            f"function that returns that, not {mask.dtype} values of shape {mask.shape}"
        )
    return mask


def _energies(store: Store, offsets: NDArray[np.int64], references: References | None) -> NDArray[np.float64]:
    """Return the energy per atom of every structure, NaN where it is missing."""
    energies = store.read("energy").astype(np.float64)
    if references is not None:
        for here, start, stop, edges in _ranges(offsets):
            numbers = store.read("numbers", start, stop).astype(np.int64)
            energies[here] = references.subtract(numbers, edges, energies[here])
    return energies / np.maximum(1, np.diff(offsets))


def _ranges(
    offsets: NDArray[np.int64],
) -> Iterator[tuple[slice, int, int, NDArray[np.int64]]]:
    """Yield ranges of structures, of atoms (from, to), and the edges of the former in the latter."""
    for first, last in segment_ranges(offsets, _BLOCK_ATOMS):
        start, stop = int(offsets[first]), int(offsets[last])
        yield slice(first, last), start, stop, offsets[first : last + 1] - start


def chosen_structures(store: Store, split: str | tuple[str, str] | None) -> NDArray[np.int64] | None:
    """Return the structures of a part, given as a label of "default" or with another split; None: all."""
    if split is None:
        return None
    check(split=split)
    name, part = ("default", split) if isinstance(split, str) else split
    found = open_split(store, name)
    if part not in found.labels:
        raise InputError(
            f"the split {name!r} of {store.path} has no part {part!r}; it has {', '.join(found.labels)}"
        )
    return found[part]


def positions_of(indices: Any, n: int) -> NDArray[np.int64]:
    """Return positions in ``range(n)`` for any list of indices, or a mask of n entries.

    Raises
    ------
    IndexError
        If an index is out of range or a mask has another length.
    TypeError
        If it is anything else.

    Examples
    --------
    >>> positions_of([-1, 0], 4), positions_of([True, False, False, True], 4)
    (array([3, 0]), array([0, 3]))
    """
    array = array_of("a list of indices", indices)
    if array.ndim == 1 and array.size == 0 and array.dtype.kind != "b":
        return np.empty(0, dtype=np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iub":
        _refuse(f"{array.ndim}-dimensional {array.dtype} {type(indices).__name__}")
    if array.dtype.kind == "b":
        if len(array) != n:
            raise IndexError(f"the mask has {len(array)} entries, the dataset {n} structures")
        return np.flatnonzero(array)
    low, high = int(array.min()), int(array.max())
    if low < -n or high >= n:
        raise out_of_range(high if high >= n else low, n)
    array = np.array(array, dtype=np.int64)
    return np.where(array < 0, array + n, array) if low < 0 else array


def is_plain(array: NDArray[Any]) -> bool:
    """Return whether an index is what the gather takes as it is."""
    # carray: aligned, writable and contiguous.
    return array.dtype is _INT64 and array.ndim == 1 and array.flags.carray


def as_int(index: Any) -> int:
    """Return an integer of any kind as Python's; a boolean is none."""
    found = integer(index)
    if found is None:
        _refuse(f"{index!r}")
    return found


def _refuse(what: str) -> NoReturn:
    raise TypeError(
        "a dataset is indexed by an integer, a slice, or a one-dimensional list or array of integers "
        f"or booleans, not by {what}"
    )
