"""The fields of all parts of a job as columns of a group, read when they are written there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.building.part_blocks import PartBlock
from zstruct.building.parts import read_blocks
from zstruct.labels.label_tasks import PartTask, joined_field
from zstruct.ragged import counts_to_offsets
from zstruct.schema import ATOM, Field
from zstruct.store.label_writer import Failures, LabelColumn
from zstruct.store.spec import FAILURE

__all__ = ["columns_of_parts"]


def columns_of_parts(tasks: Sequence[PartTask]) -> tuple[list[LabelColumn], Failures | None]:
    """Return the fields that parts have, and why structures have none; with rows of the labelled ones only.

    Parameters
    ----------
    tasks
        What made the parts.

    Raises
    ------
    InputError
        If a label comes in shapes that no array can hold.
    """
    blocks = [read_blocks(task.file)[0] for task in tasks]
    structures = counts_to_offsets([len(task.structures) for task in tasks])
    atoms = counts_to_offsets([int(task.n_atoms.sum()) for task in tasks])
    fields: dict[str, Field] = {}
    for block in blocks:
        for name, row in block.fields.items():
            if name != FAILURE:
                fields[name] = joined_field(fields[name], row) if name in fields else row
    columns = []
    for name in sorted(fields):
        rows = _Rows(fields[name], blocks, atoms if fields[name].level == ATOM else structures)
        present = None if fields[name].presence() is None else rows.present()
        columns.append(LabelColumn(fields[name], rows.read, present))
    return columns, _failures(blocks, structures)


class _Rows:
    """The rows of a field in parts."""

    def __init__(self, row: Field, blocks: Sequence[PartBlock], edges: NDArray[np.int64]):
        self._row, self._blocks, self._edges = row, blocks, edges

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return rows, some of which may be missing."""
        row, edges = self._row, self._edges
        out = np.full((stop - start, *row.shape), row.missing, row.dtype)
        first = int(np.searchsorted(edges, start, side="right")) - 1
        last = int(np.searchsorted(edges, stop, side="left"))
        for k in range(first, last):
            if row.name not in self._blocks[k].fields:
                continue
            low, high = max(start, int(edges[k])), min(stop, int(edges[k + 1]))
            before = int(edges[k])
            out[low - start : high - start] = self._blocks[k].rows(row.name, low - before, high - before)
        return out

    def present(self) -> NDArray[np.bool_]:
        """Return which structures have it."""
        return np.concatenate(
            [
                block.present(self._row.name)
                if self._row.name in block.fields
                else np.zeros(block.n_structures, dtype=bool)
                for block in self._blocks
            ]
        )


def _failures(blocks: Sequence[PartBlock], structures: NDArray[np.int64]) -> Failures | None:
    """Return why structures have no labels, by reasons that all parts share; None if none failed."""
    texts: dict[str, int] = {}
    codes = np.full(int(structures[-1]), -1, dtype=np.int32)
    for block, start in zip(blocks, structures[:-1].tolist(), strict=True):
        if FAILURE in block.fields:
            own = [texts.setdefault(text, len(texts)) for text in block.categories[FAILURE]]
            rows = block.rows(FAILURE, 0, block.n_structures)
            codes[start : start + block.n_structures] = np.array([*own, -1], dtype=np.int32)[rows]
    return Failures(codes, list(texts)) if texts else None
