"""Read XCrySDen structure files: aenet's, with the energy in a comment, and those of other programs.

The format's specification has forces in hartree/angstrom, and ASE's reader takes them so; aenet's
are in eV/angstrom. A file with aenet's energy comment is aenet's; of another the unit of forces is
left open. This module knows the format only: not how properties are named in a store, and not which
of several readers a file should go to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.elements import NUMBERS, SYMBOLS, atomic_number
from zstruct.errors import InputError
from zstruct.sources.columns import atom_columns, structure_columns
from zstruct.sources.compression import opened
from zstruct.sources.numerals import number
from zstruct.sources.source import BadFrame, FileSource, Raw, RawColumn, Slice
from zstruct.sources.xsf.lines import Lines, has_energy
from zstruct.sources.xsf.usual import usual_blocks

__all__ = ["XSFSource"]

# A block of frames is handed over when it has so many atoms (about 13 MB with forces) or frames.
_BLOCK_ATOMS = 1 << 18
_BLOCK_FRAMES = 1 << 14

_PERIODIC_AXES = {"CRYSTAL": 3, "SLAB": 2, "POLYMER": 1, "MOLECULE": 0}
_UNUSED_CELLS = ("CONVVEC", "RECIP-PRIMVEC", "RECIP-CONVVEC")
_OF_FRAMES = ("PRIMVEC", "PRIMCOORD", "ATOMS")
_KEYWORDS = frozenset({*_PERIODIC_AXES, *_UNUSED_CELLS, *_OF_FRAMES, "ANIMSTEPS", "CONVCOORD", "DIM-GROUP"})


class XSFSource(FileSource):
    """One XSF file, plain or compressed (.gz, .bz2, .xz), of one structure or an animation.

    Properties are ``energy`` (eV), from comments such as ``# total energy = -4981.94 eV``
    before or inside their frame, and ``forces``, from the last three of seven columns, in
    eV/angstrom in a file that has such a comment; else their unit is left open. Usual files of one
    structure are read by a kernel, all else in plain Python, with the same numbers.

    Parameters
    ----------
    path
        The file.
    """

    runs_in = "processes"
    threads_up_to = 64 << 20  # of usual files, two thirds are read without the GIL

    @classmethod
    def read_together(cls, sources: Sequence[XSFSource]) -> Iterator[tuple[int, Raw | None]]:
        """Yield blocks of as many usual files of one structure as make one; None for each other file."""
        return usual_blocks([source.content for source in sources])

    def read(self, piece: Slice) -> Iterator[Raw]:
        """Yield the frames of the file in blocks.

        Raises
        ------
        InputError
            If the file can't be opened, is empty or is not text, or if it can't be told to
            which of its frames an energy belongs.
        """
        ((_, usual),) = usual_blocks([self.content])
        if usual is not None:
            yield usual
            return
        with opened(self.content) as file:
            aenet = cache(partial(has_energy, self.content))
            yield from _Parser(Lines(file), self.label, aenet).blocks()


class _FaultError(Exception):
    """What is wrong with the frame being read; becomes a `BadFrame`."""


@dataclass
class _Frame:
    """What is known of the frame being read."""

    line: int | None = None
    """Where its first section begins."""
    energy: float | None = None
    cell: NDArray[Any] | None = None
    pbc: tuple[bool, ...] = (False, False, False)
    numbers: list[int] = field(default_factory=list)
    rows: NDArray[Any] = field(default_factory=lambda: np.empty((0, 3)))
    """Positions, and forces where given, shape (n_atoms, 3 or 6)."""


class _Parser:
    """Reads the sections of one file into frames, and frames into blocks."""

    def __init__(self, lines: Lines, label: str, aenet: Callable[[], bool]):
        self.lines, self.label, self.aenet = lines, label, aenet
        self.periodic_axes: int | None = None
        self.n_steps: int | None = None
        self.steps_line = 0
        self.fixed_cell: NDArray[Any] | None = None
        self.steps_have_cells = False
        self.energies_lead: bool | None = None
        """Whether energies stand before or inside their frames; None if none has been seen."""
        self.only_header_energy = False
        self.frame, self.index = _Frame(), 0
        self.last_energy: float | None = None
        self.good: list[tuple[int, _Frame]] = []
        self.bad: list[BadFrame] = []
        self.n_atoms = 0

    def blocks(self) -> Iterator[Raw]:
        """Yield the frames in blocks of bounded size."""
        skipping = False
        while (words := self.lines.next()) is not None:
            key, step = words[0].upper(), _step(words)
            if skipping and (key not in _OF_FRAMES or step is None or step <= self.index):
                self.lines.forget()  # of the bad frame, unless the next frame follows directly
                continue
            skipping = False
            try:
                self._section(key, step, words)
            except _FaultError as fault:
                self.bad.append(BadFrame(self.index, str(fault)))
                self.frame, self.index = _Frame(), self.index + 1
                self.lines.forget()
                skipping = True
            full = self.n_atoms >= _BLOCK_ATOMS or len(self.good) >= _BLOCK_FRAMES
            if full and (self.n_steps or 1) > 1:  # a lone structure waits for what may come behind it
                yield self._flush()
        self._end()
        if self.good or self.bad:
            yield self._flush()

    def _flush(self) -> Raw:
        raw = _raw(self.good, self.bad, self.aenet)
        self.good, self.bad, self.n_atoms = [], [], 0
        return raw

    def _section(self, key: str, step: int | None, words: list[str]) -> None:
        """Read the section that the line `words` opens."""
        if key in _PERIODIC_AXES:
            self.periodic_axes = _PERIODIC_AXES[key]
        elif key == "DIM-GROUP":
            axes = _step(words) if len(words) > 1 else _step(["", *(self.lines.next() or [])])
            if axes is None or axes > 3:
                raise self._fault("DIM-GROUP needs the number of directions that repeat, 0 to 3")
            self.periodic_axes = axes
        elif key == "ANIMSTEPS":
            if step is None or step < 1:
                raise self._fault("ANIMSTEPS needs the number of frames")
            self.n_steps, self.steps_line = step, self.lines.number
        elif key == "PRIMVEC":
            self._cell(step)
        elif key in ("PRIMCOORD", "ATOMS"):
            self._atoms(key, step)
        elif key in _UNUSED_CELLS:
            self._three_vectors(key)
        elif key == "CONVCOORD":
            for _ in range(self._count(key)):
                self.lines.next()
        elif key.startswith("BEGIN_"):
            end = key.replace("BEGIN_", "END_", 1)
            while (inside := self.lines.next()) is not None and inside[0].upper() != end:
                pass
        else:
            raise self._fault(f"found {_quote(words)} where a keyword such as PRIMCOORD should be")

    def _enter(self, key: str, step: int | None) -> None:
        """Begin the frame that a section belongs to, or check that it's the one being read."""
        if step is not None and step != self.index + 1:
            wrong = self._fault(f"{key} {step} stands where that of frame {self.index + 1} should")
            if step <= self.index or self.frame.line is not None:
                raise wrong
            self.bad.append(BadFrame(self.index, str(wrong)))  # frames are missing; go on behind them
            self.index = step - 1
        if self.index >= (self.n_steps or 1):
            many = "there is no ANIMSTEPS" if self.n_steps is None else f"ANIMSTEPS announces {self.n_steps}"
            raise self._fault(f"another structure begins, but {many}")
        if self.frame.line is None:
            self.frame.line = self.lines.number

    def _cell(self, step: int | None) -> None:
        if step is None:
            if self.fixed_cell is not None:
                raise self._fault("a second PRIMVEC without the number of its frame")
            self.fixed_cell = self._three_vectors("PRIMVEC")
        else:
            self._enter("PRIMVEC", step)
            self.frame.cell, self.steps_have_cells = self._three_vectors("PRIMVEC"), True

    def _atoms(self, key: str, step: int | None) -> None:
        if step is None and (self.n_steps or 1) > 1:
            raise self._fault(f"in an animation {key} needs the number of its frame")
        self._enter(key, step)
        frame, at = self.frame, self.lines.number
        rows = self._atom_lines(key, self._count(key) if key == "PRIMCOORD" else None, at)
        found, self.lines.energies = self.lines.energies, []
        after = self.lines.peek()
        if after is not None and not _is_keyword(after[0]):
            raise self._fault(f"found {_quote(after)} behind the {len(rows)} atoms that {key} announces")
        frame.numbers = self._species([words[0] for words in rows], at)
        frame.rows = self._table(rows, at)
        frame.cell = self._frame_cell(key)
        axes = self.periodic_axes or 0
        frame.pbc = (axes > 0, axes > 1, axes > 2)
        frame.energy = self._energy(found)
        self.last_energy = frame.energy
        self.good.append((self.index, frame))
        self.n_atoms += len(rows)
        self.frame, self.index = _Frame(), self.index + 1

    def _frame_cell(self, key: str) -> NDArray[Any] | None:
        cell = self.frame.cell
        if cell is None and self.steps_have_cells:
            raise self._fault(f"frame {self.index + 1} has no PRIMVEC of its own, but others have")
        cell = self.fixed_cell if cell is None else cell
        if self.periodic_axes is None and (key == "PRIMCOORD" or cell is not None):
            raise self._fault("none of CRYSTAL, SLAB, POLYMER and MOLECULE says how the structure repeats")
        if self.periodic_axes and cell is None:
            raise self._fault("PRIMVEC, the lattice vectors, is missing")
        return cell

    def _atom_lines(self, key: str, n: int | None, at: int) -> list[list[str]]:
        """Read `n` lines of atoms, or all up to the next keyword."""
        rows: list[list[str]] = []
        while n is None or len(rows) < n:
            words = self.lines.peek()
            if words is None or _is_keyword(words[0]):
                break
            rows.append(words)
            self.lines.next()
        if n is not None and len(rows) < n:
            raise self._fault(f"{key} announces {n} atoms, but there are {len(rows)}", at)
        if not rows:
            raise self._fault(f"{key} has no atoms", at)
        return rows

    def _species(self, symbols: list[str], at: int) -> list[int]:
        try:
            return [NUMBERS[symbol] for symbol in symbols]
        except KeyError:
            numbers = []
        for i, symbol in enumerate(symbols, start=1):
            digits = symbol.isascii() and symbol.isdigit() and len(symbol) < 4
            z = int(symbol) if digits else atomic_number(symbol)
            if z is None or z >= len(SYMBOLS):
                raise self._fault(f"atom {i} is {symbol[:40]!r}, which is no chemical element", at)
            numbers.append(z)
        return numbers

    def _table(self, rows: list[list[str]], at: int) -> NDArray[Any]:
        """Return the numbers of the atoms, shape (n_atoms, 3 or 6)."""
        width = len(rows[0])
        for i, words in enumerate(rows, start=1):
            if len(words) != width or width not in (4, 7):
                raise self._fault(
                    f"atom {i} has {len(words) - 1} numbers (atom 1 has {width - 1}); every atom needs "
                    "x y z, and all of them or none a force",
                    at,
                )
        values = self._floats(list(chain.from_iterable([words[1:] for words in rows])), at)
        return np.array(values).reshape(-1, width - 1)

    def _floats(self, words: list[str], at: int) -> list[float]:
        text = "".join(words)
        try:
            if text.isascii() and "_" not in text:
                return list(map(float, words))
        except ValueError:
            pass
        values = []
        for word in words:
            try:
                values.append(number(word))
            except ValueError:
                raise self._fault(f"{word[:40]!r} is not a number", at) from None
        return values

    def _three_vectors(self, key: str) -> NDArray[Any]:
        at, values = self.lines.number, []
        for _ in range(3):
            words = self.lines.peek()
            if words is None or len(words) != 3:
                raise self._fault(f"{key} needs three lines of three numbers", at)
            values += self._floats(words, at)
            self.lines.next()
        return np.array(values).reshape(3, 3)

    def _count(self, key: str) -> int:
        words = self.lines.next()
        if words is None or re.fullmatch(r"[-+]?\d{1,18}", words[0], re.ASCII) is None:
            found = "the file ends" if words is None else f"there is {_quote(words)}"
            raise self._fault(f"{key} needs the number of atoms, but {found}")
        n = int(words[0])
        if n < 1:
            raise self._fault(f"{key} announces {n} atoms; there must be at least one")
        return n

    def _energy(self, found: list[tuple[int, float | str]]) -> float | None:
        """Return the energy of the frame just read, from the comments before and inside it."""
        if self.only_header_energy and self.index == 1 and not found:
            raise self._whose(self.steps_line)
        if not found:
            return None
        first, opened = found[0][0], self.frame.line or 0
        if self.energies_lead is None:
            if self.index > 0 and first < opened:
                raise self._whose(first)
            self.energies_lead = True
            self.only_header_energy = found[-1][0] < self.steps_line
        return self._one_energy(found)

    def _one_energy(self, found: Sequence[tuple[int, float | str]]) -> float:
        for line, value in found:
            if isinstance(value, str):
                raise self._fault(value, line)
            if value != found[0][1]:
                raise self._fault("the frame has two different energies", line)
        return float(found[0][1])

    def _whose(self, line: int) -> InputError:
        return InputError(
            f"line {line}: it can't be told to which frame this energy belongs; put the energy of every "
            "frame between its first line (PRIMVEC or PRIMCOORD) and its atoms",
            self.label,
        )

    def _end(self) -> None:
        """Account for frames that are not there and energies behind the last one."""
        left = self.lines.energies
        if self.index == 0:
            self.bad.append(BadFrame(0, f"line {self.lines.number}: the file ends before any atoms"))
        elif self.index < (self.n_steps or 1):
            many = f"ANIMSTEPS announces {self.n_steps} frames, but the file ends behind frame {self.index}"
            self.bad.append(BadFrame(self.index, f"line {self.lines.number}: {many}"))
        elif left and (self.n_steps or 1) > 1:
            if any(value != self.last_energy for _, value in left):
                raise self._whose(left[0][0])
        elif left and self.good:
            number, last = self.good[-1]
            try:
                # A lone structure may have its energy anywhere.
                before = [] if last.energy is None else [(0, last.energy)]
                last.energy = self._one_energy([*before, *left])
            except _FaultError as fault:
                self.good.pop()
                self.bad.append(BadFrame(number, str(fault)))

    def _fault(self, text: str, line: int | None = None) -> _FaultError:
        return _FaultError(f"line {self.lines.number if line is None else line}: {text}")


