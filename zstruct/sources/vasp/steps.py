"""Ionic steps of VASP as frames: what both of its outputs have of a step, and what is done about it.

A step has labels of the calculation, predictions of a force field that VASP is learning (``ml_energy`` and so
on), or both. Predictions are never taken for the labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.sources.lines.frames import FaultError, Frame
from zstruct.voigt import full_to_voigt

__all__ = ["Step", "reals", "stress_of"]

_OVERFLOW = (
    "the stress of some steps is written as '****', because VASP had no room for its numbers; it is missing"
)
_UNITS = {"stress": "kbar", "ml_stress": "kbar", "ml_energy": "eV", "ml_forces": "eV angstrom-1"}


def reals(words: list[Any], shape: tuple[int, ...], what: str) -> NDArray[np.float64]:
    """Return the numbers that words spell, texts or bytes.

    Parameters
    ----------
    words
        As many as fit the shape.
    shape
        Of what is returned; rows are those of atoms.
    what
        What they are, for messages.

    Raises
    ------
    FaultError
        If there are more or fewer, or one of them is no number.
    """
    if len(words) != np.prod(shape):
        raise FaultError(f"{what} are {len(words)} numbers, not {'x'.join(map(str, shape))}")
    values = []
    for word in words:
        try:
            values.append(float(word))
        except ValueError:
            text = word.decode("utf-8", "replace") if isinstance(word, bytes) else word
            where = f" of atom {len(values) // shape[-1]}" if len(shape) > 1 else ""
            why = ", for which VASP had no room" if "*" in text else ""
            raise FaultError(f"among {what}{where} is {text[:40]!r}, which is no number{why}") from None
    return np.array(values).reshape(shape)


def stress_of(pressure: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the stress, tensile positive, of VASP's, which is a pressure: 3x3, in the same unit.

    Examples
    --------
    >>> stress_of(np.diag([1.0, 2.0, 3.0])).tolist()
    [-1.0, -2.0, -3.0, -0.0, -0.0, -0.0]
    """
    return -full_to_voigt(pressure)


@dataclass
class Step:
    """What is known of one ionic step.

    Parameters
    ----------
    positions
        In angstrom, shape (n, 3).
    cell
        Rows are lattice vectors, in angstrom, shape (3, 3).
    energy
        Extrapolated to no smearing, in eV.
    free_energy
        That of which forces are the derivative, in eV.
    forces
        In eV/angstrom, shape (n, 3).
    stress
        In kbar, tensile positive, shape (6,).
    magmom
        Of the cell, in Bohr magnetons; a vector if spins are not collinear.
    magmoms
        Of spheres around the atoms, shape (n,) or (n, 3).
    unconverged
        Whether the electrons used up all the steps that they were allowed.
    overflown
        Whether the stress is there, but has no digits.
    """

    positions: NDArray[np.float64] | None = None
    cell: NDArray[np.float64] | None = None
    energy: float | None = None
    free_energy: float | None = None
    forces: NDArray[np.float64] | None = None
    stress: NDArray[np.float64] | None = None
    magmom: Any = None
    magmoms: NDArray[np.float64] | None = None
    unconverged: bool = False
    overflown: bool = False
    more: dict[str, Any] = field(default_factory=dict)

    def frame(
        self, numbers: NDArray[np.uint8], learned: Step | None = None, remarks: tuple[str, ...] = ()
    ) -> Frame:
        """Return the step as a frame, to be numbered.

        Parameters
        ----------
        numbers
            Atomic numbers, shape (n,).
        learned
            What the force field predicts for it.
        remarks
            What the user should be told.

        Raises
        ------
        FaultError
            If there is no geometry, or it is of another number of atoms.
        """
        if self.positions is None or self.cell is None:
            raise FaultError(f"there are no {'positions' if self.positions is None else 'cell vectors'}")
        atom: dict[str, Any] = {"numbers": numbers, "positions": self.positions}
        structure = {"cell": self.cell, "pbc": np.ones(3, dtype=bool)}
        for table, names in (
            (atom, ("forces", "magmoms")),
            (structure, ("energy", "free_energy", "stress", "magmom")),
        ):
            table.update(_given({name: getattr(self, name) for name in names}))
        if learned is not None and learned.says_something:
            atom.update(_given({"ml_forces": learned.forces}))
            structure.update(_given({"ml_energy": learned.energy, "ml_stress": learned.stress}))
        structure.update(self.more)
        for name, rows in atom.items():
            if len(rows) != len(numbers):
                raise FaultError(f"there are {len(numbers)} atoms, and {name} of {len(rows)}")
        notes = ("unconverged",) if self.unconverged else ()
        if self is learned:
            for name in ("energy", "free_energy", "stress", "magmom"):
                structure.pop(name, None)
            atom.pop("forces", None)
            notes = ("predicted",)
        if self.overflown:
            remarks = (*remarks, _OVERFLOW)
        return Frame(-1, atom, structure, units=dict(_UNITS), remarks=remarks, notes=notes)

    @property
    def says_something(self) -> bool:
        """Whether not everything predicted is zero, which it is before there is a force field."""
        return bool(self.energy) or (self.forces is not None and bool(self.forces.any()))


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
