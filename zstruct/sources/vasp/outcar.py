"""Ionic steps of an OUTCAR, line by line.

Each kind of line that matters is known by its first five characters; all others, the most, are passed over.
A step begins with its first electronic iteration (``Iteration 12( 1)``), or with the prediction of a force
field (``ML ...``), and ends where the next one begins: where in it VASP writes the energy depends on its
version.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from zstruct.sources.lines.frames import FaultError
from zstruct.sources.outputs import CUT, Found
from zstruct.sources.vasp.header import Header
from zstruct.sources.vasp.steps import Step, reals, stress_of

__all__ = ["END", "outcar_steps"]

#: In every OUTCAR of a run that ended by itself.
END = b"General timing and accounting informations"

_ITERATION = re.compile(rb"Iteration\s*([\d*]+)\(\s*(\d+)\)")
_TOTEN = re.compile(rb"free\s+energy\s+(?:ML\s+)?TOTEN\s*=\s*(\S+)\s*eV")
_SIGMA = re.compile(rb"energy\(sigma->0\)\s*=\s*(\S+)\s")
_TOUCHING = re.compile(rb"(?<=[0-9])-(?=[0-9.])")  # numbers without a space between them
_NO_POSITIONS = (
    "the step has an energy, but neither positions nor forces: VASP leaves these out with NWRITE = 0; read "
    "vasprun.xml of the same run, which has them"
)


class _CutError(Exception):
    """The lines end where there have to be more."""


@dataclass
class _Block:
    """A step that is being read."""

    step: Step = field(default_factory=Step)
    learned: bool = False
    name: bytes = b""
    iterations: int = 0
    fault: str = ""
    begun: bool = False  # a label was found


def outcar_steps(lines: Iterable[bytes]) -> Iterator[Found]:
    """Yield the ionic steps of an OUTCAR.

    Parameters
    ----------
    lines
        Of the file, or of several behind one another.

    Yields
    ------
    Frame or str
        A step, or why it can't be used.

    Raises
    ------
    OutputError
        If the file has steps and does not say which elements they are of.
    """
    yield from _Reading(lines).steps()


class _Reading:
    """The state of reading."""

    def __init__(self, lines: Iterable[bytes]):
        self.lines = iter(lines)
        self.header = Header()
        self.block: _Block | None = None
        self.first = True  # no step has been read
        self.ended = False  # by itself, not by a kill
        self.old_cell = False  # the next cell is that of a WAVECAR
        self.held: tuple[Step, Step | None] | None = None  # a step, and what is predicted for it
        self.found: list[Found] = []

    def steps(self) -> Iterator[Found]:
        cut = False
        for line in self.lines:
            act = _ACTS.get(line.lstrip()[:5])
            if act is None:
                continue
            try:
                act(self, line)
            except FaultError as error:
                if self.block is not None:
                    self.block.fault = self.block.fault or str(error)
            except _CutError:
                cut = True
                break
            if self.found:
                yield from self.found
                self.found = []
        self._close(ends=True, cut=cut)
        self._release()
        yield from self.found

    # Where steps begin and end

    def _iteration(self, line: bytes) -> None:
        if b"EDIFF was not reached" in line:
            if self.block is not None:
                self.block.step.unconverged = True
            return
        match = _ITERATION.search(line)
        if match is None:
            return
        name, k = match[1], int(match[2])
        block = self.block
        if block is None or block.learned or k == 1 or name != block.name:
            block = self._begin(_Block(name=name))
        block.iterations = k

    def _learned(self, line: bytes) -> None:
        if line.lstrip().startswith(b"ML FORCE on cell"):
            self._begin(_Block(learned=True, begun=True))

    def _begin(self, block: _Block) -> _Block:
        self._close()
        self.block = block
        return block

    def _close(self, *, ends: bool = False, cut: bool = False) -> None:
        """Make a step of what has been read of it."""
        block, self.block = self.block, None
        if block is None or not block.begun:
            return
        step, header = block.step, self.header
        fault = block.fault
        cut = cut or (ends and not self.ended and (step.energy is None or step.positions is None))
        if cut:
            fault = fault or CUT
        elif step.energy is None:
            fault = fault or "the step has no energy (FREE ENERGIE OF THE ION-ELECTRON SYSTEM)"
        if not fault and step.positions is None:
            if self.first and header.positions is not None:
                step.positions = header.positions
            else:
                fault = _NO_POSITIONS
        if step.cell is None and (self.first or not header.relaxes_cell):
            step.cell = header.cell
        self.first = False
        if fault:
            self._release()
            self.found.append(fault)
            return
        step.unconverged |= 0 < header.allowed <= block.iterations
        self._keep(step, block.learned)

    def _keep(self, step: Step, learned: bool) -> None:
        """Join a prediction with the calculation of the same geometry before or behind it."""
        held = self.held
        if held is not None and _same(held[0], step):
            if learned and held[0] is not held[1]:
                self.held = held[0], step
                return
            if not learned and held[0] is held[1]:
                self.held = step, held[0]
                return
        self._release()
        self.held = step, step if learned else None

    def _release(self) -> None:
        if self.held is None:
            return
        step, learned = self.held
        self.held = None
        try:
            self.found.append(step.frame(self.header.numbers(), learned))
        except FaultError as error:
            self.found.append(str(error))

    # What is in a step

    def _positions(self, line: bytes) -> None:
        if b"TOTAL-FORCE" not in line:
            return
        learned, block = b"(ML)" in line, self.block
        if block is None or block.learned != learned or (learned and block.step.positions is not None):
            block = self._begin(_Block(learned=learned))
        block.begun = True
        self._take(1)
        n = len(self.header.numbers())
        words = _words(rows := self._take(n))
        if len(words) == 9 * n:  # beside them is what forces are without dispersion
            words = [word for row in rows for word in _words([row])[:6]]
        values = reals(words, (n, 6), "positions and forces")
        block.step.positions, block.step.forces = values[:, :3].copy(), values[:, 3:].copy()

    def _stress(self, line: bytes) -> None:
        block = self.block
        if block is None:
            return
        block.begun = True
        if not line.endswith(b"\n"):
            raise _CutError
        words = _words([line])[2:]
        if any(b"*" in word for word in words):
            block.step.overflown = True
            return
        xx, yy, zz, xy, yz, zx = reals(words, (6,), "components of the stress")
        block.step.stress = stress_of(np.array([[xx, xy, zx], [xy, yy, yz], [zx, yz, zz]]))

    def _cell(self, line: bytes) -> None:
        if not line.lstrip().startswith(b"direct lattice vectors"):
            return
        rows = [_words([row])[:3] for row in self._take(3)]
        if self.old_cell:
            self.old_cell = False
            return
        cell = reals([word for row in rows for word in row], (3, 3), "lattice vectors")
        if self.block is None:
            self.header.cell = cell
        else:
            self.block.step.cell = cell

    def _energy(self, line: bytes) -> None:
        if b"OF THE ION-ELECTRON SYSTEM" not in line or self.block is None:
            return
        block = self.block
        block.begun = True
        for row in islice(self.lines, 6):
            if (match := _TOTEN.search(row)) is not None:
                block.step.free_energy = _real(match[1], "the free energy")
            elif (match := _SIGMA.search(row)) is not None:
                block.step.energy = _real(match[1], "the energy")
                return
        raise _CutError

    def _electrons(self, line: bytes) -> None:
        """Take the number of ions, or the magnetization of the cell."""
        if b"NIONS" in line and self.block is None:
            self.header.n_atoms = _whole(line.rpartition(b"=")[2])
        elif self.block is not None and not self.block.learned and b"magnetization" in line:
            words = _words([line.partition(b"magnetization")[2]])
            if words:
                values = reals(words, (len(words),), "magnetic moments")
                self.block.step.magmom = float(values[0]) if len(words) == 1 else values

    def _magnetization(self, line: bytes) -> None:
        """Take one component of the magnetic moments of atoms."""
        match = re.match(rb"\s*magnetization \(([xyz])\)\s*$", line)
        if match is None or self.block is None:
            return
        if not any(b"------" in row for row in islice(self.lines, 5)):
            return
        n = len(self.header.numbers())
        rows = list(islice(self.lines, n))
        if len(rows) < n or not rows[-1].endswith(b"\n"):
            return  # of a table that was there before: VASP repeats it at the end
        values = reals([(_words([row]) or [b""])[-1] for row in rows], (n, 1), "magnetic moments")[:, 0]
        step = self.block.step
        if match[1] == b"x":
            step.magmoms = values
        elif step.magmoms is not None:
            step.magmoms = np.column_stack([step.magmoms, values])

    # What is before the steps

    def _run(self, line: bytes) -> None:
        """Begin with another run: a line such as ``vasp.6.3.0``."""
        if re.match(rb"\s*vasp\.\d", line):
            self._close()
            self._release()
            self.header, self.first = Header(), True

    def _element(self, line: bytes) -> None:
        match = re.search(rb"VRHFIN\s*=\s*([A-Z][a-z]?)\s*:", line)
        if match is not None and self.block is None:
            self.header.elements.append(match[1].decode())

    def _title(self, line: bytes) -> None:
        words = line.partition(b"=")[2].split() or line.partition(b":")[2].split()
        if len(words) > 1 and self.block is None:
            name = re.match(rb"[A-Z][a-z]?", words[1])
            known = self.header.titles if line.lstrip().startswith(b"TITEL") else self.header.potentials
            known.append(name[0].decode() if name else words[1].decode("utf-8", "replace"))

    def _counts(self, line: bytes) -> None:
        if line.lstrip().startswith(b"ions per type"):
            self.header.counts = [_whole(word) for word in line.partition(b"=")[2].split()]

    def _allowed(self, line: bytes) -> None:
        if self.block is None and (match := re.search(rb"NELM\s*=\s*(\d+).*NELMIN", line)) is not None:
            self.header.allowed = int(match[1])

    def _freedom(self, line: bytes) -> None:
        if self.block is None and (match := re.match(rb"\s*ISIF\s*=\s*(\d+)", line)) is not None:
            self.header.relaxes_cell = int(match[1]) > 2

    def _old(self, line: bytes) -> None:
        self.old_cell = self.old_cell or b"old parameters found on file WAVECAR" in line

    def _start(self, line: bytes) -> None:
        """Take the positions that the run starts from."""
        if self.block is None and b"position of ions in cartesian coordinates" in line:
            n = len(self.header.numbers())
            values = reals(_words(self._take(n)), (n, 3), "positions")
            self.header.positions = values

    def _end(self, line: bytes) -> None:
        self.ended = self.ended or END in line

    def _take(self, n: int) -> list[bytes]:
        rows = list(islice(self.lines, n))
        if len(rows) < n or not all(row.endswith(b"\n") for row in rows[-1:]):
            raise _CutError
        return rows


def _same(one: Step, other: Step) -> bool:
    pairs = ((one.positions, other.positions), (one.cell, other.cell))
    return all(a is not None and b is not None and np.array_equal(a, b) for a, b in pairs)


def _words(rows: list[bytes]) -> list[bytes]:
    """Return the words of rows; numbers that touch one another are two."""
    return _TOUCHING.sub(b" -", b"".join(rows)).split()


def _real(word: bytes, what: str) -> float:
    return float(reals([word], (1,), what)[0])


def _whole(word: bytes) -> int:
    try:
        return int(word)
    except ValueError:
        return -1


_ACTS: dict[bytes, Callable[[_Reading, bytes], None]] = {
    b"-----": _Reading._iteration,
    b"ML FO": _Reading._learned,
    b"POSIT": _Reading._positions,
    b"in kB": _Reading._stress,
    b"direc": _Reading._cell,
    b"FREE ": _Reading._energy,
    b"ML FR": _Reading._energy,
    b"numbe": _Reading._electrons,
    b"magne": _Reading._magnetization,
    b"vasp.": _Reading._run,
    b"VRHFI": _Reading._element,
    b"TITEL": _Reading._title,
    b"POTCA": _Reading._title,
    b"ions ": _Reading._counts,
    b"NELM ": _Reading._allowed,
    b"ISIF ": _Reading._freedom,
    b"old p": _Reading._old,
    b"posit": _Reading._start,
    b"Gener": _Reading._end,
}
