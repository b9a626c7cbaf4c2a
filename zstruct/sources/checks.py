"""What is plainly wrong with a block of structures: cells, positions, NaN, asymmetric tensors.

Works on fields, after names, units and shapes have been settled; every fault goes to the
structures that have it. What is done about bad structures is decided elsewhere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zstruct.ragged import Packed, atom_rows, segment_reduce
from zstruct.schema import ATOM, FIELDS

__all__ = ["NOT_SYMMETRIC", "Bad", "check_geometry", "check_label", "not_symmetric", "stress_from_virial"]

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


def check_geometry(packed: Packed, offsets: NDArray[np.int64], bad: Bad) -> None:
    """Find positions that are not finite, and cells that contradict the periodicity."""
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
    periodic = pbc.any(axis=1)
    zero = periodic & (pbc & (norms == 0)).any(axis=1) & ~flat
    bad.add(zero, "the structure is periodic along a lattice vector of length zero")
    # Non-periodic axes without a vector are completed by unit vectors: volume is then an area.
    scale = np.where(norms == 0, 1.0, norms)
    unit = cell / scale[:, :, None]
    gram = np.einsum("nij,nkj->nik", unit, unit)
    keep = pbc[:, :, None] & pbc[:, None, :]
    gram = np.where(keep, gram, np.eye(3))
    flat_cell = periodic & ~zero & (np.linalg.det(gram) < 1e-12)
    bad.add(flat_cell, "the cell has zero volume: its periodic lattice vectors are not independent")
    left = periodic & (norms > 0).all(axis=1) & (np.linalg.det(cell) < 0)
    bad.add(left, "the cell has negative volume (left-handed lattice vectors); swap two of them")


def stress_from_virial(packed: Packed, bad: Bad) -> None:
    """Turn virials into stress, -W/V, for structures that have a volume and no stress."""
    if "virial" not in packed.columns:
        return
    n = len(packed)
    every = np.ones(n, dtype=bool)
    with np.errstate(all="ignore"):  # bad cells have been found
        volume = np.abs(np.linalg.det(packed.columns["cell"]))
    has_virial = packed.present.get("virial", every)
    stress = np.full((n, 6), np.nan)
    has_stress = np.zeros(n, dtype=bool)
    if "stress" in packed.columns:
        has_stress = packed.present.get("stress", every)
        stress[has_stress] = packed.columns["stress"][has_stress]
    turn = has_virial & ~has_stress & (volume > 0) & ~bad.mask
    if not turn.any():
        return
    virial = packed.columns["virial"][turn]
    skew = np.zeros(n, dtype=bool)
    skew[turn] = not_symmetric(virial)
    bad.add(skew, NOT_SYMMETRIC.format("virial"))
    voigt = (virial + virial.transpose(0, 2, 1))[:, [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] / 2
    stress[turn] = -voigt / volume[turn, None]
    packed.present.pop("stress", None)
    packed.add(FIELDS["stress"], stress, has_stress | turn)
    left = has_virial & ~turn
    packed.present["virial"] = left
    if not left.any():
        del packed.columns["virial"], packed.fields["virial"], packed.present["virial"]


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


def not_symmetric(full: NDArray) -> NDArray[np.bool_]:
    """Return which 3x3 matrices are not symmetric; NaN and infinity are left for others to find."""
    with np.errstate(invalid="ignore"):
        difference = np.abs(full - full.transpose(0, 2, 1)).max(axis=(1, 2))
        return difference > _ASYMMETRY * np.abs(full).max(axis=(1, 2)) + 1e-8
