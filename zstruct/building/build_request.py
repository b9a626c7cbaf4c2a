"""What one call of `build` asks for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal

from zstruct.arguments import check, names
from zstruct.building.encoding import Encoding
from zstruct.building.filters import Filters, Frame
from zstruct.building.run_options import RunOptions
from zstruct.keywords import as_options, set_fields
from zstruct.sources.normalize.elements import element_table
from zstruct.sources.normalize.normalize import ReadOptions
from zstruct.sources.options import PLACES, SourceOptions
from zstruct.store.spec import ENCODING_VERSION

__all__ = ["BuildRequest"]


@dataclass(frozen=True)
class BuildRequest(RunOptions):
    """Inputs to build a store of, where to, how they are read and stored, and how all of this runs.

    Parameters
    ----------
    paths
        A file, a URL, a directory, a glob (``**`` too), each perhaps with frames behind it as in
        ``a.xyz@0:1000:10``; a list of these; an `ase.Atoms`, an iterable of
        them; or `zstruct.sources.Source` objects.
    out
        The store to make, a local directory (on a cluster: one that every worker can reach).
    reader
        Name of the reader for all files, where their names don't tell.
    keys
        Which property of the input a field is, where names are unusual or ambiguous. Field first:
        ``{"energy": "REF_energy"}``. A text with ``{}`` is the form of the comment that holds a number,
        ``...`` in it any text: ``{"energy": "energy: {} ..."}``. Formats of named arrays also take
        ``numbers``, ``positions``, ``cell``, ``pbc``, ``n_atoms`` and ``offsets``.
    units
        Units of the input, if not the store's (eV, angstrom, e, amu). Of ``"energy"`` and ``"length"``
        (also ``"time"``, ``"charge"`` and ``"mass"``), which forces, stress and all others follow, or of
        single fields: ``{"length": "bohr", "energy": "kcal/mol", "stress": "GPa"}``. Or a system of
        units: ``"atomic"`` (hartree, bohr), ``"ase"``, or ``"metal"`` and ``"real"`` of LAMMPS.
    exclude
        Properties of the input to leave out.
    elements
        Which elements the atom types of the input are, where it names none (LAMMPS). A mapping
        ``{1: "Ti", 2: "O"}``, or the symbols of types 1, 2, ... in a list.
    allow_pickle
        Whether formats that are pickles may be read. Of these only data are taken, never code.
    storage_options
        Of inputs that are URLs, for fsspec's file system: keys, endpoints and the like.
    filters
        Which structures to keep, as `Filters`; or its fields by name, ``{"max_force": 20}``; or a
        function that takes a `Frame`. By default all.
    encoding
        How to store them, as `Encoding`; or its fields by name, ``{"shuffle_seed": 1}``; or the dtype
        of per-atom floats, or ``"decimal"``: text-born float64 numbers in half the bytes, exactly.
    on_error
        What a bad frame does: end the build, or be left out and reported.

    Raises
    ------
    InputError
        If an option can't be used.
    """

    paths: Any
    out: str | os.PathLike[str]
    _: KW_ONLY
    reader: str | None = None
    keys: Mapping[str, str] | None = None
    units: str | Mapping[str, str] | None = None
    exclude: Iterable[str] = ()
    elements: Mapping[Any, Any] | Iterable[Any] | None = None
    allow_pickle: bool = False
    storage_options: Mapping[str, Any] | None = None
    filters: Filters | Mapping[str, Any] | Callable[[Frame], Any] | None = None
    encoding: Encoding | Mapping[str, Any] | Literal["float32", "float64", "decimal"] | None = None
    on_error: Literal["raise", "skip"] = "raise"

    opening: SourceOptions = field(init=False)
    reading: ReadOptions = field(init=False)
    kept: Filters = field(init=False)
    stored: Encoding = field(init=False)

    def __post_init__(self) -> None:
        check(reader=self.reader, keys=self.keys, units=self.units, on_error=self.on_error)
        super().__post_init__()
        kept, stored = as_options(Filters, self.filters), as_options(Encoding, self.encoding)
        keys = dict(self.keys or {})
        places = {name: keys.pop(name) for name in PLACES if name in keys}
        opening = SourceOptions(places, self.allow_pickle, self.storage_options)
        reading = ReadOptions(
            keys,
            {} if self.units is None else self.units,
            frozenset(names("exclude", self.exclude)),
            element_table(self.elements),
            stored.precision,
        )
        set_fields(self, opening=opening, reading=reading, kept=kept, stored=stored)

    def settings(self) -> dict[str, Any]:
        """Return what is asked for, as JSON: a build that was interrupted goes on if it is the same."""
        return {
            "format": ENCODING_VERSION,
            "keys": dict(self.keys or {}),
            "units": dict(self.reading.choice.said),
            "exclude": sorted(self.reading.exclude),
            "elements": dict(self.reading.elements),
            "leave_out": sorted(self.kept.leave_out),
            "filters": self.kept.identity(),
            "dtype": self.stored.precision,
            "shuffle_seed": self.stored.shuffle_seed,
            "decimal": self.stored.decimal,
            "compression": self.stored.compression,
            "reader": self.reader,
        }
