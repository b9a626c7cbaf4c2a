"""Graphs of torch_geometric as structures: a Data, a Batch, and a Data that holds several graphs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.sources.ase.atoms import Snapshot
from zstruct.sources.ase.bare import add_labels, bare, plain

__all__ = ["count_graphs", "graphs"]

#: What belongs to edges, or says where graphs begin.
_NO_LABELS = frozenset("edge_index edge_attr edge_weight edge_shift shifts unit_shifts batch ptr".split())
_SIZES = ("natoms", "n_atoms", "num_atoms")


def count_graphs(given: Any) -> int:
    """Return how many structures a Data has; one if that can't be told."""
    try:
        return len(_sizes(_table(given)))
    except (ValueError, TypeError, AttributeError, KeyError):
        return 1


def graphs(given: Any) -> Iterator[Snapshot]:
    """Yield the structures of a Data; what belongs to edges is left out.

    Raises
    ------
    ValueError
        If it has no structure, or it can't be told what belongs to which graph.
    """
    if hasattr(given, "to_data_list"):
        try:
            parts = given.to_data_list()
        except (RuntimeError, KeyError):  # a Batch that was not made of a list
            parts = []
        for part in parts:
            yield from graphs(part)
        if parts:
            return
    values = _table(given)
    sizes = _sizes(values)
    known = {len(sizes), int(sizes.sum())}
    n_edges = np.shape(values.get("edge_index", np.empty((2, 0))))[-1]
    for name, value in list(values.items()):
        of_edges = np.shape(value)[:1] == (n_edges,) and n_edges not in known
        if of_edges or name in _NO_LABELS or (name in _SIZES and np.array_equal(_flat(value), sizes)):
            del values[name]
    if len(sizes) == 1:
        yield _structure(values)
        return
    edges = np.concatenate([[0], np.cumsum(sizes)])
    parted = {name: _parted(name, value, edges) for name, value in values.items()}
    for k in range(len(sizes)):
        yield _structure({name: parts[k] for name, parts in parted.items()})


def _table(given: Any) -> dict[str, Any]:
    values = {key: plain(given[key], key) for key in given.keys()}  # noqa: SIM118
    if (values.get("z") is None and values.get("atomic_numbers") is None) or values.get("pos") is None:
        raise ValueError("a Data needs z (or atomic_numbers) and pos")
    return values


def _flat(value: Any) -> Any:
    return None if value is None else np.asarray(value).reshape(-1)


def _sizes(values: Mapping[str, Any]) -> NDArray[np.int64]:
    """Return how many atoms each graph has, shape (n_graphs,)."""
    n = len(values["pos"])
    if values.get("ptr") is not None:
        edges: NDArray[np.int64] = np.asarray(values["ptr"]).astype(np.int64).reshape(-1)
        sizes: NDArray[np.int64] = edges[1:] - edges[:-1]
    elif values.get("batch") is not None:
        owner = np.asarray(values["batch"]).astype(np.int64).reshape(-1)
        if len(owner) != n or (np.diff(owner) < 0).any() or (owner < 0).any():
            raise ValueError("its batch does not say whose each atom is, one graph after the other")
        sizes = np.bincount(owner)
    else:
        given = next((_flat(values[name]) for name in _SIZES if values.get(name) is not None), np.array([n]))
        sizes = given.astype(np.int64) if given.dtype.kind in "iuf" else np.array([n])
    if int(sizes.sum()) != n or (sizes < 0).any():
        raise ValueError(f"it has {n} atoms, and says that its graphs have {int(sizes.sum())}")
    return sizes


def _parted(name: str, value: Any, edges: NDArray[np.int64]) -> list[Any]:
    """Return what each graph has of a value."""
    n, n_atoms = len(edges) - 1, int(edges[-1])
    length = len(value) if isinstance(value, (list, tuple)) or np.ndim(value) else -1
    if name == "cell" and np.shape(value) == (3 * n, 3):
        value, length = np.reshape(value, (n, 3, 3)), n
    if name == "pbc":
        flags = np.asarray(value).reshape(-1)
        return list(flags.reshape(n, 3)) if len(flags) == 3 * n else [value] * n
    if length == n_atoms and n_atoms != n:
        return [value[start:stop] for start, stop in itertools.pairwise(edges.tolist())]
    if length == n:
        return list(value)
    if length < 0:
        return [value] * n
    raise ValueError(
        f"it has {n} graphs with {n_atoms} atoms, and {name} of shape {np.shape(value)}: it can't be told "
        "what of it belongs to which"
    )


def _structure(values: Mapping[str, Any]) -> Snapshot:
    labels = dict(values)
    numbers, others = labels.pop("z", None), labels.pop("atomic_numbers", None)
    cell, pbc = labels.pop("cell", None), labels.pop("pbc", None)
    if cell is not None and np.any(cell) and pbc is None:
        raise ValueError("there is a cell and no pbc; say whether it repeats with data.pbc")
    positions = labels.pop("pos")
    found = bare(others if numbers is None else numbers, positions, cell, False if pbc is None else pbc)
    add_labels(found, labels)
    return found
