"""Draw numbers over those that they should be, by matplotlib, which is loaded for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_parity"]

_POINTS = 5_000  # drawn one by one; more are counted in cells


def plot_parity(
    x: NDArray[np.float64], y: NDArray[np.float64], x_label: str, y_label: str, title: str, ax: Axes | None
) -> Axes:
    """Draw numbers over those that they are judged by, and the line on which they would agree.

    Parameters
    ----------
    x, y
        What they are judged by, and the numbers, shape (n,).
    x_label, y_label, title
        Texts.
    ax
        Where to draw; new axes if not given.
    """
    import matplotlib.pyplot as plt

    axes: Any = plt.subplots()[1] if ax is None else ax
    if len(x):
        low, high = min(x.min(), y.min()), max(x.max(), y.max())
        axes.plot([low, high], [low, high], color="0.6", linewidth=1, zorder=0)
    if len(x) > _POINTS:
        axes.hexbin(x, y, gridsize=120, bins="log", mincnt=1, linewidths=0.1)
    else:
        axes.scatter(x, y, s=6, alpha=0.5, linewidths=0)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_title(title)
    return axes
