"""Drawings of what structures have, by matplotlib, which is loaded for them; each is in one Axes.

Groups are drawn one above the other, never over one another. Atoms are read in blocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from zstruct.arguments import count, shown
from zstruct.elements import SYMBOLS
from zstruct.errors import ArgumentTypeError, MissingExtraError
from zstruct.explore.groupings import grouped
from zstruct.explore.quantities import energy_per_atom
from zstruct.explore.ragged_dataset import RaggedDataset
from zstruct.explore.references import referenced_energy_per_atom
from zstruct.explore.selection import row_blocks, rows_of
from zstruct.ragged import counts_to_offsets
from zstruct.schema import ATOM
from zstruct.stats.histogram import Magnitudes
from zstruct.text import written_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

__all__ = ["axes_of", "plain", "plot_composition", "plot_energies", "plot_forces", "plot_sizes"]

ELEMENT = "element"
_DECADES = 6  # of forces that are told apart; smaller ones are drawn with the smallest
_MOST_BINS = 10_000
_FEW_BINS, _MANY_BINS = 10, 100  # drawn if nobody says how many
_NOTHING = 1e-12  # eV/angstrom
_SHARES = 20  # of the atoms of a structure


def axes_of(ax: Axes | None, height: float | None = None) -> Axes:
    """Return what to draw in: new axes if none are given.

    Parameters
    ----------
    ax
        Axes of matplotlib, or None.
    height
        Of new ones, in inches.

    Raises
    ------
    ArgumentTypeError
        If it is something else.
    MissingExtraError
        If matplotlib is not installed.
    """
    if ax is not None:
        if not hasattr(ax, "stairs"):
            raise ArgumentTypeError(f"ax is axes of matplotlib, or None, not {shown(ax)}")
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise MissingExtraError("drawings need matplotlib: pip install matplotlib") from error
    size = None if height is None else (6.4, height)
    axes: Axes = plt.subplots(figsize=size, layout="constrained")[1]
    return axes


def plot_energies(
    ragged: RaggedDataset,
    ax: Axes | None = None,
    bins: int | None = None,
    *,
    by: str | xr.DataArray | None = None,
    references: bool | str | Mapping[str, float] | None = None,
) -> Axes:
    """Draw how energies per atom are distributed, of all structures or of each group.

    Parameters
    ----------
    ragged
        The structures.
    ax
        Where to draw; new axes if not given.
    bins
        Number of bins. None: from 10 to 100, twice the root of the number of values.
    by
        A variable over structures that has labels, as ``"config_type"``, or such an array, as that of
        ``ds.zs.split()``: groups are drawn one above the other, each to its own height, the largest first.
        Of more than twelve, the smaller ones are drawn together.
    references
        Reference energies to subtract, as for `zstruct.statistics`: True, a name, or energies in eV by
        chemical symbol. Without them, energies of different compositions differ by those of the atoms.

    Raises
    ------
    KeyError
        If the Dataset has no energy, or no such labels.
    InputError
        If there are no such references, or an element has none.
    MissingExtraError
        If matplotlib is not installed.
    """
    bins = _checked(bins)
    if references is None or references is False:
        values, what = energy_per_atom(ragged).to_numpy(), "energy per atom"
    else:
        values, what = referenced_energy_per_atom(ragged, references), "energy per atom less references"
    known = np.isfinite(values)
    unit = written_unit(energy_per_atom(ragged).attrs["units"])
    edges = _edges(values[known], _enough(int(known.sum())) if bins is None else bins)
    if by is None:
        axes = axes_of(ax)
        axes.hist(values[known], bins=edges.tolist())
        _counts_along(axes, "structures")
    else:
        codes, names = grouped(ragged, by)
        counts = [np.histogram(values[known & (codes == k)], edges)[0] for k in range(len(names))]
        axes = _one_above_the_other(ax, names, counts, edges, "structures")
    axes.set_xlabel(f"{what} ({unit})")
    return axes


def plot_forces(
    ragged: RaggedDataset,
    ax: Axes | None = None,
    bins: int | None = None,
    *,
    by: str | xr.DataArray | None = None,
) -> Axes:
    """Draw how the norms of forces on atoms are distributed, of all, of each element or of each group.

    The axis of forces is logarithmic, so that a few large ones are seen as well as many small ones; what is
    below a millionth of the largest is drawn with the smallest, and the axis says how many these are.

    Parameters
    ----------
    ragged
        The structures.
    ax
        Where to draw; new axes if not given.
    bins
        Number of bins. None: from 10 to 100, twice the root of the number of values.
    by
        ``"element"``, or labels of structures as for `plot_energies`.

    Raises
    ------
    KeyError
        If the Dataset has no forces, or no such labels.
    InputError
        If the Dataset has lost `offsets` or `n_atoms`, or labels are none.
    MissingExtraError
        If matplotlib is not installed.
    """
    bins = _checked(bins)
    found = _force_norms(ragged, by)
    total = Magnitudes()
    for one in found.values():
        total = total.merge(one)
    edges = _decades(total, _enough(int(total.counts.sum())) if bins is None else bins)
    unit = written_unit(str(ragged.variable("forces").attrs.get("units", "eV angstrom-1")))
    counts = [_counted(one, edges) for one in found.values()]
    if by is None:
        axes = axes_of(ax)
        axes.stairs(counts[0], edges, fill=True)
        _counts_along(axes, f"{ATOM}s")
    else:
        axes = _one_above_the_other(ax, list(found), counts, edges, f"{ATOM}s")
    axes.set_xscale("log")
    below = int(total.counts[total.edges.mean(axis=1) < edges[0]].sum())
    less = f"; {below:,} with less in the first bin" if below else ""
    axes.set_xlabel(f"force on an atom ({unit}){less}")
    return axes


def plot_sizes(ragged: RaggedDataset, ax: Axes | None = None, bins: int = 100) -> Axes:
    """Draw how many structures have how many atoms.

    Parameters
    ----------
    ragged
        The structures.
    ax
        Where to draw; new axes if not given.
    bins
        Number of bins at most; each has the same number of sizes, one if there are no more than that.

    Raises
    ------
    KeyError
        If the Dataset has lost `n_atoms`.
    MissingExtraError
        If matplotlib is not installed.
    """
    bins = count("bins", bins, 1, _MOST_BINS)
    sizes = ragged.variable("n_atoms").to_numpy().astype(np.int64)
    axes = axes_of(ax)
    if len(sizes):
        least, most = int(sizes.min()), int(sizes.max())
        width = -(-(most - least + 1) // bins)
        axes.hist(sizes, bins=(np.arange(least, most + width + 1, width) - 0.5).tolist())
    axes.set_xlabel("atoms per structure")
    _whole_numbers_along(axes.xaxis)
    _counts_along(axes, "structures")
    return axes


def plot_composition(ragged: RaggedDataset, ax: Axes | None = None) -> Axes:
    """Draw a map of compositions: how many structures have how large a share of each element.

    There is a row for each element and a column for each twentieth of the atoms; the first are the
    structures that have a little of it. Structures without an element are in none of its columns.

    Parameters
    ----------
    ragged
        The structures.
    ax
        Where to draw; new axes if not given.

    Raises
    ------
    KeyError
        If the Dataset has no numbers.
    MissingExtraError
        If matplotlib is not installed.
    """
    symbols, counts = ragged.composition()
    sizes = np.maximum(counts.sum(axis=1), 1)
    edges = np.linspace(0, 1, _SHARES + 1)
    table = np.zeros((len(symbols), _SHARES), np.int64)
    for k, column in enumerate(counts.T):
        there = column > 0
        # A share on an edge belongs to the column that it ends: a twentieth is in the first, one in the last.
        places = -(-column[there].astype(np.int64) * _SHARES // sizes[there]) - 1
        table[k] = np.bincount(places, minlength=_SHARES)
    axes = axes_of(ax, max(2.0, 0.28 * len(symbols) + 1.0))
    from matplotlib.colors import LogNorm

    rows = np.arange(len(symbols) + 1) - 0.5
    drawn = axes.pcolormesh(
        100 * edges, rows, np.ma.masked_equal(table, 0), norm=LogNorm(1, max(2, table.max(initial=1)))
    )
    axes.set_yticks(range(len(symbols)), symbols)
    axes.invert_yaxis()
    axes.set_xlabel("share of the atoms (%)")
    axes.figure.colorbar(drawn, ax=axes, label="structures")
    return axes


def _checked(bins: int | None) -> int | None:
    return None if bins is None else count("bins", bins, 1, _MOST_BINS)


def _enough(n: int) -> int:
    """Return how many bins so many values can fill: with more, most would have one value or none."""
    return int(np.clip(np.ceil(2 * np.sqrt(n)), _FEW_BINS, _MANY_BINS))


def _counts_along(axes: Axes, noun: str) -> None:
    axes.set_ylabel(noun)
    _whole_numbers_along(axes.yaxis)


def _whole_numbers_along(axis: Axis) -> None:
    """Have no ticks between whole numbers, unless somebody chose where ticks are."""
    from matplotlib.ticker import MaxNLocator

    locator = axis.get_major_locator()
    if isinstance(locator, MaxNLocator):
        locator.set_params(integer=True, min_n_ticks=1)


def _edges(values: NDArray[np.float64], bins: int) -> NDArray[np.float64]:
    """Return the edges of bins over all values; of equal ones, bins about them."""
    edges: NDArray[np.float64] = np.histogram_bin_edges(values, bins)
    if (np.diff(edges) > 0).all():
        return edges
    middle = float(values.mean())  # numbers so near to one another that there are none between
    half = max(abs(middle), 1.0) * 1e-9
    return np.linspace(middle - half, middle + half, bins + 1)


def _one_above_the_other(
    ax: Axes | None, names: Sequence[str], counts: Sequence[NDArray[Any]], edges: NDArray[Any], noun: str
) -> Axes:
    axes = axes_of(ax, max(2.0, 0.45 * len(names) + 1.0))
    for k, drawn in enumerate(counts):
        height = 0.85 * drawn / max(1, drawn.max(initial=0))
        axes.stairs(k - height, edges, baseline=k, fill=True, color=f"C{k % 10}")
        axes.axhline(k, color="0.6", linewidth=0.5)
    said = [f"{name}  ({int(drawn.sum()):,})" for name, drawn in zip(names, counts, strict=True)]
    axes.set_yticks(range(len(names)), [plain(text) for text in said])
    axes.set_ylim(len(names) - 0.8, -1)
    axes.set_ylabel(noun)
    return axes


def plain(text: str) -> str:
    """Return a text that matplotlib does not take for mathematics."""
    return text.replace("$", r"\$")


def _force_norms(ragged: RaggedDataset, by: str | xr.DataArray | None) -> dict[str, Magnitudes]:
    """Return how the norms of forces are distributed, by group, element or all together."""
    forces = ragged.variable("forces")
    starts, counts = ragged.segments()
    rows, offsets = rows_of(starts, counts), counts_to_offsets(counts)
    of_elements = isinstance(by, str) and by == ELEMENT
    numbers = ragged.variable("numbers").isel({ATOM: rows}) if of_elements else None
    codes, names = (None, []) if by is None or of_elements else grouped(ragged, by)
    found: dict[int, Magnitudes] = {}
    for which, values, edges in row_blocks(forces.isel({ATOM: rows}), offsets):
        norms = np.sqrt(np.square(np.asarray(values, np.float64)).sum(axis=1))
        first = int(offsets[which.start])
        if numbers is not None:
            groups = numbers[first : first + len(norms)].to_numpy()
        elif codes is not None:
            groups = np.repeat(codes[which], np.diff(edges))
        else:
            groups = np.zeros(len(norms), np.uint8)
        for group in np.unique(groups).tolist():
            one = Magnitudes.of(norms[groups == group])
            found[group] = found[group].merge(one) if group in found else one
    if of_elements:
        return {SYMBOLS[z]: found[z] for z in sorted(found)}
    if by is None:
        return {"": found.get(0, Magnitudes())}
    return {name: found.get(k, Magnitudes()) for k, name in enumerate(names)}


def _decades(found: Magnitudes, bins: int) -> NDArray[np.float64]:
    """Return edges of bins of equal ratios, over all norms that are told apart."""
    norms = found.edges.mean(axis=1)
    most = float(found.edges.max(initial=0.0))
    if most < _NOTHING:
        return np.geomspace(_NOTHING, 1.0, bins + 1)
    least = most * 10.0**-_DECADES
    return np.geomspace(min(float(norms[norms >= least].min()), 0.999 * most), most, bins + 1)


def _counted(found: Magnitudes, edges: NDArray[np.float64]) -> NDArray[np.int64]:
    middles = np.clip(found.edges.mean(axis=1), edges[0], edges[-1])
    return np.histogram(middles, edges, weights=found.counts)[0].astype(np.int64)
