"""The field table: what every array of a store is called, and what it means.

One row per field gives its dimensions, kind, unit, description and how it turns when the structure is
rotated. Sources, the store, the loader, transforms and the docs all read this table; adding a field is
adding a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.voigt import VOIGT

__all__ = [
    "ATOM",
    "FIELDS",
    "GEOMETRY",
    "LABELS",
    "PROVENANCE",
    "RESULTS",
    "SIZES",
    "STRUCTURE",
    "Field",
    "given_name",
    "infer",
    "merge",
    "resolve_name",
    "safe_names",
]

Kind = Literal["float", "int", "bool", "category"]
Level = Literal["atom", "structure"]
Rotation = Literal["scalar", "vector", "rows", "rank2", "voigt", "none"]

ATOM: Level = "atom"
STRUCTURE: Level = "structure"

#: The fields that every structure has.
GEOMETRY = ("numbers", "positions", "cell", "pbc")
#: Fixed dimensions and their lengths. ``xyz_2`` is the second Cartesian axis of a 3x3 tensor.
SIZES = {"xyz": 3, "xyz_2": 3, "cell_vector": 3, "voigt": len(VOIGT)}
#: What the places along them are called.
LABELS: dict[str, tuple[str, ...]] = {
    "xyz": ("x", "y", "z"),
    "xyz_2": ("x", "y", "z"),
    "cell_vector": ("a", "b", "c"),
    "voigt": VOIGT,
}


@dataclass(frozen=True, slots=True)
class Field:
    """One row of the field table.

    Parameters
    ----------
    name
        The array's name in the store.
    dims
        Dimension names; the first is ``"atom"`` or ``"structure"``.
    kind
        ``"float"``, ``"int"``, ``"bool"`` or ``"category"`` (integer codes with a table of
        texts; code -1 means missing).
    dtype
        The numpy dtype in memory and in the store.
    unit
        The unit in CF notation, ``"1"`` for a pure number, ``""`` where units make no sense.
    description
        What it is, for people; becomes ``long_name``.
    rotates
        How it turns with the structure: ``"scalar"`` (not at all), ``"vector"``, ``"rows"`` (each
        row a vector), ``"rank2"`` (3x3), ``"voigt"`` (symmetric rank 2 as xx yy zz yz xz xy) or
        ``"none"`` (unknown: rotating a structure that has it must be refused).
    shape
        Lengths of the dimensions after the first.
    or_vector
        Whether a 3-vector in place of a scalar is the same quantity (non-collinear magnetic
        moments).
    extensive
        Whether it is an energy of all atoms together, so that errors are compared per atom.
    """

    name: str
    dims: tuple[str, ...]
    kind: Kind
    dtype: str
    unit: str
    description: str
    rotates: Rotation
    shape: tuple[int, ...] = ()
    or_vector: bool = False
    extensive: bool = False

    @property
    def level(self) -> Level:
        """Whether one row of the array is an atom's or a structure's."""
        return ATOM if self.dims[0] == ATOM else STRUCTURE

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return int(np.dtype(self.dtype).itemsize * np.prod(self.shape, dtype=int))

    @property
    def missing(self) -> float | int | bool:
        """The value that stands for "not given": NaN in a float array, -1 for a category, else zero.

        Zero alone does not say so: beside integers and booleans that some structures lack is a `presence`.
        """
        if np.dtype(self.dtype).kind == "f":
            return float("nan")
        return -1 if self.kind == "category" else np.dtype(self.dtype).type(0).item()

    def given(self, rows: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which rows hold any value that is not the `missing` one, shape (n,).

        All of them where the values can't say so: what integers and booleans mean is said by a `presence`.
        """
        if self.kind != "category" and rows.dtype.kind != "f":
            return np.ones(len(rows), dtype=bool)
        there = rows >= 0 if self.kind == "category" else ~np.isnan(rows)
        found: NDArray[np.bool_] = np.any(there.reshape(len(rows), -1), axis=1)
        return found

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Field:
        """Return the field that ``dataclasses.asdict`` and JSON made `entry` of."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
        return cls(**values)

    def as_vector(self) -> Field:
        """Return the same quantity with an ``xyz`` axis (see `or_vector`)."""
        return replace(self, dims=(*self.dims, "xyz"), shape=(3,), rotates="vector")

    def presence(self) -> Field | None:
        """Return the field that says which structures have this one, if its values can't say so."""
        if self.kind not in ("int", "bool"):
            return None
        text = f"whether the structure has {self.name}"
        return Field(f"has_{self.name}", (STRUCTURE,), "bool", "bool", "", text, "scalar")


