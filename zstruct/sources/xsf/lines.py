"""The lines of an XSF file: without comments, but for the energies in them.

What the lines mean together is read in `zstruct.sources.xsf.source`.
"""

from __future__ import annotations

import io
import re

from zstruct.sources.compression import opened
from zstruct.sources.content import Content
from zstruct.sources.numerals import number

__all__ = ["Lines", "energy_in", "has_energy", "speaks_of_energy"]

_ENERGY = re.compile(
    r"#+\s*total[\s_-]*energy\s*(?:[(\[](?P<before>[^)\]]*)[)\]])?\s*[=:]\s*(?P<after>.*)", re.IGNORECASE
)
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?(?![\d.])", re.ASCII)


def speaks_of_energy(line: str) -> bool:
    """Tell whether a line has an energy in a comment, as aenet writes it and no one else."""
    return "#" in line and _ENERGY.search(line) is not None


def has_energy(content: Content) -> bool:
    """Whether a file has an energy in a comment anywhere, as aenet writes it and no one else."""
    with opened(content) as file:
        return any(map(speaks_of_energy, file))


def energy_in(comment: str) -> float | str | None:
    """Return the energy that a comment states, or what is wrong with it; None if it states none.

    Examples
    --------
    >>> energy_in("# total energy = -1.5 eV"), energy_in("# total energy = -1.5 Ry"), energy_in("# water")
    (-1.5, "the energy is in 'Ry'; convert it to eV", None)
    """
    match = _ENERGY.match(comment)
    if match is None:
        return None
    after = match["after"].strip()
    value = _NUMBER.match(after)
    if value is None:
        return f"the energy {after[:40]!r} is not a number"
    unit = after[value.end() :].strip() or (match["before"] or "").strip()
    first, *others = unit.lower().split() or [""]
    good = first in ("", "ev") and not (others and others[0].startswith(("per", "/")))
    return number(value.group()) if good else f"the energy is in {unit[:40]!r}; convert it to eV"


class Lines:
    """The lines of a file that are neither empty nor comments; energies in comments are kept."""

    def __init__(self, file: io.TextIOBase):
        self._file = file
        self._held: list[str] | None = None
        self.number = 0
        """The line read last, perhaps only by `peek`."""
        self.taken = 0
        """The line taken last."""
        self.energies: list[tuple[int, float | str]] = []
        """Energies that no frame has claimed: line, and the value or what is wrong with it."""

    def next(self) -> list[str] | None:
        """Return the words of the next line; None at the end."""
        words = self._held or self._read()
        self._held, self.taken = None, self.number
        return words

    def peek(self) -> list[str] | None:
        """Return the words of the next line, which stays the next."""
        self._held = self._held or self._read()
        return self._held

    def forget(self) -> None:
        """Drop the energies that stand before the line taken last."""
        self.energies = [(line, value) for line, value in self.energies if line > self.taken]

    def _read(self) -> list[str] | None:
        for line in self._file:
            self.number += 1
            if "#" in line:
                line, _, comment = line.partition("#")
                energy = energy_in(f"#{comment.strip()}")
                if energy is not None:
                    self.energies.append((self.number, energy))
            words = line.split()
            if words:
                return words
        return None
