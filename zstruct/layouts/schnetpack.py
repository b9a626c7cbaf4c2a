"""Batches as SchNetPack knows them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from zstruct.batch.pack import Batch, Samples, pack
from zstruct.keywords import keywords
from zstruct.layouts.columns import columns_of, tensors
from zstruct.layouts.conversion import assembled, in_single, in_units
from zstruct.layouts.edges import edges_of

__all__ = ["schnetpack"]


_SCHNETPACK = {
    "numbers": "_atomic_numbers",
    "positions": "_positions",
    "cell": "_cell",
    "dipole": "dipole_moment",
    "charges": "partial_charges",
}


@keywords()
def schnetpack(
    samples: Samples,
    *,
    units: Mapping[str, str] | None = None,
    names: Mapping[str, str] | None = None,
    per_atom: Collection[str] = (),
) -> Batch:
    """Join structures into the dict that SchNetPack's ``AtomsLoader`` makes.

    Parameters
    ----------
    samples
        A `PackedBatch` with edges, or a sequence of samples: mappings of tensors or arrays.
    units
        Other units than eV and angstrom, by quantity or by field: ``{"energy": "kcal/mol",
        "length": "bohr"}``; forces and other fields follow.
    names
        Names of the batch that are to be others: ``{"energy": "energy_U0"}``.
    per_atom
        Names with a row per atom, beside those that are known to have one (see `layouts.graph`).

    Returns
    -------
    dict of str to torch.Tensor
        For B structures with N atoms and E edges: ``_idx`` (B,), the indices in the store where
        known, else in the batch; ``_n_atoms`` (B,), ``_atomic_numbers`` (N,), ``_positions``
        (N, 3), ``_cell`` (B, 3, 3), ``_pbc`` (3 B,), ``_idx_m`` (N,), the structure of each atom;
        ``_idx_i`` and ``_idx_j`` (E,), centre and neighbour, the same within their structure as
        ``_idx_i_local`` and ``_idx_j_local``; ``_offsets`` (E, 3), vectors to add to the neighbour's
        position. ``stress`` is (B, 3, 3); ``dipole`` is called ``dipole_moment`` and ``charges``
        ``partial_charges``; other fields have their own names. The model computes ``_Rij``.

    Raises
    ------
    InputError
        If a unit is unknown or of the wrong dimension.
    ValueError
        If samples have no edges, or differ in their fields or shapes, if there is no sample, or if
        two things would have one name.

    Examples
    --------
    >>> import ase.build, tempfile, zstruct
    >>> path = tempfile.mkdtemp() + "/water.zarr"
    >>> report = zstruct.build([ase.build.molecule("H2O")] * 2, path, progress=False)
    >>> data = zstruct.ZarrStructureDataset(path, neighbors=1.2)
    >>> batch = schnetpack(data.take([0, 1]))
    >>> batch["_idx_i"], batch["_idx_j"]
    (tensor([0, 0, 1, 2, 3, 3, 4, 5]), tensor([1, 2, 0, 0, 4, 5, 3, 3]))
    """
    packed = in_single(in_units(pack(samples, per_atom), units))
    edges = edges_of(packed, "schnetpack")
    fields = columns_of(packed)
    if "pbc" in fields:
        fields["_pbc"] = fields.pop("pbc").reshape(-1)
    first = np.repeat(packed.offsets[:-1], np.diff(edges.offsets))
    own = {
        "_idx": np.arange(len(packed)) if packed.structures is None else packed.structures,
        "_n_atoms": packed.n_atoms,
        "_idx_m": packed.batch,
        "_idx_i": edges.index[0],
        "_idx_j": edges.index[1],
        "_idx_i_local": edges.index[0] - first,
        "_idx_j_local": edges.index[1] - first,
        "_offsets": edges.shifts,
    }
    return tensors(assembled("schnetpack", fields, _SCHNETPACK, own, names))
