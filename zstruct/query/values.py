"""The numbers in an expression: where each comes from, and what it costs to have it for many structures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zstruct.query.arithmetic import Values, absolute, calculated, numbers
from zstruct.query.block import Block, Which, part_of, size_of
from zstruct.query.quantities import Quantity

__all__ = [
    "ATOMS",
    "COLUMN",
    "ROWS",
    "Absolute",
    "Arithmetic",
    "Computed",
    "Count",
    "Literal",
    "Norm",
    "Position",
    "ReferencedEnergy",
    "Stored",
    "Totals",
    "Value",
]

#: What reading costs: a value of each structure, several of each, rows of atoms.
COLUMN, ROWS, ATOMS = 1, 2, 8


class Value(Protocol):
    """A number that structures have."""

    @property
    def cost(self) -> int:
        """How dear it is to read, compared with others."""

    def of(self, block: Block, which: Which) -> Values:
        """Return it for some structures of a block."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A number that is written."""

    value: int | float
    cost: int = 0

    def of(self, block: Block, which: Which) -> Values:
        """Return it once for all."""
        whole = isinstance(self.value, int) and -(2**63) <= self.value < 2**63
        return Values(np.int64(self.value) if whole else np.float64(self.value))


@dataclass(frozen=True, slots=True)
class Stored:
    """A field of numbers, or one component of it."""

    name: str
    component: tuple[int, ...] = ()

    @property
    def cost(self) -> int:
        """That of reading the field."""
        return ROWS if self.component else COLUMN

    def of(self, block: Block, which: Which) -> Values:
        """Return it for some structures."""
        return block.field(self.name, which, self.component)


@dataclass(frozen=True, slots=True)
class Computed:
    """A quantity that is computed from fields."""

    quantity: Quantity
    cost: int

    def of(self, block: Block, which: Which) -> Values:
        """Return it for some structures."""
        return block.quantity(self.quantity, which)


@dataclass(frozen=True, slots=True)
class Count:
    """How many atoms of some elements there are together."""

    elements: tuple[int, ...]
    cost: int

    def of(self, block: Block, which: Which) -> Values:
        """Return it for some structures."""
        return numbers(block.counts(self.elements, which))


@dataclass(frozen=True, slots=True)
class Position:
    """Where structures are in what is selected from."""

    cost: int = 0

    def of(self, block: Block, which: Which) -> Values:
        """Return it for some structures."""
        return numbers(block.positions(which))


class Totals(Protocol):
    """Energies of free atoms."""

    def subtract(
        self, numbers: NDArray[Any], offsets: NDArray[Any], energies: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Return energies of structures less those of their atoms, in eV."""


@dataclass(frozen=True, slots=True)
class ReferencedEnergy:
    """The energy per atom, less that of free atoms."""

    references: Totals
    cost: int

    def of(self, block: Block, which: Which) -> Values:
        """Return it for some structures."""
        energies = block.field("energy", which).values
        known = np.flatnonzero(~np.isnan(energies))
        found = np.full(size_of(which), np.nan)
        for atoms in block.lookup.table.atoms("numbers", part_of(which, known) + block.start):
            here = known[atoms.part]
            left = self.references.subtract(atoms.rows, atoms.offsets, energies[here])
            found[here] = left / np.diff(atoms.offsets)
        return Values(found)


@dataclass(frozen=True, slots=True)
class Norm:
    """The square root of the sum of the squares of the components of a field."""

    name: str
    cost: int = ROWS

    def of(self, block: Block, which: Which) -> Values:
        """Return it for some structures."""
        found = block.field(self.name, which)
        return Values(np.linalg.norm(found.values, axis=1), found.missing)


@dataclass(frozen=True, slots=True)
class Absolute:
    """A number without its sign."""

    value: Value

    @property
    def cost(self) -> int:
        """That of the number."""
        return self.value.cost

    def of(self, block: Block, which: Which) -> Values:
        """Return it for some structures."""
        return absolute(self.value.of(block, which))


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """A number, and what is done to it with others from left to right."""

    first: Value
    rest: tuple[tuple[str, Value], ...]

    @property
    def cost(self) -> int:
        """That of all its numbers."""
        return self.first.cost + sum(value.cost for _, value in self.rest)

    def of(self, block: Block, which: Which) -> Values:
        """Return it for some structures."""
        found = self.first.of(block, which)
        for sign, value in self.rest:
            found = calculated(sign, found, value.of(block, which))
        return found
