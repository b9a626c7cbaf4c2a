"""Virials for formats that have these in place of stresses: minus the stress times the volume, in eV."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zstruct.exporters.blocks import Block
from zstruct.exporters.limits import FieldLimit, StructureLimit, periodic, same
from zstruct.voigt import voigt_to_full

__all__ = [
    "HUGE_STRESSES",
    "STRESSES_WITHOUT_VOLUME",
    "STRESS_DIGITS",
    "VIRIALS_BESIDE_STRESSES",
    "virials_of",
]


def virials_of(block: Block) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the virials of structures, shape (n, 3, 3), eV, and which of them have one, shape (n,).

    They are made of stresses, of structures that repeat; without a stress they are what the store has.
    """
    rows, there = np.zeros((len(block), 3, 3)), _has_stress(block)
    if there.any():
        volumes = np.abs(np.linalg.det(block.columns["cell"][there]))
        rows[there] = -voigt_to_full(block.columns["stress"][there]) * volumes[:, None, None]
    if "virial" in block.columns:
        others = block.has("virial") & ~there
        rows[others] = block.columns["virial"][others]
        there = there | others
    return rows, there


def _has_stress(block: Block) -> NDArray[np.bool_]:
    """Return which structures have a stress that becomes a virial."""
    there: NDArray[np.bool_] = block.has("stress") & periodic(block)
    return there


def _overflows(block: Block) -> NDArray[np.bool_]:
    there = _has_stress(block)
    if there.any():
        with np.errstate(over="ignore"):
            volumes = np.abs(np.linalg.det(block.columns["cell"]))
            products = np.abs(block.columns["stress"].astype(np.float64)).max(axis=1) * volumes
        there &= ~np.isfinite(products)
    return there


def _is_alone(block: Block) -> NDArray[np.bool_]:
    alone: NDArray[np.bool_] = block.has("stress") & ~periodic(block)
    return alone


def _is_second(block: Block) -> NDArray[np.bool_]:
    second: NDArray[np.bool_] = block.has("virial") & _has_stress(block)
    return second


#: There and back again, a stress is multiplied and divided by a volume.
STRESS_DIGITS: FieldLimit = same(
    "the last digits of stresses",
    lambda entry: entry.name == "stress",
    "a virial is written, stress times volume: the last digit may be another",
    "last digit",
)
STRESSES_WITHOUT_VOLUME = StructureLimit(
    "stresses of structures that do not repeat",
    "the format has virials, and there is no volume",
    _is_alone,
    ("stress",),
)
VIRIALS_BESIDE_STRESSES = StructureLimit(
    "virials of structures that have a stress", "the virial of the stress is written", _is_second, ("virial",)
)
HUGE_STRESSES = StructureLimit(
    "stresses whose virial is no number of 64 bits",
    "has a stress that is so large that its virial, stress times volume, is infinite: leave out stress",
    _overflows,
    refused=True,
)