def _row(
    name: str,
    dims: str,
    dtype: str,
    unit: str,
    rotates: Rotation,
    description: str,
    *,
    or_vector: bool = False,
    extensive: bool = False,
) -> Field:
    kinds: dict[str, Kind] = {"f": "float", "i": "int", "u": "int", "b": "bool"}
    axes = tuple(dims.split())
    return Field(
        name=name,
        dims=axes,
        kind="category" if dtype == "category" else kinds[np.dtype(dtype).kind],
        dtype="int32" if dtype == "category" else dtype,
        unit=unit,
        description=description,
        rotates=rotates,
        shape=tuple(SIZES[d] for d in axes[1:]),
        or_vector=or_vector,
        extensive=extensive,
    )


_ROWS = (
    _row("numbers", "atom", "uint8", "", "scalar", "atomic numbers"),
    _row("positions", "atom xyz", "float64", "angstrom", "vector", "Cartesian positions"),
    _row(
        "forces", "atom xyz", "float64", "eV angstrom-1", "vector",
        "forces, minus the derivative of the energy by the positions",
    ),
    _row("velocities", "atom xyz", "float64", "angstrom fs-1", "vector", "velocities"),
    _row("momenta", "atom xyz", "float64", "amu0.5 eV0.5", "vector", "momenta (ASE units)"),
    _row("masses", "atom", "float64", "amu", "scalar", "atomic masses, where not the default"),
    _row("charges", "atom", "float64", "e", "scalar", "atomic partial charges"),
    _row("initial_charges", "atom", "float64", "e", "scalar", "atomic charges set by the user"),
    _row(
        "magmoms", "atom", "float64", "mu_B", "scalar", "atomic magnetic moments",
        or_vector=True,
    ),
    _row(
        "initial_magmoms", "atom", "float64", "mu_B", "scalar",
        "atomic magnetic moments set by the user", or_vector=True,
    ),
    _row("energies", "atom", "float64", "eV", "scalar", "energy of each atom"),
    _row("tags", "atom", "int64", "", "scalar", "integer tags of atoms"),
    _row(
        "cell", "structure cell_vector xyz", "float64", "angstrom", "rows",
        "unit cell; rows are lattice vectors",
    ),
    _row(
        "pbc", "structure cell_vector", "bool", "", "none",
        "whether the structure repeats along each lattice vector",
    ),
    _row(
        "energy", "structure", "float64", "eV", "scalar", "total energy", extensive=True,
    ),
    _row(
        "free_energy", "structure", "float64", "eV", "scalar",
        "electronic free energy, the potential that the forces belong to", extensive=True,
    ),
    _row(
        "stress", "structure voigt", "float64", "eV angstrom-3", "voigt",
        "stress, tensile positive, in the order xx yy zz yz xz xy",
    ),
    _row(
        "virial", "structure xyz xyz_2", "float64", "eV", "rank2",
        "virial (minus stress times volume), of structures that have no volume",
    ),
    _row("dipole", "structure xyz", "float64", "e angstrom", "vector", "dipole moment"),
    _row(
        "polarizability", "structure xyz xyz_2", "float64", "", "rank2",
        "polarizability tensor, in the unit of the input",
    ),
    _row("total_charge", "structure", "float64", "e", "scalar", "total charge"),
    _row(
        "spin_multiplicity", "structure", "float64", "1", "scalar", "spin multiplicity, 2S + 1",
    ),
    _row("magmom", "structure", "float64", "mu_B", "scalar", "total magnetic moment", or_vector=True),
    _row("weight", "structure", "float64", "1", "scalar", "weight in training"),
    _row("config_type", "structure", "category", "", "scalar", "group label given by the author"),
    _row("head", "structure", "category", "", "scalar", "level of theory or model head"),
    _row("formula", "structure", "category", "", "scalar", "chemical formula, in Hill's order"),
    _row("source", "structure", "category", "", "scalar", "input the structure came from"),
    _row("frame", "structure", "int64", "", "scalar", "zero-based frame within that input"),
)  # fmt: skip

