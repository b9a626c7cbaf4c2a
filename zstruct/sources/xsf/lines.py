"""The lines of an XSF file: without comments, but for the energies in them.

What the lines mean together is read in `zstruct.sources.xsf.source`.
"""

from __future__ import annotations

import io
import re

from zstruct.sources.compression import opened
from zstruct.sources.content import Content
from zstruct.sources.numerals import number

__all__ = ["Lines", "has_energy"]

_ENERGY = re.compile(
    r"#+\s*total[\s_-]*energy\s*(?:[(\[](?P<before>[^)\]]*)[)\]])?\s*[=:]\s*(?P<after>.*)", re.IGNORECASE
)
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?(?![\d.])", re.ASCII)


def has_energy(content: Content) -> bool:
    """Whether a file has an energy in a comment anywhere, as aenet writes it and no one else."""
    with opened(content) as file:
        return any("#" in line and _ENERGY.search(line) for line in file)


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
                self._comment(f"#{comment.strip()}")
            words = line.split()
            if words:
                return words
        return None

    def _comment(self, text: str) -> None:
        match = _ENERGY.match(text)
        if match is None:
            return
        after = match["after"].strip()
        value = _NUMBER.match(after)
        found: float | str
        if value is None:
            found = f"the energy {after[:40]!r} is not a number"
        else:
            unit = after[value.end() :].strip() or (match["before"] or "").strip()
            first, *others = unit.lower().split() or [""]
            good = first in ("", "ev") and not (others and others[0].startswith(("per", "/")))
            found = number(value.group()) if good else f"the energy is in {unit[:40]!r}; convert it to eV"
        self.energies.append((self.number, found))
