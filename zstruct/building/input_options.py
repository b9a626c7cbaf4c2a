"""How inputs are read and what is in them means, for whoever reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from zstruct.arguments import check, names
from zstruct.sources.normalize.elements import element_table
from zstruct.sources.normalize.normalize import ReadOptions
from zstruct.sources.options import PLACES, SourceOptions

__all__ = ["InputOptions"]


@dataclass(frozen=True, kw_only=True)
class InputOptions:
    """How inputs are read, whatever is done with them.

    Parameters
    ----------
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

    Raises
    ------
    InputError
        If one of them can't be used.
    """

    reader: str | None = None
    keys: Mapping[str, str] | None = None
    units: str | Mapping[str, str] | None = None
    exclude: Iterable[str] = ()
    elements: Mapping[Any, Any] | Iterable[Any] | None = None
    allow_pickle: bool = False
    storage_options: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        check(reader=self.reader, keys=self.keys, units=self.units)

    def to_open(self) -> SourceOptions:
        """Return what sources are told."""
        given = self.keys or {}
        places = {name: given[name] for name in PLACES if name in given}
        return SourceOptions(places, self.allow_pickle, self.storage_options)

    def to_read(self, precision: str | None = None) -> ReadOptions:
        """Return what is said of what they hold, which is stored in some precision."""
        keys = {name: key for name, key in (self.keys or {}).items() if name not in PLACES}
        excluded = frozenset(names("exclude", self.exclude))
        units = {} if self.units is None else self.units
        return ReadOptions(keys, units, excluded, element_table(self.elements), precision)
