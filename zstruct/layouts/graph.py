"""Structures as one graph: atoms end to end; or left apart, in a list."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal

from zstruct.arguments import shown
from zstruct.batch.pack import Batch, Samples, pack
from zstruct.batch.packed import ATOMS, PackedBatch
from zstruct.batch.tensors import converter
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.keywords import keywords
from zstruct.layouts.vocabulary import Names, vocabulary_of

__all__ = ["as_list", "graph"]

_INDICES = ("batch", "ptr", "both")


@keywords()
def graph(
    samples: Samples,
    *,
    index: Literal["batch", "ptr", "both"] = "both",
    names: Names | None = None,
    as_numpy: bool = False,
    per_atom: Collection[str] = (),
) -> Batch:
    """Join structures into one graph: atoms end to end, per-structure values stacked.

    Parameters
    ----------
    samples
        A `PackedBatch`, or a sequence of samples: mappings of tensors or arrays.
    index
        What tells whose atoms are whose: ``"batch"``, ``"ptr"`` or ``"both"``. ``batch`` has 8 bytes for
        each atom; without it, batches are made faster.
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
        carry is (E, ...). Features with rows of each structure's own are (all rows, F), with their edges
        ``features_ptr`` (B + 1,). ``atoms``, a list of `ase.Atoms`, if the dataset was asked for these.
        Tensors may share memory with a `PackedBatch`.

    Raises
    ------
    ValueError
        If there is no sample, or if samples differ in their fields or shapes, or if `names` gives two
        things one name, or names what is not there.
    InputError
        If `index` is none of the three.

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
        words = vocabulary_of(names)
        return words.said("graph", graph(words.prepared(packed), index=index, as_numpy=True), as_numpy)
    both = index == "both"  # as nearly always
    if not both and (not isinstance(index, str) or index not in _INDICES):
        raise InputError(f"index is 'batch', 'ptr' or 'both', not {shown(index)}")
    made = converter(as_numpy)
    batch: Batch = {}
    for name, column in packed.columns.items():  # which costs less than a comprehension, and this is hot
        batch[name] = made(column)
    for pairs in packed.pairs:
        batch[pairs.name] = made(pairs.index)
        for name, column in pairs.columns.items():
            batch[name] = made(column)
    for rows in packed.ragged:
        batch |= {rows.name: made(rows.values), f"{rows.name}_ptr": made(rows.offsets)}
    batch["n_atoms"] = made(packed.n_atoms)
    if packed.structures is not None:
        batch["structure"] = made(packed.structures)
    if packed.atoms:
        batch[ATOMS] = list(packed.atoms)
    if both or index == "batch":
        batch["batch"] = made(packed.batch)
    if both or index == "ptr":
        batch["ptr"] = made(packed.offsets)
    return batch


@keywords()
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


def apart(samples: PackedBatch) -> PackedBatch:
    """Leave a batch as the sequence of samples that it is.

    A list of samples would cross from a worker process as one shared-memory file per tensor, and
    a few large batches of those exhaust the files a process may have open.
    """
    return samples
