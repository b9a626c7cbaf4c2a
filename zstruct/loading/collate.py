"""Join samples into batches: the layouts that models take.

`graph` puts the atoms of all structures end to end, `padded` gives each structure the same number
of rows, `as_list` leaves them apart; `physnet`, `pyg`, `schnetpack`, `mace` and `fairchem` are what
other libraries train on. All are plain functions, so a ``DataLoader`` with worker processes can carry
them (`functools.partial` sets their options). They take what the dataset returns for a list of
indices, or a list of samples from anywhere. Nothing here knows of stores.

Batches are made with NumPy, not torch: torch would start its thread pool for such small copies,
which slows them down wherever several processes or threads make batches. It is only loaded where
tensors are wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any, Literal

from zstruct.arguments import shown
from zstruct.errors import ArgumentTypeError
from zstruct.loading.batch import ATOMS, PackedBatch
from zstruct.loading.foreign import fairchem, mace, schnetpack
from zstruct.loading.packing import Batch, Samples, converter, no_pairs, pack
from zstruct.loading.padding import real_rows, rectangle, rows_of
from zstruct.loading.physnet import physnet
from zstruct.loading.pyg import pyg
from zstruct.loading.words import Names, words_of

__all__ = [
    "LAYOUTS",
    "Layout",
    "as_list",
    "fairchem",
    "graph",
    "mace",
    "padded",
    "physnet",
    "pyg",
    "schnetpack",
]

Layout = Literal["graph", "padded", "list", "physnet", "pyg", "schnetpack", "mace", "fairchem"]

#: Names that batches give to tensors of their own.
OWN = ("structure", "n_atoms", "batch", "ptr", "mask")


def graph(
    samples: Samples,
    *,
    names: Names | None = None,
    as_numpy: bool = False,
    per_atom: Collection[str] = (),
) -> Batch:
    """Join structures into one graph: atoms end to end, per-structure values stacked.

    Parameters
    ----------
    samples
        A `PackedBatch`, or a sequence of samples: mappings of tensors or arrays.
    names
        Names of the batch that are to be others, ``{"numbers": "species"}``; or the name of a project,
        for its names and dtypes. ``"mlff-distiller"``: ``species`` and ``natoms``, and as numbers of
        Python ``batch_size``, ``max_atoms`` and ``total_atoms``. ``"mmml"``: ``Z``, ``R``, ``F``,
        ``E``, ``D``, ``N`` and ``Qtot``, zero where nothing is said of it, as int32 and in the
        precision of the positions.
    as_numpy
        Whether to return NumPy arrays instead of tensors; torch is not loaded then.
    per_atom
        Names with a row per atom, beside those that are known to have one: a sample of a zstruct
        dataset says so itself, a plain dict is judged by the names in the field table.

    Returns
    -------
    dict of str to torch.Tensor or numpy.ndarray
        The fields, (sum of n_atoms, ...) per atom and (B, ...) per structure, and ``batch``, the
        structure that each atom belongs to, ``ptr`` (B + 1,), the row edges of the structures,
        ``n_atoms`` (B,), and ``structure`` (B,), their indices in the store where known; all int64.
        Indices of pairs, such as ``edge_index`` (2, E), count the atoms of the batch; what pairs
        carry is (E, ...). ``atoms``, a list of `ase.Atoms`, if the dataset was asked for these. Tensors
        may share memory with a `PackedBatch`.

    Raises
    ------
    ValueError
        If there is no sample, or if samples differ in their fields or shapes, or if `names` gives two
        things one name, or names what is not there.

    Examples
    --------
    >>> import torch
    >>> water = {"numbers": torch.tensor([8, 1, 1]), "energy": torch.tensor(-14.2)}
    >>> proton = {"numbers": torch.tensor([1]), "energy": torch.tensor(0.0)}
    >>> batch = graph([water, proton])
    >>> batch["numbers"], batch["batch"], batch["ptr"]
    (tensor([8, 1, 1, 1]), tensor([0, 0, 0, 1]), tensor([0, 3, 4]))
    """
    packed = samples if type(samples) is PackedBatch else pack(samples, per_atom)
    if names is not None:
        words = words_of(names)
        return words.said("graph", graph(words.prepared(packed), as_numpy=True), as_numpy)
    made = converter(as_numpy)
    batch = {name: made(column) for name, column in packed.columns.items()}
    for pairs in packed.pairs:
        batch[pairs.name] = made(pairs.index)
        for name, column in pairs.columns.items():
            batch[name] = made(column)
    batch["n_atoms"] = made(packed.n_atoms)
    if packed.structures is not None:
        batch["structure"] = made(packed.structures)
    if packed.atoms:
        batch[ATOMS] = list(packed.atoms)
    batch["batch"] = made(packed.batch)
    batch["ptr"] = made(packed.offsets)
    return batch


def padded(
    samples: Samples,
    num_atoms: int | None = None,
    *,
    names: Names | None = None,
    as_numpy: bool = False,
    per_atom: Collection[str] = (),
) -> Batch:
    """Join structures into rectangular tensors, filled up with zeros.

    Parameters
    ----------
    samples
        A `PackedBatch`, or a sequence of samples: mappings of tensors or arrays.
    num_atoms
        Rows for each structure, A; by default those of the largest structure of the batch.
    names
        As for `graph`.
    as_numpy
        Whether to return NumPy arrays instead of tensors; torch is not loaded then.
    per_atom
        Names with a row per atom, beside those that are known to have one (see `graph`).

    Returns
    -------
    dict of str to torch.Tensor or numpy.ndarray
        The fields, (B, A, ...) per atom and (B, ...) per structure, and ``mask`` (B, A), true for
        real atoms, ``n_atoms`` (B,), and ``structure`` (B,), their indices in the store where
        known. ``atoms``, a list of `ase.Atoms`, if the dataset was asked for these. Padding is zero or
        false. Tensors may share memory with a `PackedBatch`.

    Raises
    ------
    ValueError
        If a structure has more than `num_atoms` atoms, if there is no sample, if samples differ in
        their fields or shapes, if they have pairs of atoms, which have no place in rectangles, or if
        `names` gives two things one name, or names what is not there.

    Examples
    --------
    >>> batch = padded([{"numbers": [8, 1, 1]}, {"numbers": [1]}])
    >>> batch["numbers"]
    tensor([[8, 1, 1],
            [1, 0, 0]])
    >>> batch["mask"]
    tensor([[ True,  True,  True],
            [ True, False, False]])
    """
    packed = pack(samples, per_atom)
    no_pairs(packed, "padded")
    if names is not None:
        words = words_of(names)
        return words.said("padded", padded(words.prepared(packed), num_atoms, as_numpy=True), as_numpy)
    rows = rows_of(packed, num_atoms)
    made = converter(as_numpy)
    batch = {
        name: made(rectangle(column, packed.offsets, rows) if name in packed.per_atom else column)
        for name, column in packed.columns.items()
    }
    batch["mask"] = made(real_rows(packed.n_atoms, rows))
    batch["n_atoms"] = made(packed.n_atoms)
    if packed.structures is not None:
        batch["structure"] = made(packed.structures)
    if packed.atoms:
        batch[ATOMS] = list(packed.atoms)
    return batch


def as_list(samples: Samples) -> list[Mapping[str, Any]]:
    """Return the samples as a list, each on its own.

    Raises
    ------
    TypeError
        If they are nothing of that kind.
    """
    if not isinstance(samples, Iterable):
        raise ArgumentTypeError(f"samples are a PackedBatch or a list of samples, not {shown(samples)}")
    return list(samples)


def _apart(samples: PackedBatch) -> PackedBatch:
    """Leave a batch as the sequence of samples that it is.

    A list of samples would cross from a worker process as one shared-memory file per tensor, and
    a few large batches of those exhaust the files a process may have open.
    """
    return samples


def in_numpy(
    layout: str | Callable[[PackedBatch], Any] | None, names: Names | None = None
) -> Callable[[PackedBatch], Any] | None:
    """Return a layout, or, of one that is given by its name, the function that makes it in NumPy.

    Parameters
    ----------
    layout
        The layout.
    names
        New names of what is in batches, for layouts that take some.

    Raises
    ------
    ValueError
        If it has no such name, or takes no `names`.
    TypeError
        If it is neither a name nor a function.
    """
    if layout is None or callable(layout):
        return renaming(layout, layout, names)
    if not isinstance(layout, str):
        raise TypeError(f"layout is a name or a function of a PackedBatch, not {layout!r}")
    known: dict[str, Callable[..., Any]] = {"graph": graph, "padded": padded, "physnet": physnet}
    if layout not in known:
        raise ValueError(
            f"layout without torch is {', '.join(map(repr, known))} or a function, not {layout!r}"
        )
    return renaming(layout, partial(known[layout], as_numpy=True), names)


def renaming(layout: Any, join: Any, names: Names | None) -> Any:
    """Return the function of a layout with `names`; `layout` is how users asked for it.

    Raises
    ------
    ValueError
        If it is a function, or one that takes no names.
    """
    if names is None:
        return join
    if layout not in _RENAMED:
        raise ValueError(
            f"names are for layout={', '.join(map(repr, _RENAMED))}, not {layout!r}: a function has them as "
            "an option, as in functools.partial(collate.padded, names=...)"
        )
    if layout in ("graph", "padded"):
        words_of(names)
    return partial(join, names=names)


#: The layouts whose batches can have other names.
_RENAMED = ("graph", "padded", "pyg", "schnetpack", "mace", "fairchem")


#: The layouts that a loader knows by name.
LAYOUTS: dict[Layout, Callable[[Any], Any]] = {
    "graph": graph,
    "padded": padded,
    "list": _apart,
    "physnet": physnet,
    "pyg": pyg,
    "schnetpack": schnetpack,
    "mace": mace,
    "fairchem": fairchem,
}
