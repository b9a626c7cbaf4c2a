"""What formats of named arrays share: what arrays are called, in which dtype, and what is said of them.

A row of the table that `zstruct.sources.array_files` reads says what each array is, so that nothing is lost
on the way there and back. Files are not known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.exporters.blocks import Contents
from zstruct.exporters.limits import is_unicode
from zstruct.schema import FIELDS, GEOMETRY, Field

__all__ = ["Column", "columns_of", "needs_mask", "row_of", "texts_of", "unit_of"]


@dataclass(frozen=True)
class Column:
    """An array that a field becomes.

    Parameters
    ----------
    key
        The array's name.
    original
        What the input called the field.
    field
        The field.
    dtype
        Of the array.
    texts
        Of categories, by code; one more, empty, at the end, for what is missing.
    """

    key: str
    original: str
    field: Field
    dtype: np.dtype[Any]
    texts: NDArray[Any] | None = None

    def values(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return rows of the field as the array has them."""
        made = rows if self.texts is None else self.texts[rows]  # the code of what is missing is -1
        return np.ascontiguousarray(made, dtype=self.dtype)


def columns_of(
    contents: Contents, names: Mapping[str, str], taken: set[str], left_out: set[str]
) -> dict[str, Column]:
    """Return the arrays of all fields, by field.

    Parameters
    ----------
    contents
        What will be exported.
    names
        What the format calls fields; others have the names that their inputs gave them.
    taken
        Names of arrays that are something else.
    left_out
        Fields that become none.
    """
    made: dict[str, Column] = {}
    used = dict.fromkeys(taken, "")
    for name, spec in contents.fields.items():
        if name in left_out:
            continue
        original = name if name in GEOMETRY else contents.originals.get(name, name)
        key = names.get(name, original)
        if key in used or "/" in key or "\0" in key or key in ("", ".") or not is_unicode(key):
            key = name.encode(errors="replace").decode()
        while key in used:
            key += "_"
        used[key] = name
        dtype, texts = np.dtype(spec.dtype), None
        if spec.kind == "category":
            texts = texts_of(contents.categories[name])
            dtype = texts.dtype
        elif name == "numbers":
            dtype = np.dtype(np.int32)
        made[name] = Column(key, original, spec, dtype, texts)
    return made


def texts_of(categories: list[str]) -> NDArray[Any]:
    """Return the texts of categories by code, and one more that is empty."""
    return np.array([*categories, ""], dtype=np.str_)


def needs_mask(spec: Field) -> bool:
    """Tell whether it must be said which structures have a field: NaN says so of labels that all know."""
    return spec.kind != "float" or spec.name not in FIELDS


def unit_of(spec: Field) -> str:
    """Return the unit of a field where one can be said, else an empty text."""
    return spec.unit if spec.kind == "float" and spec.unit != "1" and spec.name != "momenta" else ""


def row_of(column: Column, level: str, mask: str = "") -> tuple[str, str, str, str, str]:
    """Return what is said of an array: its name, the property, level, unit and mask."""
    return column.key, column.original, level, unit_of(column.field), mask
