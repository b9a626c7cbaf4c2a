"""Batches of torch_geometric, made at once instead of joined from single graphs.

torch_geometric is only loaded when a batch is made. Nothing here knows of stores.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from zstruct.batch.pack import Samples, pack
from zstruct.batch.tensors import converter
from zstruct.errors import MissingExtraError
from zstruct.keywords import keywords
from zstruct.layouts.columns import with_indices
from zstruct.layouts.conversion import assembled, in_single, in_units
from zstruct.layouts.edges import find_edges

if TYPE_CHECKING:
    from torch_geometric.data import Batch

__all__ = ["pyg"]

_NAMES = {"numbers": "z", "positions": "pos", "energy": "y", "forces": "force"}


@keywords()
def pyg(
    samples: Samples,
    *,
    units: Mapping[str, str] | None = None,
    names: Mapping[str, str] | None = None,
    per_atom: Collection[str] = (),
) -> Batch:
    """Join structures into a ``torch_geometric.data.Batch``.

    It is what ``Batch.from_data_list`` makes of one ``Data`` for each structure, and can be taken
    apart again: ``batch[i]``, ``batch.to_data_list()``.

    Parameters
    ----------
    samples
        A `PackedBatch`, or a sequence of samples: mappings of tensors or arrays.
    units
        Other units than eV and angstrom, by quantity or by field: ``{"energy": "kcal/mol",
        "length": "bohr"}``; forces and other fields follow.
    names
        Names of the batch that are to be others: ``{"y": "energy"}``.
    per_atom
        Names with a row per atom, beside those that are known to have one (see `layouts.graph`).

    Returns
    -------
    torch_geometric.data.Batch
        For B structures with N atoms and E edges: ``pos`` and ``force`` (N, 3), ``z`` (N,), ``y``
        (B,), the energies; ``natoms`` (B,), ``batch`` (N,), ``ptr`` (B + 1,). With `neighbors`,
        ``edge_index`` (2, E), centre and neighbour, ``unit_shifts`` (E, 3), the cell vectors to add
        to the neighbour's position, and ``shifts`` (E, 3), their sum as a vector. Other fields have
        their own names, ``cell`` (B, 3, 3) among them, and so have ``structure``, their indices in
        the store, and what pairs carry besides. Features with rows of each structure's own come with
        ``features_batch`` and ``features_ptr``, as with ``follow_batch``.

    Raises
    ------
    MissingExtraError
        If torch-geometric is not installed.
    InputError
        If a unit is unknown or of the wrong dimension.
    ValueError
        If there is no sample, if samples differ in their fields or shapes, if two things would have
        one name, or if torch_geometric would take a field for an index because of its name.

    Examples
    --------
    >>> import pytest
    >>> geometric = pytest.importorskip("torch_geometric")
    >>> water = {"numbers": [8, 1, 1], "energy": -14.2}
    >>> proton = {"numbers": [1], "energy": 0.0}
    >>> batch = pyg([water, proton])
    >>> batch.z, batch.y, batch[0].z
    (tensor([8, 1, 1, 1]), tensor([-14.2000,   0.0000], dtype=torch.float64), tensor([8, 1, 1]))
    """
    if find_spec("torch_geometric") is None:
        raise MissingExtraError(
            "layout='pyg' (layouts.pyg) needs torch-geometric, which is not installed: "
            "pip install torch-geometric"
        )
    from torch_geometric.data import Batch, Data

    packed = in_single(in_units(pack(samples, per_atom), units))
    n = len(packed)
    steps = np.arange(n + 1)
    # Of each value, where those of the structures begin.
    fields = {
        name: (column, packed.offsets if name in packed.per_atom else steps)
        for name, column in with_indices(packed.columns).items()
    }
    own = {"natoms": (packed.n_atoms, steps)}
    if packed.structures is not None:
        own["structure"] = (packed.structures, steps)
    for pairs in packed.pairs:
        own[pairs.name] = (pairs.index, pairs.offsets)
        own |= {name: (column, pairs.offsets) for name, column in pairs.columns.items()}
    own |= {rows.name: (rows.values, rows.offsets) for rows in packed.ragged}
    if (edges := find_edges(packed, "pyg")) is not None:
        del own["edge_shift"]
        own["unit_shifts"] = (edges.unit_shifts, edges.offsets)
        own["shifts"] = (edges.shifts, edges.offsets)
    values = assembled("pyg", fields, _NAMES, own, names)
    indices = {names.get(pairs.name, pairs.name) if names else pairs.name for pairs in packed.pairs}

    tensor, batch = converter(as_numpy=False), Batch(_base_cls=Data)
    slices, increments = {}, {}
    ptr = tensor(packed.offsets)
    none, firsts = ptr.new_zeros(n), ptr[:-1]
    for key, (array, starts) in values.items():
        if (_counts_atoms(key) != (key in indices)) or key == "ptr":
            raise ValueError(
                f"torch_geometric would take {key!r} for something else because of its name: "
                "give it another with names="
            )
        batch[key] = tensor(array)
        slices[key] = tensor(starts)
        increments[key] = firsts if key in indices else none
    batch.batch, batch.ptr = tensor(packed.batch), ptr
    for rows in packed.ragged:  # as ``follow_batch`` has them
        key = names.get(rows.name, rows.name) if names else rows.name
        batch[f"{key}_batch"] = tensor(np.repeat(np.arange(n), np.diff(rows.offsets)))
        batch[f"{key}_ptr"] = tensor(rows.offsets)
    # As `Batch.from_data_list` does it; what takes batches apart reads these.
    batch._num_graphs, batch._slice_dict, batch._inc_dict = n, slices, increments
    return batch


def _counts_atoms(key: str) -> bool:
    """Return whether torch_geometric treats what has this name as an index, or as a number of graphs."""
    return "index" in key or "batch" in key or key == "face"
