"""What statistics are: numbers of structures and their labels that merge, and how they are shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import shown
from zstruct.elements import SYMBOLS
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.moments import Moments
from zstruct.records import Record
from zstruct.stats.histogram import Magnitudes
from zstruct.stats.references import References
from zstruct.text import counted, html_list, html_table
from zstruct.voigt import VOIGT

__all__ = ["Species", "Statistics"]

_NONE = Moments()


def _empty() -> NDArray[np.int64]:
    return np.zeros(0, np.int64)


@dataclass(frozen=True)
class Species(Record):
    """The atoms of one element.

    Parameters
    ----------
    atoms
        How many there are.
    force_atoms
        How many of them are in structures with forces.
    force_squares
        The sum of the squared norms of the forces on those, in eV^2 angstrom^-2.
    """

    also = ("force_rms",)
    atoms: int = 0
    force_atoms: int = 0
    force_squares: float = 0.0

    @property
    def force_rms(self) -> float:
        """Root of the mean square of the force components, in eV angstrom-1; NaN without forces."""
        return math.sqrt(self.force_squares / (3 * self.force_atoms)) if self.force_atoms else math.nan

    def merge(self, other: Species) -> Species:
        """Return those of both sets of atoms together."""
        return Species(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Species)))


@dataclass(frozen=True, eq=False)
class Statistics(Record):
    """Statistics of structures and their labels, as `zstruct.statistics` computes them.

    Energies are in eV, forces in eV angstrom-1, stress in eV angstrom-3, distances in angstrom. Each
    `Moments` has `count`, `mean`, `std` (of the population), `rms`, `min` and `max`, NaN where
    nothing was counted. Statistics of different structures merge: ``a + b``. All is read by name, too:
    ``found["energy"]["mean"]``, ``dict(found)``.

    Parameters
    ----------
    structures
        How many there are.
    atoms
        Atoms of a structure.
    sizes, size_counts
        The numbers of atoms that occur, ascending, and how many structures have each, int64, shape (m,).
    energy, energy_per_atom
        Of the structures with an energy.
    references
        The reference energies that were subtracted, if there were any.
    referenced_energy_per_atom
        What they left.
    forces
        All components of all forces; its `rms` is the component RMS.
    force_norm
        The norms of forces.
    force_norms
        Their distribution: `Magnitudes.quantiles`, and counts in narrow bins.
    stress
        For each of the components xx yy zz yz xz xy.
    species
        By chemical symbol: atoms, and the RMS of force components.
    distance
        The shortest distance between two atoms of a structure, periodic images included.
    missing
        How many structures have no ``"energy"``, ``"forces"``, ``"stress"``, and no ``"distance"``
        because they are single atoms, or have no sensible cell.
    """

    also = ("force_quantiles",)
    structures: int = 0
    atoms: Moments = _NONE
    sizes: NDArray[np.int64] = field(default_factory=_empty)
    size_counts: NDArray[np.int64] = field(default_factory=_empty)
    energy: Moments = _NONE
    energy_per_atom: Moments = _NONE
    references: References | None = None
    referenced_energy_per_atom: Moments = _NONE
    forces: Moments = _NONE
    force_norm: Moments = _NONE
    force_norms: Magnitudes = field(default_factory=Magnitudes)
    stress: tuple[Moments, ...] = (_NONE,) * 6
    species: Mapping[str, Species] = field(default_factory=dict)
    distance: Moments = _NONE
    missing: Mapping[str, int] = field(
        default_factory=lambda: dict.fromkeys(("energy", "forces", "stress", "distance"), 0)
    )

    @classmethod
    def empty(cls, references: References | None = None) -> Statistics:
        """Return the statistics of no structures."""
        return cls(references=references)

    @property
    def force_quantiles(self) -> Mapping[float, float]:
        """Quantiles of the norms of forces, by fraction."""
        return self.force_norms.quantiles

    def with_norms(self, norms: Magnitudes) -> Statistics:
        """Return these with other `force_norms`."""
        return replace(self, force_norms=norms)

    def merge(self, other: Statistics) -> Statistics:
        """Return those of both sets of structures together, no structure being in both.

        Quantiles then come from the bins of both, good to 1/1024 (`Magnitudes.exact` is False).

        Raises
        ------
        InputError
            If different references were subtracted.
        """
        if not isinstance(other, Statistics):
            raise ArgumentTypeError(f"statistics merge with statistics, not with {shown(other)}")
        ours, theirs = self.references, other.references
        if (ours is None) != (theirs is None) or (
            ours is not None and theirs is not None and dict(ours) != dict(theirs)
        ):
            raise InputError("statistics with different reference energies can't be merged")
        sizes, where = np.unique(np.concatenate([self.sizes, other.sizes]), return_inverse=True)
        size_counts = np.zeros(len(sizes), np.int64)
        np.add.at(size_counts, where, np.concatenate([self.size_counts, other.size_counts]))
        symbols = sorted({*self.species, *other.species}, key=SYMBOLS.index)
        none = Species()
        alike = ("atoms", "energy", "energy_per_atom", "referenced_energy_per_atom", "forces", "force_norm")
        same = {name: getattr(self, name).merge(getattr(other, name)) for name in (*alike, "distance")}
        return Statistics(
            structures=self.structures + other.structures,
            sizes=sizes,
            size_counts=size_counts,
            references=ours,
            force_norms=self.force_norms.merge(other.force_norms),
            stress=tuple(a.merge(b) for a, b in zip(self.stress, other.stress, strict=True)),
            species={s: self.species.get(s, none).merge(other.species.get(s, none)) for s in symbols},
            missing={name: n + other.missing[name] for name, n in self.missing.items()},
            **same,
        )

    def __add__(self, other: Statistics) -> Statistics:
        return self.merge(other) if isinstance(other, Statistics) else NotImplemented

    def to_dict(self) -> dict[str, Any]:
        """Return all but the two histograms as values that JSON can hold; None stands for NaN."""
        moments = {
            f.name: getattr(self, f.name).to_dict()
            for f in fields(self)
            if isinstance(getattr(self, f.name), Moments)
        }
        return {
            "structures": self.structures,
            **moments,
            "references": None if self.references is None else self.references.to_dict(),
            "force_quantiles": {str(q): _number(v) for q, v in self.force_quantiles.items()},
            "force_quantiles_exact": self.force_norms.exact,
            "stress": {name: m.to_dict() for name, m in zip(VOIGT, self.stress, strict=True)},
            "species": {
                symbol: {
                    "atoms": s.atoms,
                    "force_atoms": s.force_atoms,
                    "force_squares": _number(s.force_squares),
                    "force_rms": _number(s.force_rms),
                }
                for symbol, s in self.species.items()
            },
            "missing": dict(self.missing),
        }

    @classmethod
    def from_dict(
        cls,
        entry: Mapping[str, Any],
        sizes: NDArray[np.int64],
        size_counts: NDArray[np.int64],
        bins: NDArray[np.int64],
        bin_counts: NDArray[np.int64],
    ) -> Statistics:
        """Return what `to_dict` made a mapping of, and its two histograms."""
        moments = {
            f.name: Moments.from_dict(entry[f.name]) for f in fields(cls) if isinstance(f.default, Moments)
        }
        quantiles = {float(q): math.nan if v is None else v for q, v in entry["force_quantiles"].items()}
        return cls(
            structures=entry["structures"],
            sizes=sizes,
            size_counts=size_counts,
            references=None if entry["references"] is None else References.from_dict(entry["references"]),
            force_norms=Magnitudes(bins, bin_counts, quantiles, entry["force_quantiles_exact"]),
            stress=tuple(Moments.from_dict(entry["stress"][name]) for name in VOIGT),
            species={
                symbol: Species(
                    s["atoms"],
                    s["force_atoms"],
                    math.nan if s["force_squares"] is None else s["force_squares"],
                )
                for symbol, s in entry["species"].items()
            },
            missing=entry["missing"],
            **moments,
        )

    def _rows(self) -> list[tuple[str, ...]]:
        """Return a table: what, count, mean, std, rms, min, max."""
        named = [
            ("atoms of a structure", self.atoms),
            ("energy, eV", self.energy),
            ("energy per atom, eV", self.energy_per_atom),
            ("the same less references, eV", self.referenced_energy_per_atom),
            ("force component, eV/A", self.forces),
            ("force norm, eV/A", self.force_norm),
            *((f"stress {name}, eV/A^3", m) for name, m in zip(VOIGT, self.stress, strict=True)),
            ("shortest distance, A", self.distance),
        ]
        return [
            (what, f"{m.count:,}", *(f"{x:.6g}" for x in (m.mean, m.std, m.rms, m.min, m.max)))
            for what, m in named
            if m.count
        ]

    def _notes(self) -> list[str]:
        """Return sentences for what is in no row."""
        notes = []
        if self.force_quantiles:
            found = ", ".join(f"{q:g}: {v:.6g}" for q, v in self.force_quantiles.items())
            notes.append(
                f"quantiles of the force norm{'' if self.force_norms.exact else ' (to 0.1%)'}: {found}"
            )
        for symbol, s in self.species.items():
            rms = f", force RMS {s.force_rms:.6g} eV/A" if s.force_atoms else ""
            notes.append(f"{symbol}: {counted(s.atoms, 'atom')}{rms}")
        lost = [f"{name} {n:,}" for name, n in self.missing.items() if n]
        return [*notes, f"structures without: {', '.join(lost)}"] if lost else notes

    def __repr__(self) -> str:
        rows = [("", "count", "mean", "std", "rms", "min", "max"), *self._rows()]
        widths = [max(len(row[k]) for row in rows) for k in range(7)]
        lines = [
            row[0].ljust(widths[0])
            + "".join("  " + cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))
            for row in rows
        ]
        return "\n".join([f"Statistics of {counted(self.structures, 'structure')}", *lines, *self._notes()])

    def _repr_html_(self) -> str:
        table = html_table(self._rows(), ("", "count", "mean", "std", "rms", "min", "max"))
        return (
            f"<p>Statistics of {counted(self.structures, 'structure')}</p>{table}{html_list(self._notes())}"
        )


def _number(x: float) -> float | None:
    return x if math.isfinite(x) else None
