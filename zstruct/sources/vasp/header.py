"""What an OUTCAR says before its steps: which elements its atoms are, and where the run begins."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zstruct.elements import atomic_number
from zstruct.sources.outputs import OutputError

__all__ = ["Header"]


@dataclass
class Header:
    """What is said of all steps."""

    elements: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    potentials: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    n_atoms: int = -1
    allowed: int = 0  # electronic iterations
    relaxes_cell: bool = False
    cell: NDArray[np.float64] | None = None
    positions: NDArray[np.float64] | None = None
    known: NDArray[np.uint8] | None = None

    def _once(self) -> list[str]:
        """Return the names of the potentials, of which a list and descriptions are there, both or one."""
        listed = self.potentials
        if len(listed) > len(self.counts) and listed[0] == listed[len(self.counts)]:
            return listed[: len(self.counts)]  # behind the list each is named again, the first one at once
        return listed

    def numbers(self) -> NDArray[np.uint8]:
        """Return the atomic numbers of all atoms, shape (n,)."""
        if self.known is None:
            names = self.elements if len(self.elements) == len(self.titles) else self.titles
            names = names or self._once()
            n = self.n_atoms if self.n_atoms >= 0 else sum(self.counts)
            if not names or not self.counts:
                raise OutputError(
                    "there is no list of potentials (TITEL) and of 'ions per type' before its steps"
                )
            if min(self.counts) < 0:
                raise OutputError(f"'ions per type' are {self.counts}, of which some are negative")
            if len(names) != len(self.counts) or sum(self.counts) != n:
                raise OutputError(
                    f"it names {len(names)} potentials and {n} atoms, and the 'ions per type' are "
                    f"{len(self.counts)} numbers with a sum of {sum(self.counts)}: VASP 6.3 and older write "
                    "ten of them at most; read vasprun.xml of the same run"
                )
            found = [atomic_number(name) or 0 for name in names]
            if 0 in found:
                raise OutputError(f"the potential {names[found.index(0)][:40]!r} is of no chemical element")
            self.known = np.repeat(np.array(found, dtype=np.uint8), self.counts)
        return self.known
