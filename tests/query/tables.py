"""Structures in memory, as a table that conditions can be asked of."""

from dataclasses import dataclass, field

import numpy as np

from zstruct.elements import SYMBOLS
from zstruct.query import Atoms, Formulas
from zstruct.ragged import counts_to_offsets
from zstruct.schema import infer

__all__ = ["MemoryTable"]


@dataclass
class MemoryTable:
    """Columns over structures, and the atomic numbers of their atoms.

    Values are lists with None for what is missing; so are texts. With `coded`, there is a table of their
    formulas.
    """

    columns: dict[str, list]
    structures: list[list[str]]  # chemical symbols
    name: str = "the table"
    coded: bool = False
    formulas: Formulas | None = None
    n_threads: int = 1
    read: list[str] = field(default_factory=list)

    def __post_init__(self):
        kinds = {float: "float", int: "int", bool: "bool", str: "category"}
        self.fields, self._rows, self._present, self._texts = {}, {}, {}, {}
        for name, values in self.columns.items():
            there = np.array([value is not None for value in values])
            kind = kinds[type(next((value for value in values if value is not None), 0.0))]
            if kind == "category":
                self._texts[name] = sorted({value for value in values if value is not None})
                rows = [-1 if value is None else self._texts[name].index(value) for value in values]
            else:
                rows = [np.nan if value is None and kind == "float" else value or 0 for value in values]
            self.fields[name] = infer(name, "structure", kind, ())
            self._rows[name] = np.array(rows, self.fields[name].dtype)
            self._present[name] = there
        numbers = [[SYMBOLS.index(symbol) for symbol in symbols] for symbols in self.structures]
        self._numbers = np.array([z for one in numbers for z in one], dtype=np.uint8)
        self._offsets = counts_to_offsets([len(one) for one in numbers])
        self.fields["numbers"] = infer("numbers", "atom", "int", ())
        if self.coded:
            kinds = sorted({tuple(sorted(one)) for one in numbers})
            self._rows["formula"] = np.array([kinds.index(tuple(sorted(one))) for one in numbers], np.int32)
            found = [np.unique(one, return_counts=True) for one in kinds]
            edges = counts_to_offsets([len(elements) for elements, _ in found])
            self.formulas = Formulas("formula", edges, *map(np.concatenate, zip(*found, strict=True)))

    def __len__(self):
        return len(self.structures)

    def obstacle(self, name):
        return None

    def known(self, quantity):
        return None

    def positions(self, structures):
        return structures

    def rows(self, name, start, stop):
        self.read.append(name)
        values = np.diff(self._offsets) if name == "n_atoms" else self._rows[name]
        return values[start:stop]

    def present(self, name, structures):
        return self._present[name][structures]

    def texts(self, name):
        return self._texts[name]

    def atoms(self, name, structures):
        assert name == "numbers"
        for start in range(0, len(structures), 3):  # in small pieces
            here = structures[start : start + 3]
            rows = [self._numbers[self._offsets[k] : self._offsets[k + 1]] for k in here]
            offsets = counts_to_offsets([len(one) for one in rows])
            yield Atoms(slice(start, start + len(here)), offsets, np.concatenate(rows))
