"""From a Dataset to what chemiscope shows: structures, properties and arrows, as values that JSON can hold.

Its format is documented there; chemiscope itself is not needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import OPTIONS, check, names, require, shown
from zstruct.elements import SYMBOLS
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.explore import quantities
from zstruct.explore.arguments import check_labels, fields_of, the_structures
from zstruct.explore.ragged_dataset import RaggedDataset
from zstruct.explore.selection import picked
from zstruct.explore.table import to_table
from zstruct.ragged import counts_to_offsets
from zstruct.schema import ATOM
from zstruct.text import written_unit

__all__ = ["to_chemiscope"]

_CENTERED = 3.5  # angstrom, around an atom that is chosen
_PER_EV = 0.5  # angstrom of arrow for an eV/angstrom of force


def to_chemiscope(
    ragged: RaggedDataset,
    structure: Any = None,
    *,
    properties: Sequence[str] | None = None,
    atoms: bool = False,
    forces: bool = False,
    name: str | None = None,
) -> dict[str, Any]:
    """Return structures and their properties as chemiscope takes them; reads them.

    Parameters
    ----------
    ragged
        The structures.
    structure
        As for `isel`; all if not given.
    properties
        Fields over structures to show, or over atoms with ``atoms=True``. By default all with one value each,
        the formula, the energy per atom and the largest force.
    atoms
        Whether points are atoms, with the properties of these beside those of structures.
    forces
        Whether to have forces as arrows, half an angstrom for 1 eV/Å; all structures need some.
    name
        Of the data set; by default that of the file.

    Returns
    -------
    dict
        With `meta`, `structures` and `properties`; and `environments` and `shapes` where they are asked for.
        Missing numbers are NaN, which chemiscope takes.

    Raises
    ------
    ArgumentTypeError
        If a name is none.
    IndexError
        If there are no such structures.
    InputError
        If forces are asked for that some structures lack, or the Dataset has lost `offsets` or `n_atoms`.
    KeyError
        If there is no such field, or no numbers or positions.
    """
    check(atoms=atoms)
    require("forces", OPTIONS["atoms"], forces)
    if not (name is None or isinstance(name, str)):
        raise ArgumentTypeError(f"name is a text, or None, not {shown(name)}")
    for field in ("numbers", "positions", *(("forces",) if forces else ())):
        ragged.variable(field)
    which = the_structures(slice(None) if structure is None else structure, "isel")
    check_labels(which, ragged.dataset)
    part = RaggedDataset(ragged.cut(picked(which, ragged.n_structures)))
    source = str(part.dataset.encoding.get("source", "structures")).rstrip("/")
    made: dict[str, Any] = {
        "meta": {"name": os.path.splitext(os.path.basename(source))[0] if name is None else name},
        "structures": list(_structures(part)),
        "properties": _properties(part, properties, atoms),
    }
    if atoms:
        sizes = [one["size"] for one in made["structures"]]
        made["environments"] = [
            {"structure": i, "center": k, "cutoff": _CENTERED}
            for i, size in enumerate(sizes)
            for k in range(size)
        ]
    if forces:
        made["shapes"] = {"forces": _arrows(part)}
    return made


def _structures(part: RaggedDataset) -> Iterator[dict[str, Any]]:
    variables = part.dataset.variables
    numbers, positions = variables["numbers"].to_numpy(), variables["positions"].to_numpy()
    cells = variables["cell"].to_numpy() if "cell" in variables else None
    offsets = counts_to_offsets(part.segments()[1])
    for i, (start, stop) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)):
        x, y, z = positions[start:stop].astype(np.float64).T.tolist()
        found = {
            "size": stop - start,
            "names": [SYMBOLS[number] for number in numbers[start:stop].tolist()],
            "x": x,
            "y": y,
            "z": z,
        }
        if cells is not None and cells[i].any(axis=1).all():  # chemiscope knows cells of three vectors only
            found["cell"] = cells[i].astype(np.float64).ravel().tolist()
        yield found


def _properties(part: RaggedDataset, chosen: Sequence[str] | None, atoms: bool) -> dict[str, Any]:
    variables = part.dataset.variables
    asked = None if chosen is None else names("properties", chosen)
    over = {field: variables[field].dims[0] for field in fields_of(part.dataset)}
    of_atoms = [field for field in asked or () if over.get(field) == ATOM]
    if of_atoms and not atoms:
        raise InputError(f"{of_atoms[0]} has a value for each atom, so points have to be atoms: atoms=True")
    found = {}
    table = to_table(part, None if asked is None else [f for f in asked if f not in of_atoms])
    for column in table:
        unit = str(variables[column].attrs.get("units", "")) if column in variables else ""
        said = str(variables[column].attrs.get("long_name", "")) if column in variables else ""
        found[str(column)] = _property("structure", table[column], unit, said)
    if asked is None:
        for quantity, compute, needs in (
            ("energy_per_atom", quantities.energy_per_atom, "energy"),
            ("fmax", quantities.fmax, "forces"),
        ):
            if needs in variables:
                values = compute(part)
                attrs: Mapping[Any, Any] = values.attrs
                found[quantity] = _property(
                    "structure", values.to_series(), attrs["units"], attrs["long_name"]
                )
    if atoms and (of_atoms or asked is None):
        rows = to_table(part, of_atoms or None, atoms=True)
        for column in rows:
            found[str(column)] = _property("atom", rows[column], "", "")
    return {key: value for key, value in found.items() if value is not None}


def _property(target: str, values: Any, unit: str, said: str) -> dict[str, Any]:
    """Return a property: numbers if these are, else texts, empty where they are missing."""
    if getattr(values.dtype, "kind", "O") in "fiub":
        listed = values.to_numpy(np.float64, na_value=np.nan).tolist()
    else:
        listed = ["" if text != text else str(text) for text in values.tolist()]
    described = {"units": written_unit(unit), "description": said}
    return {"target": target, "values": listed} | {key: text for key, text in described.items() if text}


def _arrows(part: RaggedDataset) -> dict[str, Any]:
    vectors: NDArray[Any] = part.dataset.variables["forces"].to_numpy().astype(np.float64)
    if not np.isfinite(vectors).all():
        raise InputError("some structures have no forces: leave these out first, with ds.zs.has('forces')")
    return {
        "kind": "arrow",
        "parameters": {
            "global": {"baseRadius": 0.08, "headRadius": 0.16, "headLength": 0.2, "scale": _PER_EV},
            "atom": [{"vector": vector} for vector in vectors.tolist()],
        },
    }
