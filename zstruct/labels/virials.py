"""Virials among labels: they become stresses where there is a volume, as in a store itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.geometry.volumes import cell_volumes
from zstruct.schema import FIELDS
from zstruct.sources.normalize.checks import NOT_SYMMETRIC, not_symmetric
from zstruct.store.label_writer import LabelColumn
from zstruct.store.store import Store
from zstruct.voigt import full_to_voigt

__all__ = ["stress_of_virial", "volumes", "volumes_of", "without_virial"]

_STEP = 1 << 18  # structures


def volumes(store: Store, start: int, stop: int) -> NDArray[np.float64]:
    """Return the volumes of structures in cubic angstrom, shape (stop - start,); zero where there is none."""
    if "cell" not in store.fields:
        return np.zeros(stop - start)
    return volumes_of(store.read("cell", start, stop))


def volumes_of(cells: NDArray[Any]) -> NDArray[np.float64]:
    """Return the volumes of cells, shape (n, 3, 3), some of which may be missing: zero, shape (n,)."""
    return cell_volumes(np.nan_to_num(cells))


def stress_of_virial(
    virial: NDArray[np.float64], volume: NDArray[np.float64], start: int = 0
) -> NDArray[np.float64]:
    """Return stresses, -W/V, in the order of Voigt, shape (n, 6); NaN where there is no volume.

    Parameters
    ----------
    virial
        In eV, shape (n, 3, 3).
    volume
        In cubic angstrom, shape (n,).
    start
        The number of the first structure.

    Raises
    ------
    InputError
        If one is not symmetric.
    """
    skew = not_symmetric(virial)
    if skew.any():
        raise InputError(
            f"structure {start + int(np.flatnonzero(skew)[0])}: {NOT_SYMMETRIC.format('virial')}"
        )
    voigt = full_to_voigt(virial + virial.transpose(0, 2, 1)) / 2
    return -voigt / np.where(volume > 0, volume, np.nan)[:, None]


def without_virial(columns: Sequence[LabelColumn], store: Store) -> list[LabelColumn]:
    """Return columns of labels with stresses in place of virials; those of structures without a volume stay.

    Raises
    ------
    InputError
        If there are stresses, too.
    """
    virial = next((column for column in columns if column.field.name == "virial"), None)
    if virial is None:
        return list(columns)
    if any(column.field.name == "stress" for column in columns):
        raise InputError("stress and virial are given, and a virial becomes a stress: give one of them")
    rest = [column for column in columns if column is not virial]
    there, flat = _volumes_there(virial, store)

    def stress(start: int, stop: int) -> NDArray[np.float64]:
        found = virial.read(start, stop).astype(np.float64, copy=False)
        return stress_of_virial(found, volumes(store, start, stop), start)

    def kept(start: int, stop: int) -> NDArray[np.float64]:
        found = np.array(virial.read(start, stop), np.float64)
        found[volumes(store, start, stop) > 0] = np.nan
        return found

    if there:
        rest.append(LabelColumn(FIELDS["stress"], stress, None, {"source_key": "virial"}))
    if flat or not there:
        rest.append(replace(virial, field=FIELDS["virial"], read=kept))
    return rest


def _volumes_there(virial: LabelColumn, store: Store) -> tuple[bool, bool]:
    """Return whether any structure with a virial has a volume, and whether any has none."""
    there = flat = False
    for start in range(0, store.n_structures, _STEP):
        stop = min(start + _STEP, store.n_structures)
        volume = volumes(store, start, stop)
        if (volume > 0).all():
            there = True
            continue
        given = ~np.isnan(virial.read(start, stop)).all(axis=(1, 2))
        there |= bool((given & (volume > 0)).any())
        flat |= bool((given & (volume == 0)).any())
    return there, flat
