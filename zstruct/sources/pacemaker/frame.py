"""The columns of a pickled data frame, without pandas: of records, which stand for what pandas would make.

Versions of pandas differ in how they write blocks, indices and texts; all that is known here is where these
have their values.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.sources.pickles import Call, Record, shown

__all__ = ["KNOWN", "columns_of"]

_PANDAS = {
    "DataFrame": ("pandas", "pandas.core.frame"),
    "BlockManager": ("pandas.core.internals.managers", "pandas._libs.internals"),
    "BlockPlacement": ("pandas._libs.internals",),
    "_unpickle_block": ("pandas._libs.internals",),
    "_new_Index": ("pandas.core.indexes.base",),
    "Index": ("pandas", "pandas.core.indexes.base"),
    "RangeIndex": ("pandas", "pandas.core.indexes.range"),
    "Int64Index": ("pandas", "pandas.core.indexes.numeric"),
    "StringDtype": ("pandas", "pandas.core.arrays.string_"),
    "StringArray": ("pandas.arrays", "pandas.core.arrays.string_"),
    "ArrowStringArray": ("pandas.arrays", "pandas.core.arrays.string_arrow"),
    "ArrowStringArrayNumpySemantics": ("pandas.core.arrays.string_arrow",),
    "_restore_array": ("pyarrow.lib",),
    "type_for_alias": ("pyarrow.lib",),
}
_ASE = {
    "Atoms": ("ase.atoms", "ase"),
    "Cell": ("ase.cell",),
    "SinglePointCalculator": ("ase.calculators.singlepoint",),
    "SinglePointDFTCalculator": ("ase.calculators.singlepoint",),
    "Parameters": ("ase.calculators.calculator",),
    "FixAtoms": ("ase.constraints", "ase.constraints.fix_atoms"),
    "PBC": ("ase.geometry",),
}

#: What such a pickle may name. None of it is called: records are made of it.
KNOWN: dict[tuple[str, str], Call | None] = {
    (module, name): None for table in (_PANDAS, _ASE) for name, modules in table.items() for module in modules
}
KNOWN["builtins", "getattr"] = KNOWN["__builtin__", "getattr"] = None  # a method of a calculator
for _module in ("builtins", "__builtin__"):
    KNOWN[_module, "slice"] = Call(slice)
    KNOWN[_module, "bytearray"] = Call(lambda *given: _bytes(*given))
KNOWN["pyarrow.lib", "py_buffer"] = Call(lambda data: _bytes(data))


def _bytes(data: Any = b"", encoding: Any = "latin-1") -> bytes:
    if isinstance(data, str) and encoding == "latin-1":
        return data.encode("latin-1")
    if not isinstance(data, (bytes, bytearray)):
        raise TypeError("bytes are made of something else")
    return bytes(data)


def columns_of(frame: Any, label: str) -> dict[str, list[Any]]:
    """Return the columns of a data frame by name, values as they are; None and NaN are no value.

    Parameters
    ----------
    frame
        What was pickled.
    label
        The file, for messages.

    Raises
    ------
    InputError
        If it is no data frame, or one of a kind that is not known.
    """
    if not isinstance(frame, Record) or type(frame).__name__ != "DataFrame":
        raise InputError("the pickle holds no data frame of pandas", label)
    manager = frame.get("_mgr", frame.get("_data"))
    try:
        axes, blocks = _parts(manager)
        parts = [(np.atleast_2d(_values(values)), places) for values, places in blocks]
        index = _index(axes[0])
        if len(index) != sum(len(rows) for rows, _ in parts):
            raise ValueError("it has not as many columns as names")
        names = list(map(_name, index))
        n = len(_index(axes[1]))
        found: dict[str, list[Any]] = {}
        for rows, places in parts:
            where = np.arange(len(names))[_placement(places)]
            if rows.shape != (len(where), n):
                raise ValueError("a block has another shape than its columns")
            found |= {names[k]: list(row) for k, row in zip(where.tolist(), rows, strict=True)}
    except Exception as error:  # whatever a damaged or malicious one raises
        raise InputError(
            f"the data frame is damaged, or of a version of pandas that is not known here: {shown(error)}",
            label,
        ) from error
    return {name: found[name] for name in names if name in found}


def _parts(manager: Record) -> tuple[Any, list[tuple[Any, Any]]]:
    """Return axes and blocks of what holds the data of a frame."""
    if len(manager.arguments) == 2:
        blocks, axes = manager.arguments
        return axes, [(block.arguments[0], block.arguments[1]) for block in blocks]
    state = manager.state[3]["0.14.1"]  # pandas before 1.3
    return state["axes"], [(block["values"], block["mgr_locs"]) for block in state["blocks"]]


def _name(name: Any) -> str:
    if not isinstance(name, (str, int, float, np.generic)):
        raise TypeError("a column has something else than a text for a name")
    return str(name)


def _placement(places: Any) -> Any:
    if isinstance(places, Record):
        (places,) = places.arguments
    if not isinstance(places, (slice, np.ndarray)):
        raise TypeError("a block does not say which columns it has")
    return places


def _index(index: Record) -> Any:
    """Return the entries of an index."""
    said = index.arguments[1]
    if "data" in said:
        return _values(said["data"])
    return range(*(int(said[name]) for name in ("start", "stop", "step")))


def _values(values: Any) -> NDArray[Any]:
    """Return values as an array; texts are of objects."""
    if isinstance(values, np.ndarray):
        return values
    if type(values).__name__ == "StringArray":
        return np.asarray(values.get("_ndarray"))
    return _texts(values.get("_pa_array", values.get("_data")))


def _texts(array: Record) -> NDArray[Any]:
    """Return the texts of an array of Arrow: their edges, and all of them in a row."""
    kind, length, _, start, buffers, *_ = array.arguments[0]
    name = kind.arguments[0]
    if name not in ("large_string", "string"):
        raise TypeError("texts are of a type that is none of texts")
    valid, edges, data = buffers
    offsets = np.frombuffer(edges, np.int64 if name == "large_string" else np.int32)[
        start : start + length + 1
    ]
    if type(length) is not int or len(offsets) != length + 1:
        raise ValueError("texts end before they should")
    there = np.ones(length, dtype=bool)
    if valid is not None:
        bits = np.unpackbits(np.frombuffer(valid, np.uint8), bitorder="little")
        there = bits[start : start + length].astype(bool)
    if len(there) != length or (np.diff(offsets) < 0).any():
        raise ValueError("texts end before they should")
    made = np.empty(length, dtype=object)
    for k in np.flatnonzero(there).tolist():
        made[k] = (data or b"")[offsets[k] : offsets[k + 1]].decode()
    return made
