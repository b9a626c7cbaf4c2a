"""Batches as fairchem knows them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from zstruct.arguments import names as names_of
from zstruct.arguments import shown
from zstruct.batch.pack import Batch, Samples, pack
from zstruct.batch.packed import PackedBatch
from zstruct.errors import ArgumentTypeError
from zstruct.keywords import keywords
from zstruct.layouts.columns import columns_of, completed_cells, heads_among, integers, need, tensors
from zstruct.layouts.conversion import assembled, in_single, in_units
from zstruct.layouts.edges import find_edges

__all__ = ["fairchem"]


_FAIRCHEM = {"numbers": "atomic_numbers", "positions": "pos"}


@keywords()
def fairchem(
    samples: Samples,
    *,
    dataset: str | Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    names: Mapping[str, str] | None = None,
    per_atom: Collection[str] = (),
) -> Batch:
    """Join structures into the dict of a batch of fairchem's ``AtomicData``.

    ``AtomicData.from_dict(batch)`` makes one of it. Positions are those of the samples: fairchem's
    own way from ASE wraps them into the cell.

    Parameters
    ----------
    samples
        A `PackedBatch`, or a sequence of samples: mappings of tensors or arrays. It needs edges only
        for models that don't make their own.
    dataset
        The task that these structures belong to, for models that have several: ``"omol"``. Or, for a
        mixture, such texts by the names of its heads; without, these names are the tasks.
    units
        Other units than eV and angstrom, by quantity or by field: ``{"energy": "kcal/mol",
        "length": "bohr"}``; forces and other fields follow.
    names
        Names of the batch that are to be others.
    per_atom
        Names with a row per atom, beside those that are known to have one (see `layouts.graph`).

    Returns
    -------
    dict of str to torch.Tensor
        For B structures with N atoms and E edges: ``pos`` (N, 3), ``atomic_numbers`` (N,), ``cell`` (B, 3,
        3), in which missing vectors are made up, ``pbc`` (B, 3), ``natoms`` (B,), ``batch`` (N,), ``tags``
        and ``fixed`` (N,), which are zero where the samples have none, ``charge`` and ``spin`` (B,),
        integers, of ``total_charge`` and ``spin_multiplicity`` and zero where these are missing;
        ``edge_index`` (2, E), *neighbour and centre*, ``cell_offsets`` (E, 3), cell vectors to add to the
        neighbour's position, ``nedges`` (B,), without edges all empty or zero; ``energy`` (B,), ``forces``
        (N, 3), ``stress`` (B, 3, 3), which may be NaN; ``sid``, a list of the indices in the store where
        known, else in the batch, as text, and ``dataset``, a list of the tasks, if they are given or those of
        a mixture. Other fields have their own names. Floats have the dtype of ``pos``.

    Raises
    ------
    InputError
        If a unit is unknown or of the wrong dimension, or if a structure has a head that `dataset` does
        not name.
    ValueError
        If there is no sample, if samples differ in their fields or shapes, or have no numbers,
        positions, cells or pbc, or if two things would have one name.

    Examples
    --------
    >>> import ase.build, tempfile, zstruct
    >>> path = tempfile.mkdtemp() + "/water.zarr"
    >>> report = zstruct.build([ase.build.molecule("H2O")] * 2, path, progress=False)
    >>> batch = fairchem(zstruct.ZarrStructureDataset(path).take([0, 1]), dataset="omol")
    >>> batch["natoms"], batch["cell"].shape, batch["dataset"]
    (tensor([3, 3]), torch.Size([2, 3, 3]), ['omol', 'omol'])
    """
    packed = in_single(in_units(pack(samples, per_atom), units))
    n, n_atoms = len(packed), int(packed.offsets[-1])
    need(packed, "fairchem", "numbers", "positions", "cell", "pbc")
    dtype = packed.columns["positions"].dtype
    fields = columns_of(packed, dtype)
    fields["cell"] = completed_cells(fields["cell"])
    edges = find_edges(packed, "fairchem")
    sid = range(n) if packed.structures is None else packed.structures
    own: dict[str, Any] = {
        "natoms": packed.n_atoms,
        "batch": packed.batch,
        "tags": integers(fields.pop("tags", np.zeros(n_atoms))),
        "fixed": integers(fields.pop("fixed", np.zeros(n_atoms))),
        "charge": integers(fields.pop("total_charge", np.zeros(n))),
        "spin": integers(fields.pop("spin_multiplicity", np.zeros(n))),
        "edge_index": np.zeros((2, 0), np.int64) if edges is None else edges.index[::-1].copy(),
        "cell_offsets": np.zeros((0, 3), dtype) if edges is None else edges.unit_shifts,
        "nedges": np.zeros(n, np.int64) if edges is None else np.diff(edges.offsets),
        "sid": [str(i) for i in sid],
    }
    tasks = _tasks(packed, dataset)
    if tasks is not None:
        own["dataset"] = tasks
    return tensors(assembled("fairchem", fields, _FAIRCHEM, own, names))


def _tasks(packed: PackedBatch, dataset: str | Mapping[str, str] | None) -> list[str] | None:
    """Return the task of each structure; None: nobody says one."""
    if isinstance(dataset, str):
        return [dataset] * len(packed)
    if dataset is None:
        heads = () if packed.origin is None else packed.origin.heads
        return [heads[code] for code in packed.columns["head"].tolist()] if heads else None
    if not isinstance(dataset, Mapping) or not all(isinstance(task, str) for task in dataset.values()):
        raise ArgumentTypeError(
            f"dataset is the name of a task, or such names by those of heads, not {shown(dataset)}"
        )
    tasks = list(dataset.values())
    return [tasks[k] for k in heads_among(packed, names_of("dataset", list(dataset)), "dataset").tolist()]
