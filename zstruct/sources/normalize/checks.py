"""What is plainly wrong with a block of structures: cells, positions, NaN, asymmetric tensors.

Works on fields, after names, units and shapes have been settled; every fault goes to the
structures that have it. What is done about bad structures is decided elsewhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.ragged import Packed, atom_rows, segment_reduce
from zstruct.schema import ATOM
from zstruct.sources.remarks import Remarks

__all__ = ["NOT_SYMMETRIC", "Bad", "check_geometry", "check_label", "check_precision", "not_symmetric"]

# A stress whose two triangles differ by more than this part of its largest element is refused.
_ASYMMETRY = 1e-3
_HUGE = 1e100  # angstrom; volumes beyond overflow
NOT_SYMMETRIC = "the {} is not symmetric, as it must be; check the order of its elements"


class Bad:
    """Which structures of a block are bad, and the first reason for each."""

    def __init__(self, n: int):
        self.mask = np.zeros(n, dtype=bool)
        self.reasons: dict[int, str] = {}

    def add(self, mask: NDArray[np.bool_], reason: str) -> None:
        """Note a reason against structures that are not bad already."""
        for i in np.flatnonzero(mask & ~self.mask):
            self.reasons[int(i)] = reason
        self.mask |= mask


def check_geometry(packed: Packed, offsets: NDArray[np.int64], bad: Bad, remarks: Remarks) -> None:
    """Find positions that are not finite, and cells that contradict the periodicity.

    What is periodic in all directions, but has no lattice vector, is not: so readers of extended XYZ take a
    molecule that has a ``Lattice`` of zeros. Left-handed lattice vectors are a cell like any other.
    """
    finite = np.isfinite(packed.columns["positions"])
    if not finite.all():
        ok = segment_reduce(finite.all(axis=1), offsets, "min").astype(bool)
        bad.add(~ok, "a position is NaN or infinite")
    cell, pbc = packed.columns["cell"], packed.columns["pbc"].astype(bool)
    if not (cell.any() or pbc.any()):
        return
    flat = ~(np.abs(cell) < _HUGE).all(axis=(1, 2))
    bad.add(flat, "the cell has a NaN, infinite or absurdly large element")
    cell = np.where(flat[:, None, None], 0.0, cell)
    norms = np.linalg.norm(cell, axis=2)
    none = pbc.all(axis=1) & ~flat & (norms == 0).all(axis=1)
    if none.any():
        pbc = pbc & ~none[:, None]
        packed.columns["pbc"] = pbc
        remarks.count(
            "periodic, but without any lattice vector: taken as not periodic", int((none & ~bad.mask).sum())
        )
    periodic = pbc.any(axis=1)
    zero = periodic & (pbc & (norms == 0)).any(axis=1) & ~flat
    bad.add(zero, "the structure is periodic along a lattice vector of length zero")
    turned = np.flatnonzero(periodic & ~zero)
    if len(turned) == 0:
        return
    flat_cell = np.zeros(len(cell), dtype=bool)
    # Non-periodic axes without a vector are completed by unit vectors: volume is then an area.
    unit = cell[turned] / np.where(norms[turned] == 0, 1.0, norms[turned])[:, :, None]
    flat_cell[turned] = _squared_volumes(unit, pbc[turned]) < 1e-12
    bad.add(flat_cell, "the cell has zero volume: its periodic lattice vectors are not independent")


def _squared_volumes(cell: NDArray[np.float64], pbc: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the squared volume that the periodic vectors of each cell span, or area, or length."""
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = cell.transpose(1, 2, 0)
    squared: NDArray[np.float64] = (
        ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx)
    ) ** 2
    part = np.flatnonzero(~pbc.all(axis=1))
    if len(part):
        gram = np.einsum("nij,nkj->nik", cell[part], cell[part])
        keep = pbc[part][:, :, None] & pbc[part][:, None, :]
        squared[part] = np.linalg.det(np.where(keep, gram, np.eye(3)))
    return squared


def check_label(packed: Packed, name: str, offsets: NDArray[np.int64], bad: Bad) -> None:
    """NaN through and through means missing; NaN in part, or infinity, is a fault."""
    spec, values = packed.fields[name], packed.columns[name]
    n = len(packed)
    present = packed.present.get(name)
    axes = tuple(range(1, values.ndim))
    finite = np.isfinite(values)
    if present is None and finite.all():
        return
    infinite = np.isinf(values).any(axis=axes)
    some, every = finite.any(axis=axes), finite.all(axis=axes)
    if spec.level == ATOM:
        infinite = segment_reduce(infinite, offsets, "max").astype(bool)
        some = segment_reduce(some, offsets, "max").astype(bool)
        every = segment_reduce(every, offsets, "min").astype(bool)
    here = np.ones(n, dtype=bool) if present is None else present
    bad.add(here & infinite, f"{name}: a value is infinite")
    bad.add(here & some & ~every & ~infinite, f"{name}: some values are NaN and others are not")
    here = here & some
    packed.columns[name] = values = np.array(values)
    rows = atom_rows(offsets[:-1][~here], packed.n_atoms[~here]) if spec.level == ATOM else ~here
    values[rows] = np.nan
    packed.present[name] = here
    if here.all():
        del packed.present[name]


def check_precision(packed: Packed, dtype: str, offsets: NDArray[np.int64], bad: Bad) -> None:
    """Find per-atom values that are finite, but infinite in the precision that they will be stored in."""
    largest = np.finfo(dtype).max
    for name, spec in packed.fields.items():
        values = packed.columns[name]
        if spec.level != ATOM or spec.kind != "float" or spec.dtype == dtype:
            continue
        if len(values) and values.max() <= largest and values.min() >= -largest:
            continue  # and nothing is NaN
        with np.errstate(over="ignore"):
            lost = np.isinf(values.astype(dtype)) & np.isfinite(values)
        if lost.any():
            rows = lost.reshape(len(lost), -1).any(axis=1)
            here = segment_reduce(rows, offsets, "max").astype(bool)
            example = np.abs(values[lost]).max()
            bad.add(
                here & packed.has(name),
                f"{name}: a value such as {example:g} is too large for {dtype}; store in encoding='float64'",
            )


def not_symmetric(full: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which 3x3 matrices are not symmetric; NaN and infinity are left for others to find."""
    with np.errstate(invalid="ignore"):
        difference = np.abs(full - full.transpose(0, 2, 1)).max(axis=(1, 2))
        return difference > _ASYMMETRY * np.abs(full).max(axis=(1, 2)) + 1e-8
