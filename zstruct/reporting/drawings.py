"""Drawings of a page as SVG: bars, rows of groups one above the other, the periodic table.

They are text, whose colours are those of the page, so that they are dark or light as that is. All words are
escaped here.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.elements import SYMBOLS
from zstruct.reporting.ticks import decades, short, ticks

__all__ = ["Axis", "bins_of", "histogram", "periodic_table", "rows_of_groups"]

_WIDTH, _HEIGHT = 640, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 8, 44
_ROW = 34  # of a group
_NAMES = 190  # what is left of rows, for names
_LONGEST = 26  # letters of a name
_BINS = 80


@dataclass(frozen=True)
class Axis:
    """What is along an axis.

    Parameters
    ----------
    label
        What it is, with its unit.
    log
        Whether equal ratios are equal lengths.
    """

    label: str
    log: bool = False

    def places(self, values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where values are between the first and the last edge, from 0 to 1."""
        scale = np.log10 if self.log else np.asarray
        low, high = scale(edges[0]), scale(edges[-1])
        return (scale(values) - low) / (high - low)

    def ticks(self, edges: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where ticks are."""
        low, high = float(edges[0]), float(edges[-1])
        return np.array(decades(low, high) if self.log else ticks(low, high))


def bins_of(values: NDArray[Any], whole: bool = False) -> NDArray[np.float64]:
    """Return the edges of bins for some numbers, none missing; between whole numbers, if these are."""
    low, high = float(values.min()), float(values.max())
    if whole:
        width = max(1, math.ceil((high - low + 1) / _BINS))
        return np.arange(low, high + width + 1, width) - 0.5
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-300):
        half = max(abs(low) * 1e-6, 1e-6)
        low, high = low - half, high + half
    return np.linspace(low, high, _BINS + 1)


def histogram(counts: NDArray[Any], edges: NDArray[np.float64], axis: Axis, noun: str) -> str:
    """Return bars.

    Parameters
    ----------
    counts, edges
        What is in each bin, shape (n,), and where bins begin and end, shape (n + 1,).
    axis
        What is along the axis.
    noun
        What was counted.
    """
    most = max(1, int(counts.max(initial=0)))
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    bars = _outline(counts / most, edges, axis, _LEFT, _TOP + height, width, height)
    grid = ""
    for value in ticks(0, most, 4):
        y = _TOP + height * (1 - value / most)
        grid += f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>'
        grid += f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{short(value)}</text>'
    noun_at = f'<text transform="translate(14 {_TOP + height / 2:.0f}) rotate(-90)" text-anchor="middle">'
    said = f"{noun_at}{html.escape(noun)}</text>"
    drawn = grid + f'<path class="bar" d="{bars}"/>' + _axis(edges, axis, _LEFT, width, _TOP + height) + said
    return _svg(_WIDTH, _HEIGHT, f"{noun} by {axis.label}", drawn)


def rows_of_groups(
    names: Sequence[str], counts: Sequence[NDArray[Any]], edges: NDArray[np.float64], axis: Axis, noun: str
) -> str:
    """Return a row of bars for each group, each to its own height, with its name and how many there are.

    Parameters
    ----------
    names
        Of the groups.
    counts
        What is in each bin, for each group.
    edges, axis, noun
        As for `histogram`.
    """
    width, height = _WIDTH - _NAMES - _RIGHT, _TOP + _ROW * len(names) + _BOTTOM
    drawn = ""
    for k, (name, found) in enumerate(zip(names, counts, strict=True)):
        foot = _TOP + _ROW * (k + 1)
        bars = _outline(found / max(1, found.max(initial=0)), edges, axis, _NAMES, foot, width, _ROW - 5)
        total = f"{int(found.sum()):,}"
        drawn += (
            f'<path class="grid" d="M{_NAMES} {foot}H{_WIDTH - _RIGHT}"/>'
            f'<path class="bar" style="fill:var(--group-{k % 12})" d="{bars}"/>'
            f'<text x="{_NAMES - 8}" y="{foot - 16}" text-anchor="end">{html.escape(_cut(name))}'
            f"<title>{html.escape(name)}</title></text>"
            f'<text class="faint" x="{_NAMES - 8}" y="{foot - 3}" text-anchor="end">{total}</text>'
        )
    drawn += _axis(edges, axis, _NAMES, width, _TOP + _ROW * len(names))
    return _svg(_WIDTH, height, f"{noun} of each group by {axis.label}", drawn)


def periodic_table(with_element: NDArray[np.int64], atoms_of: NDArray[np.int64]) -> str:
    """Return the periodic table, with how many structures have each element.

    Parameters
    ----------
    with_element, atoms_of
        Structures that have each element, and its atoms, by atomic number, shape (256,).
    """
    size, gap = 35, 2
    most = max(1, int(with_element[1:119].max(initial=0)))
    drawn = ""
    for z in range(1, 119):
        row, column = _place(z)
        x, y = column * (size + gap), row * (size + gap) + (6 if row > 6 else 0)
        n = int(with_element[z])
        share = 0.0 if not n else 0.15 + 0.85 * (math.log1p(n) / math.log1p(most))
        said = f"{SYMBOLS[z]}: {n:,} structures, {int(atoms_of[z]):,} atoms"
        kind = "element there" if n else "element"
        drawn += (
            f'<g class="{kind}" transform="translate({x} {y})" data-structures="{n}"><title>{said}</title>'
        )
        drawn += f'<rect width="{size}" height="{size}" rx="3" style="--share:{share:.3f}"/>'
        drawn += f'<text x="{size / 2}" y="{16 if n else 22}" text-anchor="middle">{SYMBOLS[z]}</text>'
        if n:
            drawn += f'<text class="count" x="{size / 2}" y="29" text-anchor="middle">{_brief(n)}</text>'
        drawn += "</g>"
    return _svg(18 * (size + gap), 9 * (size + gap) + 6, "structures that have each element", drawn)


def _place(z: int) -> tuple[int, int]:
    """Return row and column of an element in the table of eighteen columns, from 0."""
    for noble, before, period in (
        (2, 0, 0),
        (10, 2, 1),
        (18, 10, 2),
        (36, 18, 3),
        (54, 36, 4),
        (86, 54, 5),
        (118, 86, 6),
    ):
        if z > noble:
            continue
        k = z - before
        if period == 0:
            return 0, 0 if k == 1 else 17
        if k <= 2:
            return period, k - 1
        if period < 5:
            return period, 17 - (noble - z)
        if k <= 16:  # lanthanides and actinides, below: La to Yb, Ac to No
            return period + 2, k
        return period, 17 - (noble - z)
    raise AssertionError(z)


def _outline(
    heights: NDArray[np.float64],
    edges: NDArray[np.float64],
    axis: Axis,
    left: float,
    foot: float,
    width: float,
    height: float,
) -> str:
    """Return the path around bars; a bar that is not empty is seen."""
    x = left + width * axis.places(edges, edges)
    tall = np.where(heights > 0, np.maximum(heights * height, 1.0), 0.0)
    steps = [f"M{x[0]:.1f} {foot:.1f}"]
    for k, one in enumerate(tall.tolist()):
        steps.append(f"V{foot - one:.1f}H{x[k + 1]:.1f}")
    return "".join([*steps, f"V{foot:.1f}Z"])


def _axis(edges: NDArray[np.float64], axis: Axis, left: float, width: float, foot: float) -> str:
    drawn = f'<path class="axis" d="M{left} {foot}h{width}"/>'
    values = axis.ticks(edges)
    for value, place in zip(values.tolist(), axis.places(values, edges).tolist(), strict=True):
        x = left + width * place
        drawn += f'<path class="axis" d="M{x:.1f} {foot}v4"/>'
        drawn += f'<text x="{x:.1f}" y="{foot + 17}" text-anchor="middle">{short(value)}</text>'
    middle = left + width / 2
    return drawn + f'<text x="{middle}" y="{foot + 36}" text-anchor="middle">{html.escape(axis.label)}</text>'


def _svg(width: float, height: float, said: str, drawn: str) -> str:
    """Return a drawing that scrolls by itself where it would be too small to be read."""
    return (
        f'<div class="wide"><svg viewBox="0 0 {width} {height}" role="img" aria-label="{html.escape(said)}" '
        f'style="max-width:{width}px">{drawn}</svg></div>'
    )


def _cut(name: str) -> str:
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


def _brief(n: int) -> str:
    """Return a count in few letters.

    Examples
    --------
    >>> _brief(999), _brief(1234), _brief(25_000), _brief(3_400_000)
    ('999', '1.2k', '25k', '3.4M')
    """
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if n >= size:
            return f"{n / size:.1f}{unit}" if n < 10 * size else f"{n // size}{unit}"
    return str(n)
