"""Which structures a build keeps: energy and force limits and the user's own test."""

from __future__ import annotations

import hashlib
import types
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import check, names, real, shown
from zstruct.elements import SYMBOLS, by_number, formula
from zstruct.errors import InputError
from zstruct.keywords import keywords
from zstruct.ragged import Packed, segment_reduce
from zstruct.schema import ATOM
from zstruct.sources.source import NOTES

__all__ = ["Filters", "Frame", "code_of"]


class Frame(Mapping[str, Any]):
    """One structure as a filter sees it: a read-only mapping from field names to values.

    ``frame["energy"]`` is a float, ``frame["forces"]`` an array of shape (n_atoms, 3), a text
    field a str; names of fields that the structure lacks are not in the mapping.

    Examples
    --------
    >>> keep = lambda frame: frame.n_atoms < 100 and frame.get("config_type") != "liquid"
    """

    def __init__(self, packed: Packed, index: int, start: int):
        self._packed, self._index, self._start = packed, index, start

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return int(self._packed.n_atoms[self._index])

    @property
    def formula(self) -> str:
        """Hill formula."""
        return formula(self["numbers"])

    def __getitem__(self, name: str) -> Any:
        mask = self._packed.present.get(name)
        if name not in self._packed.columns or (mask is not None and not mask[self._index]):
            raise KeyError(name)
        column = self._packed.columns[name]
        if self._packed.fields[name].level == ATOM:
            rows = column[self._start : self._start + self.n_atoms]
            return rows.astype(np.float64, copy=False) if rows.dtype.kind == "f" else rows
        value = column[self._index]
        if name in self._packed.categories and np.ndim(value) == 0:
            return self._packed.categories[name][int(value)]
        return value.item() if np.ndim(value) == 0 else value

    def __iter__(self) -> Iterator[str]:
        i = self._index
        masks = self._packed.present
        return (name for name in self._packed.columns if name not in masks or masks[name][i])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"Frame({self.formula}: {', '.join(self)})"


