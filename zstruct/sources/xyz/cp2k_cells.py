"""Cells of a trajectory of CP2K: one a step from ``NAME-1.cell``, or one for all from a restart file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.sources.compression import opened
from zstruct.sources.content import Content

__all__ = ["Cells", "cells_by_step", "constant_cell"]

# Ensembles of molecular dynamics, and types of runs, that leave the cell as it is.
_CONSTANT = ("NVE", "NVT", "NVT_ADIABATIC", "LANGEVIN", "ISOKIN")
_RUNS = ("GEO_OPT", "GEOMETRY_OPTIMIZATION")
_DYNAMICS = ("MD", "MOLECULAR_DYNAMICS")


@dataclass(frozen=True)
class Cells:
    """The cells of a trajectory.

    Parameters
    ----------
    label
        The file that they are from.
    by_step
        In angstrom, rows are lattice vectors; the one of step -1 is that of all.
    periodic
        Along which vectors they repeat, shape (3,).
    unsaid
        Whether the file does not say that.
    """

    label: str
    by_step: dict[int, NDArray[np.float64]]
    periodic: NDArray[np.bool_]
    unsaid: bool

    def of(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the cells of some steps, shape (n, 3, 3).

        Raises
        ------
        InputError
            If there is none of one of them.
        """
        if -1 in self.by_step:
            return np.tile(self.by_step[-1], (len(steps), 1, 1))
        try:
            return np.array([self.by_step[step] for step in steps.tolist()])
        except KeyError as error:
            raise InputError(
                f"there is no cell of step {error}; have cells written as often as positions", self.label
            ) from None


def cells_by_step(content: Content) -> Cells:
    """Return the cells of a file of CP2K.

    Raises
    ------
    InputError
        If it is no such file.
    """
    found = {}
    with opened(content) as file:
        head = file.readline()
        if "[Angstrom]" not in head or "Ax" not in head:
            raise InputError("this is no file of cells in angstrom, as CP2K writes them", content.label)
        for k, line in enumerate(file, start=2):
            words = line.split()
            try:
                found[int(words[0])] = np.array([float(word) for word in words[2:11]]).reshape(3, 3)
                float(words[11])  # the volume is behind them: without it, the line is cut off
            except (ValueError, IndexError):
                raise InputError(
                    f"line {k} has no step, time and nine numbers of a cell", content.label
                ) from None
    return Cells(content.label, found, np.ones(3, dtype=bool), True)


def constant_cell(content: Content) -> Cells | None:
    """Return the cell of a restart file; None if the run may change it, or there is not just one.

    It is the cell of all steps only where the run keeps it: molecular dynamics at constant volume, and
    optimizations of positions alone.
    """
    with opened(content) as file:
        words = dict[str, list[list[str]]]()
        for section, line in _sections(file):
            for name in ("GLOBAL", "MOTION/MD", "FORCE_EVAL/SUBSYS/CELL"):
                if section == name:
                    words.setdefault(name, []).append(line)
    run = _said(words.get("GLOBAL", []), "RUN_TYPE")
    ensemble = _said(words.get("MOTION/MD", []), "ENSEMBLE") or ["NVE"]
    keeps = run[:1] and (run[0] in _RUNS or (run[0] in _DYNAMICS and ensemble[0] in _CONSTANT))
    lines = words.get("FORCE_EVAL/SUBSYS/CELL", [])
    vectors = [[line[1:] for line in lines if line[0] == axis] for axis in "ABC"]
    if not keeps or any(len(found) != 1 for found in vectors):
        return None
    try:
        cell = np.array([[float(word) for word in found[0]] for found in vectors])
    except ValueError:
        return None
    if cell.shape != (3, 3):
        return None
    periodic = _said(lines, "PERIODIC")
    repeats = np.array([axis in (periodic or ["XYZ"])[0] for axis in "XYZ"])
    return Cells(content.label, {-1: cell}, repeats, not periodic)


def _sections(lines: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the lines of an input of CP2K as words in capitals, with the section that they are in."""
    path: list[str] = []
    for line in lines:
        words = re.split(r"[!#]", line, maxsplit=1)[0].upper().split()
        if not words:
            continue
        if words[0].startswith("&END"):
            path = path[:-1]
        elif words[0].startswith("&"):
            path.append(words[0][1:])
        else:
            yield "/".join(path), words


def _said(lines: list[list[str]], name: str) -> list[str]:
    return next((line[1:] for line in lines if line[0] == name and len(line) > 1), [])
