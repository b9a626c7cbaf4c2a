"""Batches as SchNetPack, MACE and fairchem know them: their names, shapes and ways to say "missing".

None of these libraries is needed to make them: they are dicts of tensors, and say what else a model
needs to be told. Nothing here knows of stores.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import integer, shown
from zstruct.loading.batch import PackedBatch
from zstruct.loading.conversion import assembled, in_single, in_units
from zstruct.loading.packing import Batch, Samples, converter, edges_of, find_edges, pack, which
from zstruct.loading.precision import narrowed
from zstruct.schema import SYMBOLS, atomic_number

__all__ = ["fairchem", "mace", "schnetpack"]

_VOIGT = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])
_SCHNETPACK = {
    "numbers": "_atomic_numbers",
    "positions": "_positions",
    "cell": "_cell",
    "dipole": "dipole_moment",
    "charges": "partial_charges",
}
_MACE = {"numbers": "atomic_numbers", "virial": "virials", "spin_multiplicity": "total_spin"}
#: The labels that MACE has weights for, and the axes that these weights have beside the structures.
_MACE_LABELS = {
    "energy": (),
    "forces": (),
    "stress": (),
    "virial": (),
    "dipole": (3,),
    "charges": (),
    "polarizability": (3, 3),
}
#: What MACE takes where a structure says nothing.
_MACE_DEFAULTS = {"weight": 1.0, "total_charge": 0.0, "spin_multiplicity": 1.0}
_FAIRCHEM = {"numbers": "atomic_numbers", "positions": "pos"}


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
        Names with a row per atom, beside those that are known to have one (see `collate.graph`).

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
    fields = _columns_of(packed)
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
    return _tensors(assembled("schnetpack", fields, _SCHNETPACK, own, names))


def mace(
    samples: Samples,
    elements: Iterable[str | int] | None = None,
    *,
    units: Mapping[str, str] | None = None,
    names: Mapping[str, str] | None = None,
    per_atom: Collection[str] = (),
) -> Batch:
    """Join structures into the dict that MACE's models take, that of a batch of its ``AtomicData``.

    MACE's losses want attributes: ``mace.tools.torch_geometric.Batch(**batch)`` has them. All floats
    have the dtype of the positions, which must be that of the model.

    Parameters
    ----------
    samples
        A `PackedBatch` with edges, or a sequence of samples: mappings of tensors or arrays.
    elements
        The elements that the model knows, symbols or atomic numbers: ``model.atomic_numbers``.
    units
        Other units than eV and angstrom, by quantity or by field: ``{"energy": "kcal/mol",
        "length": "bohr"}``; forces and other fields follow.
    names
        Names of the batch that are to be others: ``{"energy": "dft_energy"}``.
    per_atom
        Names with a row per atom, beside those that are known to have one (see `collate.graph`).

    Returns
    -------
    dict of str to torch.Tensor
        For B structures with N atoms and E edges: ``positions`` (N, 3), ``node_attrs`` (N,
        elements), one column for each element, sorted by atomic number as in MACE's table;
        ``edge_index`` (2, E), sender and receiver, which are centre and neighbour; ``unit_shifts``
        and ``shifts`` (E, 3), what to add to the receiver's position, in cell vectors and as a
        vector; ``cell`` (3 B, 3), ``pbc`` (B, 3), ``batch`` (N,), ``ptr`` (B + 1,), ``head`` (B,),
        the codes of that field or zero; ``weight`` (B,), that field or one; ``structure`` (B,), the
        indices in the store where known.

        Labels as far as the samples have them: ``energy`` (B,), ``forces`` (N, 3), ``stress``,
        ``virials`` and ``polarizability`` (B, 3, 3), ``dipole`` (B, 3), ``charges`` (N,). Where a
        structure lacks one it is zero, as MACE has it, and so is its ``energy_weight`` (B,) or
        ``dipole_weight`` (B, 3) and so on; the others are one. ``spin_multiplicity`` is called
        ``total_spin``, ``numbers`` ``atomic_numbers``; other fields have their own names. Cells
        are those of the samples: MACE's own are made larger where nothing repeats.

    Raises
    ------
    InputError
        If a unit is unknown or of the wrong dimension.
    ValueError
        If samples have no edges, or elements that are not in `elements`, or differ in their fields
        or shapes, if `elements` is not given or has what is no element, if there is no sample, or if
        two things would have one name.

    Examples
    --------
    >>> import ase.build, tempfile, zstruct
    >>> path = tempfile.mkdtemp() + "/water.zarr"
    >>> report = zstruct.build([ase.build.molecule("H2O")] * 2, path, progress=False)
    >>> data = zstruct.ZarrStructureDataset(path, neighbors=1.2)
    >>> mace(data.take([0]), ["O", "H"])["node_attrs"]
    tensor([[0., 1.],
            [1., 0.],
            [1., 0.]])
    """
    if elements is None:
        raise ValueError(
            "a mace batch needs the elements that the model knows: "
            "layout=functools.partial(collate.mace, elements=['H', 'O'])"
        )
    packed = in_single(in_units(pack(samples, per_atom), units))
    _need(packed, "mace", "numbers")
    edges = edges_of(packed, "mace")
    dtype, n = packed.columns["positions"].dtype, len(packed)
    fields = {
        name: narrowed(name, column, dtype) if column.dtype.kind == "f" else column
        for name, column in _columns_of(packed).items()
    }
    own: dict[str, NDArray] = {}
    for name, axes in _MACE_LABELS.items():
        if name not in fields:
            continue
        given = fields.pop(f"has_{name}", np.ones(n, bool))
        own[f"{_MACE.get(name, name)}_weight"] = _spread(given, axes).astype(dtype)
        if not given.all():
            there = given[packed.batch] if name in packed.per_atom else given
            fields[name] = np.where(_spread(there, fields[name].shape[1:]), fields[name], dtype.type(0))
    for name, default in _MACE_DEFAULTS.items():
        if f"has_{name}" in fields:
            given = fields.pop(f"has_{name}")
            fields[name] = np.where(given, fields[name], dtype.type(default))
    fields.setdefault("weight", np.ones(n, dtype))
    fields["cell"] = fields["cell"].reshape(-1, 3)
    own |= {
        "node_attrs": _one_hot(packed, elements).astype(dtype),
        "edge_index": edges.index,
        "shifts": edges.shifts,
        "unit_shifts": edges.unit_shifts,
        "batch": packed.batch,
        "ptr": packed.offsets,
        "head": fields.pop("head", np.zeros(n, np.int64)),
    }
    if packed.structures is not None:
        own["structure"] = packed.structures
    return _tensors(assembled("mace", fields, _MACE, own, names))


def fairchem(
    samples: Samples,
    *,
    dataset: str | None = None,
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
        The task that these structures belong to, for models that have several: ``"omol"``.
    units
        Other units than eV and angstrom, by quantity or by field: ``{"energy": "kcal/mol",
        "length": "bohr"}``; forces and other fields follow.
    names
        Names of the batch that are to be others.
    per_atom
        Names with a row per atom, beside those that are known to have one (see `collate.graph`).

    Returns
    -------
    dict of str to torch.Tensor
        For B structures with N atoms and E edges: ``pos`` (N, 3), ``atomic_numbers`` (N,), ``cell``
        (B, 3, 3), in which missing vectors are made up, ``pbc`` (B, 3), ``natoms`` (B,), ``batch``
        (N,), ``tags`` and ``fixed`` (N,), which are zero where the samples have none, ``charge`` and
        ``spin`` (B,), integers, of ``total_charge`` and ``spin_multiplicity`` and zero where these
        are missing; ``edge_index`` (2, E), *neighbour and centre*, ``cell_offsets`` (E, 3), cell
        vectors to add to the neighbour's position, ``nedges`` (B,), without edges all empty or zero;
        ``energy`` (B,), ``forces`` (N, 3), ``stress`` (B, 3, 3), which may be NaN; ``sid``, a list
        of the indices in the store where known, else in the batch, as text, and ``dataset``, a list
        of that text, if given. Other fields have their own names. Floats have the dtype of ``pos``.

    Raises
    ------
    InputError
        If a unit is unknown or of the wrong dimension.
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
    n, n_atoms = len(packed), len(packed.batch)
    _need(packed, "fairchem", "numbers", "positions", "cell", "pbc")
    dtype = packed.columns["positions"].dtype
    fields = {
        name: narrowed(name, column, dtype) if column.dtype.kind == "f" else column
        for name, column in _columns_of(packed).items()
    }
    fields["cell"] = _complete(fields["cell"])
    edges = find_edges(packed, "fairchem")
    sid = range(n) if packed.structures is None else packed.structures
    own: dict[str, Any] = {
        "natoms": packed.n_atoms,
        "batch": packed.batch,
        "tags": _integers(fields.pop("tags", np.zeros(n_atoms))),
        "fixed": _integers(fields.pop("fixed", np.zeros(n_atoms))),
        "charge": _integers(fields.pop("total_charge", np.zeros(n))),
        "spin": _integers(fields.pop("spin_multiplicity", np.zeros(n))),
        "edge_index": np.zeros((2, 0), np.int64) if edges is None else edges.index[::-1].copy(),
        "cell_offsets": np.zeros((0, 3), dtype) if edges is None else edges.unit_shifts,
        "nedges": np.zeros(n, np.int64) if edges is None else np.diff(edges.offsets),
        "sid": [str(i) for i in sid],
    }
    if dataset is not None:
        own["dataset"] = [dataset] * n
    return _tensors(assembled("fairchem", fields, _FAIRCHEM, own, names))


def _need(packed: PackedBatch, layout: str, *names: str) -> None:
    """Raise if structures lack one of some fields."""
    for name in names:
        if name not in packed.columns:
            raise ValueError(f"a {layout} batch needs the field {name!r}: ask the dataset for it, too")


def _columns_of(packed: PackedBatch) -> dict[str, NDArray]:
    """Return the columns, with stresses as matrices, and what pairs carry that no layout has a name for."""
    fields = dict(packed.columns)
    if "stress" in fields:
        fields["stress"] = fields["stress"][:, _VOIGT]
    for pairs in packed.pairs:
        if pairs.name != "edge_index":
            fields[pairs.name] = pairs.index
        fields |= {name: column for name, column in pairs.columns.items() if name != "edge_shift"}
    return fields


def _spread(values: NDArray, shape: tuple[int, ...]) -> NDArray:
    """Return values once for each component, (n, *shape)."""
    return np.broadcast_to(values.reshape(-1, *[1] * len(shape)), (len(values), *shape))


def _one_hot(packed: PackedBatch, elements: Iterable[str | int]) -> NDArray[np.bool_]:
    """Return which of the elements each atom is, sorted by atomic number, (atoms, elements)."""
    listed = isinstance(elements, Iterable) and getattr(elements, "ndim", 1) > 0
    if isinstance(elements, str) or not listed:
        raise ValueError(f"elements is a list of symbols or atomic numbers, not {shown(elements)}")
    known: list[int] = []
    for element in elements:
        number = atomic_number(element) if isinstance(element, str) else integer(element)
        if number is None or not 0 < number < len(SYMBOLS):
            raise ValueError(f"elements has {element!r}, which is no element")
        known.append(number)
    table = np.unique(known)
    hot = packed.columns["numbers"][:, None] == table
    strange = np.flatnonzero(~hot.any(axis=1))
    if len(strange):
        symbol = SYMBOLS[packed.columns["numbers"][strange[0]]]
        raise ValueError(
            f"{which(packed, packed.batch[strange[0]])} has {symbol}, which is none of elements= "
            f"({', '.join(SYMBOLS[z] for z in table)})"
        )
    return hot


def _complete(cells: NDArray) -> NDArray:
    """Return cells whose missing vectors are made up, at right angles to the others."""
    n_missing = 3 - np.count_nonzero(cells.any(axis=2), axis=1)
    if not n_missing.any():
        return cells
    from ase.geometry.cell import complete_cell

    filled = cells.copy()
    filled[n_missing == 3] = np.eye(3)
    for i in np.flatnonzero((n_missing > 0) & (n_missing < 3)):
        filled[i] = complete_cell(cells[i])
    return filled


def _integers(values: NDArray) -> NDArray[np.int64]:
    """Return whole numbers, zero for those that are missing."""
    return np.nan_to_num(values).round().astype(np.int64)


def _tensors(batch: Mapping[str, Any]) -> Batch:
    made = converter(as_numpy=False)
    return {name: made(value) if isinstance(value, np.ndarray) else value for name, value in batch.items()}
