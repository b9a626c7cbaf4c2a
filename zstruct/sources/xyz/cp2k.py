"""Trajectories of CP2K: ``NAME-pos-1.xyz``, with forces and cells of the files that lie beside it.

CP2K writes positions (angstrom), forces (hartree/bohr) and cells into a file each; energies (hartree) are in
the comments of all. What belongs together has the same step, ``i = 12``, in its comment. Units other than
CP2K's own defaults stand in no file.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.keywords import keywords
from zstruct.ragged import atom_rows, counts_to_offsets
from zstruct.sources.compression import begins, stem
from zstruct.sources.content import Content, RemoteContent, content_of
from zstruct.sources.source import FileSource, Raw, RawColumn, Slice
from zstruct.sources.xyz.cp2k_cells import Cells, cells_by_step, constant_cell
from zstruct.sources.xyz.source import XYZSource

__all__ = ["CP2KSource", "is_cp2k_file"]

_NAME = re.compile(r"(?P<before>.*-)(?P<what>pos|frc|vel)(?P<run>-\d+)\.xyz", re.IGNORECASE)
_COMMENT = re.compile(r"\A\s*\d+\s*\n\s*i\s*=\s*\d+\s*,.*\bE\s*=")
_NO_FORCES = "there is no -frc-1.xyz beside it, so structures have no forces"
_NO_CELL = (
    "there is no -1.cell beside it, and no -1.restart of a run that keeps its cell, so structures have no "
    "cell and are not periodic"
)
_PERIODIC = (
    "the file of cells does not say along which vectors they repeat; all three are taken, CP2K's default"
)
_IN_ARCHIVE = (
    "a trajectory of CP2K is several files, which are put together where they lie in a directory, and not in "
    "an archive: unpack it, or read positions alone with reader='xyz'"
)


def is_cp2k_file(content: Content) -> bool:
    """Tell whether content is a file of positions, forces or velocities that CP2K has written."""
    if _NAME.fullmatch(stem(content.name)) is None:
        return False
    return _COMMENT.match(begins(content, 512).decode("utf-8", "replace")) is not None


@keywords()
class CP2KSource(FileSource):
    """A trajectory of CP2K: the file of positions, with ``-frc-1.xyz`` and ``-1.cell`` from beside it.

    Properties are ``energy`` (hartree; with smearing its entropy is in it), ``time`` (fs), ``i`` (the step)
    and per atom ``forces`` (hartree/bohr). Cells are those of ``-1.cell``, and repeat in all directions;
    without that file, the cell of ``-1.restart``, if it says that the run did not change the cell; else
    structures have no cell and do not repeat. Of an archive such a trajectory is not read: its files are put
    together where they lie in a directory, or below one URL.

    Parameters
    ----------
    path
        The file of positions.
    """

    runs_in = "processes"

    def __init__(self, path: str | os.PathLike[str] | Content):
        super().__init__(path)

    @cached_property
    def forces(self) -> Content | None:
        """The file of forces, if there is one."""
        match = self._match
        return None if match is None else self._beside(f"{match['before']}frc{match['run']}.xyz")

    @cached_property
    def cells(self) -> Content | None:
        """The file of cells, if there is one."""
        match = self._match
        return None if match is None else self._beside(f"{match['before'].rstrip('-')}{match['run']}.cell")

    @cached_property
    def restart(self) -> Content | None:
        """The file from which CP2K would go on, if there is one, and no file of cells."""
        match = self._match
        if match is None or self.cells is not None:
            return None
        return self._beside(f"{match['before'].rstrip('-')}{match['run']}.restart")

    @property
    def _match(self) -> re.Match[str] | None:
        return _NAME.fullmatch(stem(self.content.name))

    def _beside(self, name: str) -> Content | None:
        """Return a file of this name, or compressed as the positions are, from where these are."""
        ends = self.content.name[len(stem(self.content.name)) :]
        content = self.content
        for full in dict.fromkeys((name + ends, name)):
            if content.path is not None:
                path = os.path.join(os.path.dirname(content.label), full)
                if os.path.isfile(path):
                    return content_of(path)
            elif isinstance(content, RemoteContent) and content.url.endswith("/" + content.name):
                url = content.url[: -len(content.name)] + full
                with contextlib.suppress(InputError):
                    other = content_of(url, content.storage_options)
                    other.fingerprint()
                    return other
        return None

    def fingerprint(self) -> dict[str, Any]:
        """Return what tells that one of the files changed."""
        found = self.content.fingerprint()
        beside = {"forces": self.forces, "cells": self.cells, "restart": self.restart}
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
        match = self._match
        if self.content.path is None and not isinstance(self.content, RemoteContent):
            raise InputError(_IN_ARCHIVE, self.label)
        if match is not None and match["what"].lower() != "pos":
            what = {"frc": "forces", "vel": "velocities"}[match["what"].lower()]
            raise InputError(
                f"these are {what}, where other XYZ files have positions; give the file with -pos- in its "
                "name, which is read together with the forces beside it",
                self.label,
            )
        forces = None if self.forces is None else _Forces(self.forces)
        cells = None
        if self.cells is not None:
            cells = cells_by_step(self.cells)
        elif self.restart is not None:
            cells = constant_cell(self.restart)
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
        cells: Cells | None,
    ) -> None:
        everywhere = np.ones(len(steps), dtype=bool)
        if "E" in raw.structure:
            raw.structure["energy"] = raw.structure.pop("E")
            for column in raw.structure["energy"]:
                column.unit = "Ha"
        if forces is None:
            raw.remarks[_NO_FORCES] = everywhere
        else:
            raw.atom["forces"] = [forces.of(raw, steps)]
        if cells is None:
            raw.remarks[_NO_CELL] = everywhere
            return
        if cells.unsaid:
            raw.remarks[_PERIODIC] = everywhere
        raw.structure["cell"] = [RawColumn(cells.of(steps))]
        raw.structure["pbc"] = [RawColumn(np.tile(cells.periodic, (len(steps), 1)))]


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
