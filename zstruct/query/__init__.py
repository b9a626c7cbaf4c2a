"""The one language of selections: which structures are meant, in an expression or by other means.

`Selection` is what views are made by, and each `select` adds a `Choice` to it. An expression is parsed
(`tokens`, `parser`, `syntax`), given meaning by what the structures have (`quantities`, `names`, `binding`),
and asked of many of them at once (`conditions`, `values`, `arithmetic`, `block`, `evaluation`). What is asked
is a `Table`: a store, or anything else that has columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zstruct.lazy import lazy_names

if TYPE_CHECKING:
    from zstruct.query.binding import FUNCTIONS
    from zstruct.query.choice import Choice
    from zstruct.query.evaluation import Selectable, chosen
    from zstruct.query.formulas import Formulas
    from zstruct.query.free_atoms import FreeAtoms
    from zstruct.query.parser import parse
    from zstruct.query.positions import positions_of
    from zstruct.query.quantities import QUANTITIES, Quantity
    from zstruct.query.selection import Selection, asked, narrowed
    from zstruct.query.table import Atoms, StoreTable, Table

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
    "chosen",
    "narrowed",
    "parse",
    "positions_of",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "FUNCTIONS": "zstruct.query.binding",
        "QUANTITIES": "zstruct.query.quantities",
        "Atoms": "zstruct.query.table",
        "Choice": "zstruct.query.choice",
        "Formulas": "zstruct.query.formulas",
        "FreeAtoms": "zstruct.query.free_atoms",
        "Quantity": "zstruct.query.quantities",
        "Selectable": "zstruct.query.evaluation",
        "Selection": "zstruct.query.selection",
        "StoreTable": "zstruct.query.table",
        "Table": "zstruct.query.table",
        "asked": "zstruct.query.selection",
        "chosen": "zstruct.query.evaluation",
        "narrowed": "zstruct.query.selection",
        "parse": "zstruct.query.parser",
        "positions_of": "zstruct.query.positions",
    },
)
