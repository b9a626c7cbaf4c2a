"""The one language of selections: which structures are meant, in an expression or by other means.

`Selection` is what views are made by. An expression is parsed (`tokens`, `parse`, `syntax`), given meaning
by what the structures have (`quantities`, `names`, `bind`), and asked of many of them at once (`conditions`,
`values`, `arithmetic`, `block`, `evaluate`). What is asked is a `Table`: a store, or anything else that has
columns.
"""

from __future__ import annotations

from zstruct.query.bind import FUNCTIONS
from zstruct.query.choice import Choice, Selectable
from zstruct.query.free_atoms import FreeAtoms
from zstruct.query.parse import parse
from zstruct.query.positions import positions_of
from zstruct.query.quantities import QUANTITIES, Quantity
from zstruct.query.selection import Selection, asked, narrowed
from zstruct.query.table import Atoms, Formulas, StoreTable, Table

__all__ = [
    "FUNCTIONS",
    "QUANTITIES",
    "Atoms",
    "Choice",
    "Formulas",
    "FreeAtoms",
    "Quantity",
    "Selectable",
    "Selection",
    "StoreTable",
    "Table",
    "asked",
    "narrowed",
    "parse",
    "positions_of",
]
