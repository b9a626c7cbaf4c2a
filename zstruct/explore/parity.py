"""Draw numbers over those that they should be, by matplotlib, which is loaded for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import count
from zstruct.errors import InputError
from zstruct.explore.label_variables import open_label_variables
from zstruct.explore.plots import axes_of, plain
from zstruct.explore.ragged_dataset import RaggedDataset
from zstruct.text import counted, written_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_labels", "plot_parity"]

_PER_ATOM = "energy_per_atom"
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
    axes: Any = axes_of(ax)
    if len(x):
        low, high = min(x.min(), y.min()), max(x.max(), y.max())
        axes.plot([low, high], [low, high], color="0.6", linewidth=1, zorder=0)
    if len(x) > _POINTS:
        axes.hexbin(x, y, gridsize=120, bins="log", mincnt=1, linewidths=0.1)
    else:
        axes.scatter(x, y, s=6, alpha=0.5, linewidths=0)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_title(title, fontsize="medium")
    return axes


def plot_labels(
    ragged: RaggedDataset,
    labels: str,
    truth: str | None = None,
    quantity: str = _PER_ATOM,
    ax: Axes | None = None,
    most: int | None = 100_000,
) -> Axes:
    """Draw labels of structures over other labels of the same ones, and the line on which they would agree.

    The title says the mean absolute and the root of the mean square error of what is drawn.

    Parameters
    ----------
    ragged
        The structures.
    labels
        Name of the labels to judge, as `zstruct.label` and `zstruct.labels.add` give it.
    truth
        Name of the labels to judge them by; by default the store's own.
    quantity
        ``"energy_per_atom"``, or a field with numbers that both have: of ``"forces"`` and the like, all
        components.
    ax
        Where to draw; new axes if not given.
    most
        At most of so many structures, evenly over all; None: of all.

    Raises
    ------
    InputError
        If there are no such labels, or the Dataset no longer knows its store or its atoms.
    KeyError
        If one of the two lacks the quantity.
    StaleGroupError
        If labels were made for other content than the store has now.
    MissingExtraError
        If matplotlib is not installed.
    """
    n = ragged.n_structures
    if most is not None and n > count("most", most, 1):
        ragged = RaggedDataset(ragged.cut(np.linspace(0, n - 1, most).astype(np.int64)))
    y, unit = _numbers(ragged, labels, quantity)
    x, _ = _numbers(ragged, truth, quantity)
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    error = y - x
    in_unit = f" ({unit})" if unit else ""
    said = [f"{quantity.replace('_', ' ')} of {counted(ragged.n_structures, 'structure')}"]
    if ragged.n_structures < n:
        said[0] += f" among {n:,}"
    if len(error):
        mae, rmse = np.abs(error).mean(), np.sqrt(np.square(error).mean())
        said.append(f"MAE {mae:.3g}, RMSE {rmse:.3g} {unit}".rstrip())
    over = "the store's own" if truth is None else truth
    return plot_parity(x, y, plain(over) + in_unit, plain(labels) + in_unit, "\n".join(said), ax)


def _numbers(ragged: RaggedDataset, labels: str | None, quantity: str) -> tuple[NDArray[np.float64], str]:
    """Return the numbers of one set of labels, shape (n,), and their unit as people write it."""
    dataset = ragged.dataset if labels is None else open_label_variables(ragged.dataset, labels)
    variable = RaggedDataset(dataset).variable("energy" if quantity == _PER_ATOM else quantity)
    values = variable.to_numpy()
    if values.dtype.kind not in "fiu":
        raise InputError(f"{quantity} has no numbers that could be drawn over others")
    if quantity == _PER_ATOM:
        values = values / ragged.counts().to_numpy()
    return values.astype(np.float64).ravel(), written_unit(str(variable.attrs.get("units", "")))
