"""Ionic steps of a vasprun.xml, element by element, in memory for one step.

Steps of the calculation are in ``<calculation>``; those that a force field predicted, without any, are a
``<structure>``, ``<varray name="forces">`` and ``<energy>`` beside these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO
from xml.etree.ElementTree import Element, ParseError, XMLPullParser

import numpy as np
from numpy.typing import NDArray

from zstruct.elements import atomic_number
from zstruct.sources.lines.frames import FaultError
from zstruct.sources.outputs import CUT, Found, OutputError
from zstruct.sources.vasp.steps import Step, reals, stress_of

__all__ = ["END", "vasprun_steps"]

#: With what every whole file ends.
END = b"</modeling>"

_BLOCK = 1 << 20
_LARGE = re.compile(
    rb"<(eigenvalues(?:_kpoints_opt)?|dos|projected(?:_kpoints_opt)?|dielectricfunction|dynmat)[\s>]"
)
_LONGEST = 64  # characters of such a beginning
_KBAR = 6.241509074460763e-4  # eV/angstrom^3, of which PSTRESS is given
_SELECTIVE = (
    "some atoms may move along some lattice vectors only: these flags are kept as 'selective', as the file "
    "has them"
)
_DIPOLE = (
    "the dipole moment is kept as 'input_dipole': VASP counts charge in electrons, so its sign may be the "
    "other one; multiply it as needed if you want it as dipole"
)
_ENTHALPY = (
    "of energies that a force field predicts under PSTRESS it is not known whether the pressure is in them, "
    "so they are left out; OUTCAR of the same run has them without"
)


def vasprun_steps(stream: BinaryIO) -> Iterator[Found]:
    """Yield the ionic steps of a vasprun.xml.

    Parameters
    ----------
    stream
        The file.

    Yields
    ------
    Frame or str
        A step, or why it can't be used.

    Raises
    ------
    OutputError
        If it is no such file, or does not say which elements its atoms are.
    """
    reading = _Reading()
    parser: Any = XMLPullParser(("start", "end"))
    damage = ""
    for block in _slim(stream):
        try:
            parser.feed(block)
            for event, element in parser.read_events():
                yield from reading.take(event, element)
        except ParseError as error:
            what = str(error).partition(":")[0]  # lines are not those of the file
            damage = f"the XML is damaged here ({what}); nothing behind that is read"
            break
    try:
        parser.close()
    except ParseError:
        damage = damage or CUT
    yield from reading.rest(damage)


def _slim(stream: BinaryIO) -> Iterator[bytes]:
    """Yield a file in blocks, without what is large and has nothing of steps: bands, densities of states."""
    text = b""
    depth = 0  # of elements of one name in one another that are being left out
    mark = _LARGE
    while block := stream.read(_BLOCK):
        text += block
        kept = []
        start = 0
        while (match := mark.search(text, start)) is not None:
            if depth == 0:
                kept.append(text[start : match.start()])
                mark = re.compile(rb"<(/?)%s[\s>]" % match[1])
                depth = 1
            else:
                depth += -1 if match[1] else 1
                mark = mark if depth else _LARGE
            start = match.end()
        stop = text.rfind(b"<", max(start, len(text) - _LONGEST))  # it may be the beginning of one
        stop = len(text) if stop < 0 else stop
        if depth == 0:
            kept.append(text[start:stop])
        text = text[stop:]
        yield b"".join(kept)
    if depth == 0:
        yield text


class _Reading:
    """The state of reading."""

    def __init__(self) -> None:
        self.depth = 0
        self.root: Element | None = None
        self.top = ""  # the element below the root that is open
        self.step: Element | None = None  # the same, if it is a step of the calculation
        self.fault = ""  # of that
        self.settled = False  # its electrons; further cycles are of perturbations
        self.types: list[tuple[str, ...]] = []
        self.titles: list[str] = []
        self.numbers: NDArray[np.uint8] | None = None
        self.allowed = 0  # electronic steps
        self.pressure = 0.0  # eV/angstrom^3
        self.selective: NDArray[np.bool_] | None = None
        self.cycles = 0
        self.smearing: float | None = None  # what the extrapolated energy is above the free one
        self.dipole: NDArray[np.float64] | None = None
        self.learned: dict[str, Element] = {}

    def take(self, event: str, element: Element) -> Iterator[Found]:
        """Take what begins or ends in the file; yield the steps that are finished by it."""
        if event == "start":
            self.depth += 1
            if self.depth == 1:
                self.root = element
                if element.tag != "modeling":
                    raise OutputError(f"it begins with <{element.tag[:40]}>, and vasprun.xml with <modeling>")
            elif self.depth == 2:
                self.top = element.tag
                if element.tag in ("calculation", "structure"):
                    yield from self._predicted()
                if element.tag == "calculation":
                    self.step, self.fault, self.settled = element, "", False
                    self.cycles, self.smearing, self.dipole = 0, None, None
            return
        self.depth -= 1
        if self.depth == 1:
            yield from self._finished(element)
            if self.root is not None:
                self.root.clear()
            self.top, self.step = "", None
        elif self.top == "calculation" and self.depth == 2 and element.tag == "energy":
            self.settled = True
        elif self.top == "calculation" and self.depth == 2 and element.tag == "scstep":
            try:
                if not self.settled:
                    self._cycle(element)
                    self.fault = ""
            except FaultError as error:  # which matters if it is the last one
                self.fault = str(error)
            element.clear()

    def rest(self, damage: str) -> Iterator[Found]:
        """Yield what is left where the file ends."""
        if self.root is None:
            raise OutputError("this is no XML" if damage else "the file is empty")
        open_step = self.step is not None and self.step.find("structure") is not None
        if not damage or not open_step:
            yield from self._predicted(cut=bool(damage))
        if damage and (open_step or damage != CUT):
            yield damage

    def _finished(self, element: Element) -> Iterator[Found]:
        """Take what is finished directly below the root."""
        tag, name = element.tag, element.get("name")
        if tag == "parameters":
            self._parameters(element)
        elif tag == "atominfo":
            self._atoms(element)
        elif tag == "structure" and name == "initialpos":
            flags = element.findall("varray[@name='selective']/v")
            rows = [[word == "T" for word in (v.text or "").split()] for v in flags]
            self.selective = np.array(rows) if rows and {len(row) for row in rows} == {3} else None
        elif tag == "calculation":
            yield self._made(self._calculation, element)
        elif (tag, name) == ("structure", None):
            self.learned["structure"] = element
        elif self.learned and (tag == "energy" or name in ("forces", "stress")):
            self.learned[tag if tag == "energy" else str(name)] = element
            if tag == "energy":
                yield from self._predicted()

    def _parameters(self, element: Element) -> None:
        for entry in element.iter("i"):
            name, text = entry.get("name", ""), entry.text or ""
            try:
                if name == "NELM":  # of those for GW, there is one of the same name behind it
                    self.allowed = self.allowed or int(text)
                elif name == "PSTRESS":
                    self.pressure = float(text) * _KBAR
            except ValueError:
                continue

    def _atoms(self, element: Element) -> None:
        self.types = [_texts(row)[:2] for row in element.findall("array[@name='atoms']/set/rc")]
        self.titles = [_texts(row)[-1] for row in element.findall("array[@name='atomtypes']/set/rc")]

    def _elements(self) -> NDArray[np.uint8]:
        if self.numbers is None:
            if not self.types:
                raise OutputError("there is no list of atoms (<atominfo>) before its steps")
            known = {pair: atomic_number(pair[0]) or self._titled(pair[-1]) for pair in set(self.types)}
            if unknown := [name for (name, *_), number in known.items() if not number]:
                raise OutputError(f"atoms are called {min(unknown)[:40]!r}, which is no chemical element")
            self.numbers = np.array([known[pair] for pair in self.types], dtype=np.uint8)
        return self.numbers

    def _titled(self, kind: str) -> int:
        """Return the element of a potential: VASP writes 'r' for zirconium and 'X' for xenon."""
        k = int(kind) - 1 if kind.isdecimal() else -1
        words = self.titles[k].split() if 0 <= k < len(self.titles) else []
        return (atomic_number(words[1].partition("_")[0]) or 0) if len(words) > 1 else 0

    def _cycle(self, element: Element) -> None:
        self.cycles += 1
        free, cold = (_number(element, f"energy/i[@name='{name}']") for name in ("e_fr_energy", "e_0_energy"))
        self.smearing = None if free is None or cold is None else cold - free
        dipole = element.find("dipole/v[@name='dipole']")
        if dipole is not None:
            self.dipole = reals((dipole.text or "").split(), (3,), "components of the dipole moment")

    def _made(self, make: Any, element: Any) -> Found:
        try:
            found: Found = make(element)
        except FaultError as error:
            return str(error)
        return found

    def _calculation(self, element: Element) -> Found:
        """Return a step of the calculation.

        What stands behind all cycles includes PSTRESS times the volume, and its extrapolated energy is wrong;
        what stands in the last cycle lacks corrections for dispersion. So it is taken from the first what is
        free, and from the second what smearing makes of it.
        """
        if self.fault:
            raise FaultError(self.fault)
        step = self._geometry(element.find("structure"))
        self._labels(step, element)
        free = _number(element, "energy/i[@name='e_fr_energy']")
        if free is not None and step.cell is not None:
            step.free_energy = free - self.pressure * abs(float(np.linalg.det(step.cell)))
            step.energy = None if self.smearing is None else step.free_energy + self.smearing
        step.unconverged = 0 < self.allowed <= self.cycles
        remarks: tuple[str, ...] = ()
        dipole = element.find("dipole/v[@name='dipole']")
        if dipole is not None:
            self.dipole = reals((dipole.text or "").split(), (3,), "components of the dipole moment")
        if self.dipole is not None:
            step.more["input_dipole"], remarks = self.dipole, (*remarks, _DIPOLE)
        return self._frame(step, None, remarks)

    def _predicted(self, *, cut: bool = False) -> Iterator[Found]:
        """Yield a step that only a force field has computed, if there is one."""
        if not self.learned:
            return
        if cut and "energy" not in self.learned:
            yield CUT
        else:
            yield self._made(self._prediction, self.learned)
        self.learned = {}

    def _prediction(self, parts: dict[str, Element]) -> Found:
        step = self._geometry(parts["structure"])
        holder = Element("calculation")
        holder.extend(parts.values())
        self._labels(step, holder)
        step.energy = _number(holder, "energy/i[@name='e_0_energy']")
        remarks: tuple[str, ...] = ()
        if self.pressure and step.energy is not None:
            step.energy, remarks = None, (_ENTHALPY,)
        return self._frame(step, step, remarks)

    def _frame(self, step: Step, learned: Step | None, remarks: tuple[str, ...]) -> Found:
        numbers = self._elements()
        flags = self.selective
        frame = step.frame(numbers, learned, remarks)
        if flags is not None and len(flags) == len(numbers) and not flags.all():
            whole = bool((flags == flags[:, :1]).all())
            frame.atom["move_mask" if whole else "selective"] = flags[:, 0] if whole else flags
            frame.remarks = frame.remarks if whole else (*frame.remarks, _SELECTIVE)
        return frame

    def _geometry(self, element: Element | None) -> Step:
        if element is None:
            raise FaultError("the step has no structure, as in calculations of GW or dielectric functions")
        n = len(self._elements())
        cell = _rows(element.find("crystal/varray[@name='basis']"), 3, "lattice vectors")
        scaled = _rows(element.find("varray[@name='positions']"), n, "positions")
        if cell is None or scaled is None:
            raise FaultError(f"there are no {'lattice vectors' if cell is None else 'positions'}")
        return Step(scaled @ cell, cell)

    def _labels(self, step: Step, element: Element) -> None:
        step.forces = _rows(element.find("varray[@name='forces']"), len(self._elements()), "forces")
        stress = element.find("varray[@name='stress']")
        if stress is not None and any("*" in (v.text or "") for v in stress):
            step.overflown = True
        elif (pressure := _rows(stress, 3, "the stress")) is not None:
            step.stress = stress_of(pressure)


def _texts(row: Element) -> tuple[str, ...]:
    return tuple([(c.text or "").strip() for c in row]) or ("",)


def _rows(element: Element | None, n: int, what: str) -> NDArray[np.float64] | None:
    """Return the rows of a table of three columns."""
    if element is None:
        return None
    words = " ".join([v.text or "" for v in element]).split()
    return reals(words, (n, 3), what)


def _number(element: Element, path: str) -> float | None:
    found = element.find(path)
    if found is None:
        return None
    return float(reals((found.text or "").split(), (1,), "the energies")[0])
