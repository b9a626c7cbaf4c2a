"""Trajectories of CP2K: ``NAME-pos-1.xyz``, with forces and cells of the files that lie beside it.

CP2K writes positions (angstrom), forces (hartree/bohr) and cells into a file each; energies (hartree) are in
the comments of all. What belongs together has the same step, ``i = 12``, in its comment. Units other than
CP2K's own defaults stand in no file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.keywords import keywords
from zstruct.ragged import atom_rows, counts_to_offsets
from zstruct.sources.compression import begins, opened, stem
from zstruct.sources.content import Content, content_of
from zstruct.sources.source import FileSource, Raw, RawColumn, Slice
from zstruct.sources.xyz.source import XYZSource

__all__ = ["CP2KSource", "is_cp2k_file"]

_NAME = re.compile(r"(?P<before>.*-)(?P<what>pos|frc|vel)(?P<run>-\d+)\.xyz", re.IGNORECASE)
_COMMENT = re.compile(r"\A\s*\d+\s*\n\s*i\s*=\s*\d+\s*,.*\bE\s*=")
_NONE = "there is no {} beside it, so structures have no {}"


def is_cp2k_file(content: Content) -> bool:
    """Tell whether content is a file of positions, forces or velocities that CP2K has written."""
    if _NAME.fullmatch(stem(content.name)) is None:
        return False
    return _COMMENT.match(begins(content, 512).decode("utf-8", "replace")) is not None


@keywords()
class CP2KSource(FileSource):
    """A trajectory of CP2K: the file of positions, with ``-frc-1.xyz`` and ``-1.cell`` from beside it.

    Properties are ``energy`` (hartree), ``time`` (fs), ``i`` (the step) and per atom ``forces``
    (hartree/bohr). Without a file of cells structures have no cell and do not repeat; with one they do, in
    all directions.

    Parameters
    ----------
    path
        The file of positions.
    """

    runs_in = "processes"

    def __init__(self, path: str | os.PathLike[str] | Content):
        super().__init__(path)
        self.forces, self.cells = self._beside()

    def _beside(self) -> tuple[Content | None, Content | None]:
        """Return the files of forces and of cells, if they are there."""
        match = _NAME.fullmatch(stem(self.content.name))
        if match is None or self.content.path is None:
            return None, None
        folder = os.path.dirname(self.content.label)
        ends = self.content.name[len(match[0]) :]
        names = [f"{match['before']}frc{match['run']}.xyz{end}" for end in dict.fromkeys((ends, ""))]
        names = [name for name in names if os.path.isfile(os.path.join(folder, name))]
        cell = os.path.join(folder, f"{match['before'].rstrip('-')}{match['run']}.cell")
        forces = content_of(os.path.join(folder, names[0])) if names else None
        return forces, content_of(cell) if os.path.isfile(cell) else None

    def fingerprint(self) -> dict[str, Any]:
        """Return what tells that one of the files changed."""
        found = self.content.fingerprint()
        beside = {"forces": self.forces, "cells": self.cells}
        return found | {key: content.fingerprint() for key, content in beside.items() if content is not None}

    def scan(self) -> list[Slice]:
        """Return the whole file as one slice."""
        size = int(self.content.fingerprint()["size"])
        return [Slice(0, size, 0, size)]

    def read(self, piece: Slice) -> Iterator[Raw]:
        """Yield the frames of the file in blocks.

        Raises
        ------
        InputError
            If it is a file of forces or velocities, or what lies beside it does not belong to it.
        """
        match = _NAME.fullmatch(stem(self.content.name))
        if match is not None and match["what"].lower() != "pos":
            what = {"frc": "forces", "vel": "velocities"}[match["what"].lower()]
            raise InputError(
                f"these are {what}, where other XYZ files have positions; give the file with -pos- in its "
                "name, which is read together with the forces beside it",
                self.label,
            )
        forces = None if self.forces is None else _Forces(self.forces)
        cells = None if self.cells is None else _cells(self.cells)
        last = -1
        for raw in XYZSource(self.content).read(piece):
            if len(raw.frames):
                steps = _steps(raw, last, self.label)
                last = int(steps[-1])
                self._complete(raw, steps, forces, cells)
            yield raw

    def _complete(
        self,
        raw: Raw,
        steps: NDArray[np.int64],
        forces: _Forces | None,
        cells: dict[int, NDArray[np.float64]] | None,
    ) -> None:
        everywhere = np.ones(len(steps), dtype=bool)
        if "E" in raw.structure:
            raw.structure["energy"] = raw.structure.pop("E")
            for column in raw.structure["energy"]:
                column.unit = "Ha"
        if forces is None:
            raw.remarks[_NONE.format("-frc-1.xyz", "forces")] = everywhere
        else:
            raw.atom["forces"] = [forces.of(raw, steps)]
        if cells is None:
            raw.remarks[_NONE.format("-1.cell", "cell and are not periodic")] = everywhere
            return
        here = np.array([step in cells for step in steps.tolist()])
        if not here.all():
            where = "" if self.cells is None else self.cells.label
            raise InputError(
                f"there is no cell of step {steps[~here][0]}; have cells written as often as positions", where
            )
        raw.structure["cell"] = [RawColumn(np.array([cells[step] for step in steps.tolist()]))]
        raw.structure["pbc"] = [RawColumn(np.ones((len(steps), 3), dtype=bool))]


def _steps(raw: Raw, last: int, label: str) -> NDArray[np.int64]:
    """Return the steps of a block of frames, which grow."""
    columns = raw.structure.get("i", [])
    if len(columns) != 1 or columns[0].present is not None or columns[0].values.dtype.kind != "i":
        raise InputError("some comments have no step ('i = 12, time = ...'), as CP2K writes them", label)
    steps: NDArray[np.int64] = columns[0].values
    back = np.flatnonzero(np.diff(steps, prepend=last) <= 0)
    if len(back):
        before = last if back[0] == 0 else steps[back[0] - 1]
        raise InputError(
            f"step {steps[back[0]]} comes behind step {before}: several runs are in one file, and it can't "
            "be told what belongs together; part them",
            label,
            int(raw.frames[back[0]]),
        )
    return steps


class _Forces:
    """The forces of a trajectory, by step, as they are asked for."""

    def __init__(self, content: Content):
        source = XYZSource(content)
        self._label = source.label
        self._blocks = (raw for piece in source.scan() for raw in source.read(piece))
        self._held: list[tuple[NDArray[np.int64], Raw]] = []
        self._last = -1

    def of(self, raw: Raw, steps: NDArray[np.int64]) -> RawColumn:
        """Return the forces of a block of frames; those that are not there are missing."""
        while self._last < steps[-1] and (block := next(self._blocks, None)) is not None:
            if block.bad:
                raise InputError(block.bad[0].reason, self._label, block.bad[0].frame)
            found = _steps(block, self._last, self._label)
            self._last = int(found[-1])
            self._held.append((found, block))
        self._held = [(found, block) for found, block in self._held if found[-1] >= steps[0]]
        offsets = counts_to_offsets(raw.n_atoms)
        values = np.full((int(offsets[-1]), 3), np.nan)
        present = np.zeros(len(steps), dtype=bool)
        for found, block in self._held:
            _, here, there = np.intersect1d(steps, found, assume_unique=True, return_indices=True)
            counts = raw.n_atoms[here]
            mine = atom_rows(offsets[here], counts)
            theirs = atom_rows(counts_to_offsets(block.n_atoms)[there], block.n_atoms[there])
            numbers = [one.atom["numbers"][0].values for one in (raw, block)]
            if len(mine) != len(theirs) or not np.array_equal(numbers[0][mine], numbers[1][theirs]):
                raise InputError(
                    f"its atoms are not those of the positions (step {found[there][0]} on)", self._label
                )
            values[mine] = block.atom["positions"][0].values[theirs]
            present[here] = True
        return RawColumn(values, None if present.all() else present, unit="Ha/bohr")


def _cells(content: Content) -> dict[int, NDArray[np.float64]]:
    """Return the cells of a file of CP2K, in angstrom, by step."""
    found = {}
    with opened(content) as file:
        head = file.readline()
        if "[Angstrom]" not in head or "Ax" not in head:
            raise InputError("this is no file of cells in angstrom, as CP2K writes them", content.label)
        for k, line in enumerate(file, start=2):
            words = line.split()
            try:
                found[int(words[0])] = np.array([float(word) for word in words[2:11]]).reshape(3, 3)
            except (ValueError, IndexError):
                raise InputError(
                    f"line {k} has no step, time and nine numbers of a cell", content.label
                ) from None
    return found