#: The field table by name.
FIELDS: dict[str, Field] = {row.name: row for row in _ROWS}

#: What calculations result in: the labels of a structure, of which there may be more than one truth.
RESULTS = frozenset(
    {"energy", "free_energy", "energies", "forces", "stress", "virial", "dipole", "polarizability"}
    | {"charges", "magmom", "magmoms"}
)

#: Names no user property may take, in any case: structural arrays, what is worked out, provenance, groups,
#: dimensions, and what batches add (``has_`` and a field's name among it).
RESERVED = frozenset(
    {"offsets", "n_atoms", "formula", "source", "frame", "features", "derivatives", "neighbors", "splits"}
    | {"references", "statistics", "labels", "index", "history", "categories", "formulas", "shards"}
    | {"structure", "atom", "structure_edge", "batch", "mask", "ptr", "stale", "use_forces", *SIZES}
)
#: What keeps the name of a property clear of ours.
_CLEAR = "input_"
#: What the provenance is called in atoms that are taken out of a store: `build` knows it again, and takes
#: nobody's own ``source`` or ``frame`` for it.
PROVENANCE = {"source": "zstruct_source", "frame": "zstruct_frame"}
#: Characters of the longest name that a property keeps: it names files.
_LONGEST = 128


def resolve_name(key: str) -> str:
    """Return the field name for an unknown property, clear of reserved and table names.

    No two properties get one name: `given_name` leads back.

    Examples
    --------
    >>> resolve_name("mu"), resolve_name("source"), resolve_name("Forces")
    ('mu', 'input_source', 'input_Forces')
    """
    inner = key
    while inner.startswith(_CLEAR):
        inner = inner.removeprefix(_CLEAR)
    if inner in GEOMETRY and inner != key:  # a source has kept it clear already
        return key
    return f"{_CLEAR}{key}" if _is_taken(inner) or inner.casefold().startswith("has_") else key


def given_name(name: str) -> str:
    """Return what the property was called that `resolve_name` gave a field name.

    Examples
    --------
    >>> given_name("mu"), given_name("input_source"), given_name("input_power")
    ('mu', 'source', 'input_power')
    """
    inner = name.removeprefix(_CLEAR)
    return inner if resolve_name(inner) == name and inner not in GEOMETRY else name


def _is_taken(name: str) -> bool:
    """Return whether a name is one of ours, or differs from it in case only."""
    return name.casefold() in _taken()


@cache
def _taken() -> frozenset[str]:
    return frozenset(name.casefold() for name in (*RESERVED, *FIELDS))


