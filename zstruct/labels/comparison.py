"""`Comparison`: what `zstruct.compare` found, as a table, as JSON, and as parity plots."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import count, shown
from zstruct.errors import UnknownNameError
from zstruct.keywords import keywords, set_fields
from zstruct.labels.errors import Errors, Worst
from zstruct.schema import ATOM
from zstruct.stats.scan import Part
from zstruct.text import counted, html_list, html_table, written_unit

__all__ = ["Comparison"]

_SHOWN = 5  # structures, and values that errors are told by


@dataclass(frozen=True, eq=False)
class Comparison:
    """Result of `zstruct.compare`; printing it gives a table.

    Parameters
    ----------
    path
        The store.
    a, b
        Names of the labels that are judged, and of those that they are judged by; None: the store's own.
    n_structures
        Structures that were looked at.
    errors
        `Errors` by quantity: ``"energy_per_atom"``, ``"forces"``, ``"stress"``, and other fields.
    units
        By quantity.
    by
        The same by what they are told by, ``by["element"]["Ti"]["forces"]``.
    worst
        The structures with the largest errors, by quantity: of vectors the largest norm on any atom, of other
        fields the largest absolute value.
    compared
        How many structures have the quantity in both.
    """

    path: str
    a: str
    b: str | None
    n_structures: int
    errors: Mapping[str, Errors]
    units: Mapping[str, str]
    by: Mapping[str, Mapping[str, Mapping[str, Errors]]]
    worst: Mapping[str, Worst]
    compared: Mapping[str, int]
    _part: Part = field(init=False, repr=False)
    _names: Mapping[str, tuple[str, str]] = field(init=False, repr=False)
    _divided: frozenset[str] = field(init=False, repr=False)

    def of(self, part: Part, names: Mapping[str, tuple[str, str]], divided: Collection[str]) -> Comparison:
        """Return the comparison that knows what it is of, so that it can be drawn.

        Parameters
        ----------
        part
            The structures, of a store that has both labels as fields.
        names
            Those of the fields `a` and `b`, by quantity.
        divided
            Quantities that are fields divided by the number of atoms.
        """
        set_fields(self, _part=part, _names=dict(names), _divided=frozenset(divided))
        return self

    @keywords()
    def parity(
        self, quantity: str, most: int | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return what labels are judged by, and the labels, number by number; reads both.

        Parameters
        ----------
        quantity
            One of `errors`.
        most
            At most of so many structures, evenly over all that were looked at; None: of all.

        Returns
        -------
        tuple of NDArray
            ``x``, of labels `b`, and ``y``, of labels `a`, shape (n,) each, in the unit of the quantity;
            those that one of the two lacks are left out.

        Raises
        ------
        UnknownNameError
            If there is no such quantity.
        """
        if not isinstance(quantity, str) or quantity not in self._names:
            raise UnknownNameError(
                f"there is no quantity {shown(quantity)} here; there are {', '.join(self._names)}"
            )
        store, rows = self._part.store, self._part.structures
        if most is not None and len(rows) > count("most", most, 1):
            rows = rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]
        pair = []
        edges = store.read("offsets")
        for name in reversed(self._names[quantity]):
            values = store.read(name).astype(np.float64)
            if store.fields[name].level == ATOM:
                which = np.zeros(store.n_structures, dtype=bool)
                which[rows] = True
                values = values[np.repeat(which, np.diff(edges))]
            else:
                values = values[rows]
                if quantity in self._divided:
                    values = values / np.diff(edges)[rows]
            pair.append(values.ravel())
        known = ~np.isnan(pair[0]) & ~np.isnan(pair[1])
        return pair[0][known], pair[1][known]

    @keywords()
    def plot(self, quantity: str | None = None, ax: Any = None, most: int | None = 100_000) -> Any:
        """Draw labels over those that they are judged by.

        Parameters
        ----------
        quantity
            What to draw; by default the first.
        ax
            Axes of matplotlib to draw in; new ones if not given.
        most
            At most of so many structures; None: of all.

        Returns
        -------
        matplotlib.axes.Axes
            What was drawn in.
        """
        from zstruct.explore.parity import plot_parity

        drawn = next(iter(self.errors)) if quantity is None else quantity
        x, y = self.parity(drawn, most)
        errors, unit = self.errors[drawn], written_unit(self.units[drawn])
        told = f"{drawn.replace('_', ' ')}: MAE {errors.mae:.3g}, RMSE {errors.rmse:.3g} {unit}".rstrip()
        in_unit = f" ({unit})" if unit else ""
        return plot_parity(x, y, f"{self._said_b}{in_unit}", f"{self.a}{in_unit}", told, ax)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold; None stands for NaN."""
        return {
            "path": self.path,
            "a": self.a,
            "b": self.b,
            "n_structures": self.n_structures,
            "units": dict(self.units),
            "compared": dict(self.compared),
            "errors": {name: one.to_dict() for name, one in self.errors.items()},
            "by": {
                what: {
                    value: {name: one.to_dict() for name, one in errors.items()}
                    for value, errors in told.items()
                }
                for what, told in self.by.items()
            },
            "worst": {
                name: {"structures": list(one.structures), "errors": list(one.errors)}
                for name, one in self.worst.items()
            },
        }

    @property
    def _said_b(self) -> str:
        return "the store's own" if self.b is None else self.b

    def _head(self) -> list[str]:
        fractions = next(iter(self.errors.values())).fractions
        return ["", "structures", "MAE", "RMSE", "bias", *(f"{100 * q:g}%" for q in fractions), "max"]

    def _rows(self) -> list[list[str]]:
        """Return a line for each quantity, and for what its errors are told by."""
        rows = []
        for name, errors in self.errors.items():
            unit = f", {self.units[name]}" if self.units[name] not in ("", "1") else ""
            rows.append([f"{name}{unit}", f"{self.compared[name]:,}", *_numbers(errors)])
            for told in self.by.values():
                values = {value: found[name] for value, found in told.items() if name in found}
                if len(values) > 1:
                    rows += [[f"  {value}", "", *_numbers(one)] for value, one in values.items()]
        return rows

    def _notes(self) -> list[str]:
        notes = []
        for name, one in self.worst.items():
            if one.structures:
                pairs = list(zip(one.structures, one.errors, strict=True))[:_SHOWN]
                notes.append(f"largest {name}: " + ", ".join(f"{k} ({error:.3g})" for k, error in pairs))
        return notes

    def __str__(self) -> str:
        rows = [self._head(), *self._rows()]
        widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
        lines = [
            row[0].ljust(widths[0])
            + "".join("  " + cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))
            for row in rows
        ]
        of = counted(self.n_structures, "structure")
        return "\n".join([f"{self.path}: {self.a} against {self._said_b}, {of}", *lines, *self._notes()])

    def _repr_html_(self) -> str:
        head = f"<p>{self.a} against {self._said_b}, {counted(self.n_structures, 'structure')}</p>"
        return f"{head}{html_table(self._rows(), self._head())}{html_list(self._notes())}"


def _numbers(errors: Errors) -> list[str]:
    quantiles = errors.quantiles.values()
    return [f"{x:.4g}" for x in (errors.mae, errors.rmse, errors.bias, *quantiles, errors.max)]