def _step(words: list[str]) -> int | None:
    """Return the number behind a keyword."""
    if len(words) > 1 and words[1].isascii() and words[1].isdigit() and len(words[1]) < 19:
        return int(words[1])
    return None


def _is_keyword(word: str) -> bool:
    name = word.upper()
    return name in _KEYWORDS or name.startswith("BEGIN_")


def _quote(words: list[str]) -> str:
    text = " ".join(words)
    return repr(text if len(text) <= 40 else text[:40] + "...")


def _raw(frames: list[tuple[int, _Frame]], bad: list[BadFrame], aenet: Callable[[], bool]) -> Raw:
    n = len(frames)
    n_atoms = np.array([len(f.numbers) for _, f in frames], dtype=np.int64)
    raw = Raw(np.array([k for k, _ in frames], dtype=np.int64), n_atoms, bad=bad)
    if not n:
        return raw
    numbers = chain.from_iterable(f.numbers for _, f in frames)
    raw.atom["numbers"] = [RawColumn(np.fromiter(numbers, dtype=np.uint8, count=int(n_atoms.sum())))]
    raw.atom["positions"] = [RawColumn(np.concatenate([f.rows[:, :3] for _, f in frames]))]
    zero = np.zeros((3, 3))
    raw.structure["cell"] = [RawColumn(np.array([zero if f.cell is None else f.cell for _, f in frames]))]
    raw.structure["pbc"] = [RawColumn(np.array([f.pbc for _, f in frames]))]
    forced = [i for i, (_, f) in enumerate(frames) if f.rows.shape[1] == 6]
    if forced:
        index = None if len(forced) == n else np.array(forced)
        forces = [frames[i][1].rows[:, 3:] for i in forced]
        raw.atom["forces"] = atom_columns("forces", forces, index, n_atoms)
        if not aenet():
            for column in raw.atom["forces"]:
                column.unit = ""
    known = [(i, f.energy) for i, (_, f) in enumerate(frames) if f.energy is not None]
    if known:
        index = None if len(known) == n else np.array([i for i, _ in known])
        raw.structure["energy"] = structure_columns("energy", [e for _, e in known], index, n)
    return raw
