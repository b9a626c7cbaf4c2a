"""One stress from what inputs bring: stresses, virials, both, or infinities where there is no volume.

A virial W is -V times the stress. Works on fields, after names, units and shapes have been settled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.ragged import Packed
from zstruct.schema import FIELDS
from zstruct.sources.normalize.checks import NOT_SYMMETRIC, Bad, not_symmetric
from zstruct.sources.remarks import Remarks
from zstruct.units import factor
from zstruct.voigt import full_to_voigt

__all__ = ["one_stress"]

# A stress and a virial that differ by more than this part of the largest element contradict each other.
_CONTRADICTION = 1e-3
_TINY = 1e-8  # eV/angstrom^3: the last digit that most files have


def one_stress(
    packed: Packed,
    bad: Bad,
    remarks: Remarks,
    frames: NDArray[np.int64],
    label: str,
    keys: Mapping[str, str],
) -> None:
    """Turn virials into stress where there is a volume; drop what is no stress, or says the same twice.

    Parameters
    ----------
    packed
        The block; its columns ``stress`` and ``virial`` are changed.
    bad
        Where virials that are not symmetric are noted.
    remarks
        Where it is counted what was taken as missing.
    frames
        Frame numbers, shape (n,), for messages.
    label
        The source, for messages.
    keys
        What the input calls stress and virial, for messages.

    Raises
    ------
    InputError
        If a structure has a stress and a virial that contradict each other.
    """
    tensors = [packed.columns[name] for name in ("stress", "virial") if name in packed.columns]
    if "virial" not in packed.columns and not any(np.isinf(values).any() for values in tensors):
        return
    with np.errstate(all="ignore"):  # bad cells have been found
        volume = np.abs(np.linalg.det(packed.columns["cell"]))
    for name in ("stress", "virial"):
        if name in packed.columns:
            _drop_infinite(packed, name, volume, bad, remarks)
    if "virial" not in packed.columns:
        return
    n = len(packed)
    has_virial, virial = _given(packed, "virial"), packed.columns["virial"]
    has_stress = _given(packed, "stress") if "stress" in packed.columns else np.zeros(n, dtype=bool)
    usable = has_virial & (volume > 0) & ~bad.mask & np.isfinite(virial).all(axis=(1, 2))
    if not usable.any():
        return
    skew = np.zeros(n, dtype=bool)
    skew[usable] = not_symmetric(virial[usable])
    bad.add(skew, NOT_SYMMETRIC.format("virial"))
    full = virial[usable]
    turned = np.full((n, 6), np.nan)
    voigt = full_to_voigt(full + full.transpose(0, 2, 1)) / 2
    turned[usable] = -voigt / volume[usable, None]
    both = usable & has_stress & ~skew
    if both.any():
        differs = _contradictory(packed.columns["stress"], turned, both)
        if differs.any():
            i = int(np.flatnonzero(differs)[0])
            why = _reason(packed.columns["stress"][i], turned[i])
            raise InputError(
                "the stress and the virial contradict each other: a virial is minus the stress times the "
                f"volume{why}; leave one out with exclude=[{keys['stress']!r}] or "
                f"exclude=[{keys['virial']!r}]",
                label,
                int(frames[i]),
            )
    stress = np.full((n, 6), np.nan)
    if "stress" in packed.columns:
        stress[has_stress] = packed.columns["stress"][has_stress]
    turn = usable & ~has_stress
    stress[turn] = turned[turn]
    packed.present.pop("stress", None)
    packed.add(FIELDS["stress"], stress, has_stress | turn)
    left = has_virial & ~usable
    packed.present["virial"] = left
    if not left.any():
        del packed.columns["virial"], packed.fields["virial"], packed.present["virial"]


def _given(packed: Packed, name: str) -> NDArray[np.bool_]:
    """Return which structures have values that are not all NaN."""
    return packed.has(name) & packed.fields[name].given(packed.columns[name])


def _drop_infinite(packed: Packed, name: str, volume: NDArray[Any], bad: Bad, remarks: Remarks) -> None:
    """Take as missing what writers make of a division by no volume: infinities, with NaN for 0/0."""
    values = packed.columns[name]
    axes = tuple(range(1, values.ndim))
    here = packed.has(name)
    with np.errstate(invalid="ignore"):
        none = here & (volume == 0) & np.isinf(values).any(axis=axes)
    if not none.any():
        return
    packed.columns[name] = values = np.array(values)
    values[none] = np.nan
    packed.present[name] = here & ~none
    remarks.count(
        f"the {name} is infinite and there is no cell, so no volume: taken as missing",
        int((none & ~bad.mask).sum()),
    )


def _contradictory(stress: NDArray[Any], turned: NDArray[Any], both: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which structures have a stress and a virial that differ by more than their rounding."""
    with np.errstate(invalid="ignore"):
        largest = np.maximum(np.abs(stress), np.abs(turned)).max(axis=1)
        return both & (np.abs(stress - turned).max(axis=1) > _CONTRADICTION * largest + _TINY)


def _reason(stress: NDArray[Any], turned: NDArray[Any]) -> str:
    """Return what would explain the difference of two stresses: a sign, a unit."""
    size = float(turned @ turned)
    ratio = float(stress @ turned) / size if size > 0 else 0.0
    if ratio == 0.0 or np.abs(stress - ratio * turned).max() > _CONTRADICTION * np.abs(stress).max():
        return ""
    for unit in ("eV/angstrom^3", "GPa", "kbar", "bar"):
        sign = ratio * factor("stress", unit)
        if abs(abs(sign) - 1) < 10 * _CONTRADICTION:
            opposite = ", but they have opposite signs" if sign < 0 else ""
            in_unit = f" (the stress seems to be in {unit}: units={{'stress': {unit!r}}})"
            return opposite + ("" if unit == "eV/angstrom^3" else in_unit)
    return ""