def infer(name: str, level: Level, values_kind: Kind, shape: tuple[int, ...]) -> Field:
    """Return a row for a property the table does not know, from its shape.

    Three floats get the dimension ``xyz`` and 3x3 floats ``xyz`` and ``xyz_2``; anything else longer
    than one gets a dimension of its own, ``<name>_component``. How such a property turns with the
    structure can't be told from its shape (three angles are no vector), so only scalars do.

    Examples
    --------
    >>> infer("dos", "structure", "float", (5,)).dims
    ('structure', 'dos_component')
    """
    dims: tuple[str, ...]
    rotates: Rotation
    if shape == ():
        dims, rotates = (level,), "scalar"
    elif shape == (3,) and values_kind == "float":
        dims, rotates = (level, "xyz"), "none"
    elif shape == (3, 3) and values_kind == "float":
        dims, rotates = (level, "xyz", "xyz_2"), "none"
    else:
        suffix = [""] if len(shape) == 1 else [f"_{k}" for k in range(len(shape))]
        dims, rotates = (level, *(f"{name}_component{s}" for s in suffix)), "none"
    dtype = {"float": "float64", "int": "int64", "bool": "bool", "category": "int32"}[values_kind]
    text = "given by the input" + (" per atom" if level == ATOM else "")
    return Field(name, dims, values_kind, dtype, "", f"{name}, {text}", rotates, shape)


def merge(a: Field, b: Field) -> Field:
    """Return the one field that can hold both `a` and `b`, the same property met twice.

    Integers meet floats as floats; numbers or booleans meet text as text.

    Raises
    ------
    InputError
        If the two differ in shape, level or unit: one array can't hold both.
    """
    if a == b:
        return a
    if a.dims[0] != b.dims[0] or a.shape != b.shape:
        raise InputError(
            f"the property {a.name!r} comes with different shapes, {_words(a)} and {_words(b)}; "
            f"leave it out with exclude=[{a.name!r}] or make the inputs agree"
        )
    if a.unit != b.unit:
        raise InputError(
            f"the property {a.name!r} comes in different units, {_stated(a)} and {_stated(b)}; "
            f"leave it out with exclude=[{a.name!r}] or make the inputs agree"
        )
    if "category" in (a.kind, b.kind):
        return a if a.kind == "category" else b
    if a.kind == b.kind:
        return a if np.dtype(a.dtype).itemsize >= np.dtype(b.dtype).itemsize else b
    if "float" in (a.kind, b.kind) and "bool" not in (a.kind, b.kind):
        return a if a.kind == "float" else b
    return infer(a.name, a.level, "category", a.shape)  # booleans and numbers: keep the text


def _stated(field: Field) -> str:
    return repr(field.unit) if field.unit else "none stated"


def _words(field: Field) -> str:
    each = {(): "one value", (3,): "3 values"}.get(field.shape)
    each = each or " x ".join(map(str, field.shape)) + " values"
    return f"{each} per {field.level}"


def safe_names(names: Iterable[str]) -> dict[str, str]:
    """Map names to ones that Zarr, xarray, attribute access and every file system can carry.

    They differ by more than case, and none is too long for the name of a file.

    Examples
    --------
    >>> safe_names(["energy", "<R2>", "a/b", "a.b", "A_B", "2nd"])
    {'energy': 'energy', '<R2>': 'R2', 'a/b': 'a_b_2', 'a.b': 'a_b_3', 'A_B': 'A_B', '2nd': 'x_2nd'}
    """
    wanted = list(names)
    # Who has a good name keeps it: fields before what only looks like them.
    good = sorted((name for name in wanted if _is_safe(name)), key=lambda name: name not in FIELDS)
    table: dict[str, str] = {}
    taken: set[str] = set()
    for name in [*good, *(name for name in wanted if not _is_safe(name))]:
        base = name
        if not _is_safe(name):
            base = re.sub(r"[^0-9A-Za-z_]+", "_", name).strip("_")[:_LONGEST] or "property"
            base = f"x_{base}" if base[0].isdigit() else base
            base = f"input_{base}" if _is_taken(base) else base
        new, k = base, 1
        while new.casefold() in taken:
            k += 1
            new = f"{base}_{k}"
        taken.add(new.casefold())
        table[name] = new
    return {name: table[name] for name in wanted}


def _is_safe(name: str) -> bool:
    return len(name) <= _LONGEST and re.fullmatch(r"[A-Za-z][0-9A-Za-z_]*", name) is not None
