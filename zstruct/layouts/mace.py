"""Batches as MACE knows them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import element_number, shown
from zstruct.arguments import names as names_of
from zstruct.batch.pack import Batch, Samples, pack, which
from zstruct.batch.packed import PackedBatch
from zstruct.elements import SYMBOLS
from zstruct.keywords import keywords
from zstruct.layouts.columns import columns_of, heads_among, need, spread, tensors
from zstruct.layouts.conversion import assembled, in_single, in_units
from zstruct.layouts.edges import edges_of

__all__ = ["mace"]


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


@keywords()
def mace(
    samples: Samples,
    elements: Iterable[str | int] | None = None,
    *,
    heads: Iterable[str] | None = None,
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
    heads
        The heads of the model, in its order: ``model.heads``. Then ``head`` counts these, by the names of the
        heads of the structures; without, it counts those of the mixture or the store.
    units
        Other units than eV and angstrom, by quantity or by field: ``{"energy": "kcal/mol",
        "length": "bohr"}``; forces and other fields follow.
    names
        Names of the batch that are to be others: ``{"energy": "dft_energy"}``.
    per_atom
        Names with a row per atom, beside those that are known to have one (see `layouts.graph`).

    Returns
    -------
    dict of str to torch.Tensor
        For B structures with N atoms and E edges: ``positions`` (N, 3), ``node_attrs`` (N, elements), one
        column for each element, sorted by atomic number as in MACE's table; ``edge_index`` (2, E), sender and
        receiver, which are centre and neighbour; ``unit_shifts`` and ``shifts`` (E, 3), what to add to the
        receiver's position, in cell vectors and as a vector; ``cell`` (3 B, 3), ``pbc`` (B, 3), ``batch``
        (N,), ``ptr`` (B + 1,), ``head`` (B,), which of the heads, or zero if there are none; ``weight`` (B,),
        that field or one; ``structure`` (B,), the indices in the store where known.

        Labels as far as the samples have them: ``energy`` (B,), ``forces`` (N, 3), ``stress``,
        ``virials`` and ``polarizability`` (B, 3, 3), ``dipole`` (B, 3), ``charges`` (N,). Where a
        structure lacks one it is zero, as MACE has it, and so is its ``energy_weight`` (B,) or
        ``dipole_weight`` (B, 3) and so on; the others are one. ``spin_multiplicity`` is called
        ``total_spin``, ``numbers`` ``atomic_numbers``; other fields have their own names. Cells
        are those of the samples: MACE's own are made larger where nothing repeats.

    Raises
    ------
    InputError
        If a unit is unknown or of the wrong dimension, or if a structure has a head that is none of `heads`.
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
            "layout=functools.partial(layouts.mace, elements=['H', 'O'])"
        )
    packed = in_single(in_units(pack(samples, per_atom), units))
    need(packed, "mace", "numbers")
    edges = edges_of(packed, "mace")
    dtype, n = packed.columns["positions"].dtype, len(packed)
    fields = columns_of(packed, dtype)
    own: dict[str, NDArray[Any]] = {}
    for name, axes in _MACE_LABELS.items():
        if name not in fields:
            continue
        given = fields.pop(f"has_{name}", np.ones(n, bool))
        own[f"{_MACE.get(name, name)}_weight"] = spread(given, axes).astype(dtype)
        if not given.all():
            there = given[packed.batch] if name in packed.per_atom else given
            fields[name] = np.where(spread(there, fields[name].shape[1:]), fields[name], dtype.type(0))
    for name, default in _MACE_DEFAULTS.items():
        if f"has_{name}" in fields:
            given = fields.pop(f"has_{name}")
            fields[name] = np.where(given, fields[name], dtype.type(default))
    fields.setdefault("weight", np.ones(n, dtype))
    fields["cell"] = fields["cell"].reshape(-1, 3)
    head = fields.pop("head", np.zeros(n, np.int64))
    if heads is not None:
        head = heads_among(packed, names_of("heads", heads), "the model")
    own |= {
        "node_attrs": _one_hot(packed, elements).astype(dtype),
        "edge_index": edges.index,
        "shifts": edges.shifts,
        "unit_shifts": edges.unit_shifts,
        "batch": packed.batch,
        "ptr": packed.offsets,
        "head": head,
    }
    if packed.structures is not None:
        own["structure"] = packed.structures
    return tensors(assembled("mace", fields, _MACE, own, names))


def _one_hot(packed: PackedBatch, elements: Iterable[str | int]) -> NDArray[np.bool_]:
    """Return which of the elements each atom is, sorted by atomic number, (atoms, elements)."""
    listed = isinstance(elements, Iterable) and getattr(elements, "ndim", 1) > 0
    if isinstance(elements, str) or not listed:
        raise ValueError(f"elements is a list of symbols or atomic numbers, not {shown(elements)}")
    known: list[int] = []
    for element in elements:
        number = element_number(element)
        if not number:
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
