"""Drawings of what structures have, by matplotlib, which is loaded for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zstruct.explore.quantities import energy_per_atom
from zstruct.explore.ragged_dataset import RaggedDataset

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_energies"]


def plot_energies(ragged: RaggedDataset, ax: Axes | None = None, bins: int = 100) -> Axes:
    """Draw a histogram of the energy per atom.

    Parameters
    ----------
    ragged
        The structures.
    ax
        Where to draw; new axes if not given.
    bins
        Number of bins.
    """
    import matplotlib.pyplot as plt

    axes: Axes = plt.subplots()[1] if ax is None else ax
    values = energy_per_atom(ragged).to_numpy()
    axes.hist(values[np.isfinite(values)], bins=bins)
    axes.set_xlabel("energy per atom (eV)")
    axes.set_ylabel("structures")
    return axes
