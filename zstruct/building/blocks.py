"""The blocks of all parts in order: in parts, or in stores among the inputs, as a whole if that can be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from zstruct.building.part_blocks import PartBlock, StoredEntry
from zstruct.building.parts import read_entries
from zstruct.building.stored_blocks import StoredBlock, StoredInput

__all__ = ["Block", "blocks_of"]

#: Structures of one input or of several small ones, wherever they are.
Block = PartBlock | StoredBlock


def blocks_of(parts: Iterable[Path], inputs: Mapping[int, StoredInput]) -> list[Block]:
    """Return the blocks of some parts.

    Parameters
    ----------
    parts
        The parts, in order.
    inputs
        The stores among the inputs, by their place.
    """
    entries = [entry for part in parts for entry in read_entries(part)]
    blocks: list[Block] = []
    whole: set[int] = set()
    for entry in entries:
        if isinstance(entry, PartBlock):
            blocks.append(entry)
        elif entry.chosen is not None:
            blocks.append(_chosen(entry, inputs[entry.input]))
        elif entry.input not in whole:  # all slices of it are there
            whole.add(entry.input)
            blocks.append(StoredBlock.of_all(inputs[entry.input]))
    return blocks


def _chosen(entry: StoredEntry, source: StoredInput) -> StoredBlock:
    assert entry.chosen is not None
    n = len(entry.chosen)
    return StoredBlock(source, n, entry.n_atoms, entry.coverage, entry.chosen, entry.used, entry.added)