@keywords()
@dataclass(frozen=True)
class Filters:
    """Which structures a build keeps: those that pass all filters that apply to them.

    A limit on a label does not apply to a structure without that label.

    Parameters
    ----------
    where
        Called with a `Frame`; structures for which it returns something false are dropped.
    max_energy
        Largest (energy - sum of `atomic_energies`) / n_atoms, in eV.
    max_force
        Largest norm of the force on any atom, in eV/angstrom.
    max_force_component
        Largest absolute Cartesian component of any force, in eV/angstrom.
    atomic_energies
        Reference energy in eV by chemical symbol, zero for all if not given; kept in the store.
    leave_out
        Structures to leave out by what a reader knows of them: ``"unconverged"``, ``"cut"`` (from an
        input that ends before the calculation did), ``"predicted"`` (by a force field, in a run that
        learns one). They are kept and counted if not given.

    Raises
    ------
    InputError
        If one of them can't be used.

    Examples
    --------
    >>> Filters(max_force=20, leave_out=["unconverged"]).max_force
    20.0
    """

    where: Callable[[Frame], Any] | None = None
    max_energy: float | None = None
    max_force: float | None = None
    max_force_component: float | None = None
    atomic_energies: Mapping[str, float] | None = None
    leave_out: Collection[str] = frozenset()

    def __post_init__(self) -> None:
        check(max_energy=self.max_energy, max_force=self.max_force)
        check(max_force_component=self.max_force_component, atomic_energies=self.atomic_energies)
        for symbol in self.atomic_energies or {}:
            if symbol not in SYMBOLS:
                raise InputError(f"atomic_energies has {symbol!r}, which is no chemical symbol")
        for name in ("max_energy", "max_force", "max_force_component"):
            limit = real(name, getattr(self, name))
            object.__setattr__(self, name, limit)  # JSON takes none of NumPy's
            if limit is not None and limit < 0 and name != "max_energy":
                raise InputError(f"{name} is {limit!r}; no force passes a negative limit")
        if self.atomic_energies is not None:
            energies = {symbol: float(energy) for symbol, energy in self.atomic_energies.items()}
            object.__setattr__(self, "atomic_energies", energies)
        if self.where is not None and not callable(self.where):
            raise InputError(
                "filters are Filters(...), or its fields by name, or a function that takes a Frame and says "
                f"whether to keep it (where), not {shown(self.where)}"
            )
        notes = names("leave_out", self.leave_out)
        for note in notes:
            if note not in NOTES:
                known = " and ".join(map(repr, NOTES))
                raise InputError(f"leave_out={notes!r}: there is nothing called {note!r}; known are {known}")
        object.__setattr__(self, "leave_out", frozenset(notes))

    def describe(self) -> dict[str, Any]:
        """Return the limits as JSON, the callable by its name."""
        where = None if self.where is None else getattr(self.where, "__qualname__", repr(self.where))
        return {
            "max_energy": self.max_energy,
            "max_force": self.max_force,
            "max_force_component": self.max_force_component,
            "atomic_energies": dict(self.atomic_energies) if self.atomic_energies else None,
            "where": where,
        }

    def identity(self) -> dict[str, Any]:
        """Return JSON that differs where the limits do, the code of the callable included."""
        code = "" if self.where is None else hashlib.sha256(code_of(self.where).encode()).hexdigest()
        return self.describe() | {"where_code": code}

    def __bool__(self) -> bool:
        limits = (self.max_energy, self.max_force, self.max_force_component)
        return self.where is not None or any(limit is not None for limit in limits)

    def needs(self, names: Collection[str]) -> list[str]:
        """Return which of some fields have to be known to tell what passes."""
        if self.where is not None:
            return list(names)
        return [name for name in names if name in ("energy", "forces", "numbers")]

    def passing(
        self, packed: Packed, label: str, frames: NDArray[np.int64]
    ) -> tuple[NDArray[np.bool_], dict[str, int]]:
        """Return which structures pass, shape (n,), and how many each filter dropped.

        Parameters
        ----------
        packed
            The structures.
        label, frames
            Their input, and which of its frames they are, for messages.

        Raises
        ------
        InputError
            If an element has no reference energy, or `where` raises.
        """
        keep = np.ones(len(packed), dtype=bool)
        dropped: dict[str, int] = {}
        for name, fails in self._failures(packed, label):
            dropped[name] = int((fails & keep).sum())
            keep &= ~fails
        if self.where is not None:
            fails = self._where(packed, keep, label, frames)
            dropped["where"] = int(fails.sum())
            keep &= ~fails
        return keep, {name: n for name, n in dropped.items() if n}

    def _failures(self, packed: Packed, label: str) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        if self.max_energy is not None and "energy" in packed.columns:
            excess = packed.columns["energy"] - self._references(packed, label)
            with np.errstate(invalid="ignore"):
                yield "max_energy", excess / packed.n_atoms > self.max_energy
        if "forces" not in packed.columns:
            return
        forces = packed.columns["forces"].astype(np.float64, copy=False)
        if self.max_force is not None:
            norms = np.sqrt(np.einsum("ax,ax->a", forces, forces))
            with np.errstate(invalid="ignore"):
                yield "max_force", segment_reduce(norms, packed.offsets, "max") > self.max_force
        if self.max_force_component is not None:
            largest = segment_reduce(np.abs(forces).max(axis=1), packed.offsets, "max")
            with np.errstate(invalid="ignore"):
                yield "max_force_component", largest > self.max_force_component

    def _references(self, packed: Packed, label: str) -> NDArray[np.float64]:
        if not self.atomic_energies:
            return np.zeros(len(packed))
        per_atom = by_number(self.atomic_energies)[packed.columns["numbers"]]
        if np.isnan(per_atom).any():
            first = SYMBOLS[packed.columns["numbers"][np.isnan(per_atom)][0]]
            raise InputError(f"atomic_energies has no energy for {first}, which occurs here", label)
        return segment_reduce(per_atom, packed.offsets, "sum")

    def _where(
        self, packed: Packed, keep: NDArray[np.bool_], label: str, frames: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        fails = np.zeros(len(packed), dtype=bool)
        starts = packed.offsets
        assert self.where is not None
        for i in np.flatnonzero(keep).tolist():
            try:
                fails[i] = not self.where(Frame(packed, i, int(starts[i])))
            except Exception as error:
                frame = int(frames[i])
                reason = f"the filter given as where= raised {type(error).__name__}: {error}"
                raise InputError(reason, label, frame) from error
        return fails


def code_of(function: Callable[..., Any]) -> str:
    """Describe what a function does, stably from run to run."""
    code = getattr(function, "__code__", None)
    if code is None:
        return f"{type(function).__module__}.{type(function).__qualname__}"
    cells = [repr(cell.cell_contents) for cell in getattr(function, "__closure__", None) or ()]
    return f"{_stable(code)} {getattr(function, '__defaults__', None)} {cells}"


def _stable(code: types.CodeType) -> str:
    constants = [_stable(c) if isinstance(c, types.CodeType) else repr(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {constants}"
