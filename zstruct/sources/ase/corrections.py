"""What is not to be believed of the formats that ASE reads: a table, and the corrections in it.

ASE fills gaps: momenta and charges of zero where there are none, types for atomic numbers, hydrogen
for atoms without names. It leaves some quantities unconverted, and overlooks units that a file states. One
row a format says so; what is in no row is taken as ASE reads it, in ASE's units.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from zstruct.schema import FIELDS
from zstruct.sources.source import Raw, RawColumn

__all__ = ["CORRECTIONS", "Correction", "DistrustError", "correct", "correction_of"]

# Formats whose values are in whatever unit they were written in: the user may say which.
_UNITS_OPEN = frozenset({"traj", "bundletrajectory", "extxyz", "xyz", "db", "json", "mysql", "postgresql"})
_TYPES = "_zstruct_types"
_SAME_MASS = 0.1  # dalton; what is farther from every element is an isotope, or a bead of many atoms
_LAMMPS_STYLES = ("metal", "real", "si", "cgs", "electron", "micro", "nano")


class DistrustError(Exception):
    """Why a file must not be read as ASE reads it."""


@dataclass(frozen=True)
class Correction:
    """What is done about one format.

    Parameters
    ----------
    invented
        Properties that ASE makes up; they are dropped.
    renamed
        Properties that are not what ASE takes them for, and the name under which they are kept.
    units
        Properties that ASE leaves unconverted, and the unit that they are in.
    velocities
        The unit of velocities that ASE takes for another one, if it does.
    options
        Given to ASE's reader.
    frame
        Called with every Atoms and the beginning of the file; mends it in place, or raises DistrustError.
    stated
        Beginnings of files that state what ASE overlooks, and what is said then.
    refused
        Why files of the format are not read at all.
    """

    invented: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    velocities: Literal["", "atomic", "angstrom/fs"] = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    frame: Callable[[Any, str], None] | None = None
    stated: tuple[tuple[str, str], ...] = ()
    refused: str = ""


def correction_of(format: str, head: str) -> Correction:
    """Return what is done about a file.

    Parameters
    ----------
    format
        ASE's name of its format.
    head
        How the file begins.

    Raises
    ------
    DistrustError
        With a sentence, if the file must not be read as ASE does.
    """
    found = CORRECTIONS.get(format, Correction())
    if found.refused:
        raise DistrustError(found.refused)
    for pattern, sentence in found.stated:
        if match := re.search(pattern, head):
            raise DistrustError(sentence.format(*match.groups()))
    if format != "lammps-data":
        return found
    match = re.search(r"\A[^\n]*\bunits = (\w+)", head)
    if match is None:
        return found
    if match[1] not in _LAMMPS_STYLES:
        raise DistrustError(f"the file states units of style {match[1]!r}, which can't be converted")
    style = match[1]
    stated = {name: FIELDS[name].unit for name in ("positions", "cell", "forces")}
    if style == "real":  # angstrom as well, so that ASE's conversion can be left out
        stated["forces"] = "kcal/mol/angstrom"
        return replace(found, units=stated, velocities="angstrom/fs")
    return replace(found, units=stated, options={"units": style})


def correct(raw: Raw, format: str, found: Correction) -> None:
    """Mend a block of frames as ASE has read them."""
    for table in (raw.atom, raw.structure):
        for name in found.invented:
            table.pop(name, None)
        for name, other in found.renamed.items():
            if name in table:
                table[other] = table.pop(name)
    if found.velocities:
        for column in raw.atom.get("momenta", []):
            column.values = column.values * _velocity(found.velocities)
    types = raw.atom.pop(_TYPES, None)
    if types:
        raw.types = types[0]
    for name, columns in (*raw.atom.items(), *raw.structure.items()):
        known = FIELDS.get(name)
        if known is None or known.unit in ("", "1") or name == "momenta":
            continue
        for column in columns:
            column.unit = _unit(name, known.unit, format, found, column)


def _unit(name: str, store: str, format: str, found: Correction, column: RawColumn) -> str | None:
    if name in found.units:
        return found.units[name]
    if format in _UNITS_OPEN or format.startswith("lammps"):
        return column.unit
    return store  # the format has fixed units, and ASE has converted them


def _type(atoms: Any, types: Any) -> None:
    """Give Atoms types in place of elements."""
    atoms.arrays[_TYPES] = np.asarray(types)
    atoms.arrays["numbers"][:] = 0


def _lammps_data(atoms: Any, head: str) -> None:
    types = atoms.arrays.get("type", atoms.numbers)
    labelled = not np.array_equal(types, atoms.numbers)  # by "Atom Type Labels", or guessed from masses
    if not (labelled if "masses" not in atoms.arrays else _weigh_right(atoms)):
        _type(atoms, types.copy())


def _gpumd(atoms: Any, head: str) -> None:
    if not _weigh_right(atoms):
        raise DistrustError("the masses are those of no elements; " + _LIST.format("numbers"))


def _weigh_right(atoms: Any) -> bool:
    """Tell whether masses are those of the elements that ASE has guessed from them."""
    from ase.data import atomic_masses

    return bool(np.all(np.abs(atoms.get_masses() - atomic_masses[atoms.numbers]) < _SAME_MASS))


def _gromacs(atoms: Any, head: str) -> None:
    if "atomtypes" in atoms.arrays:
        _type(atoms, [str(name) for name in atoms.arrays["atomtypes"]])


def _dl_poly(atoms: Any, head: str) -> None:
    rest = atoms.arrays.get("dlp4_labels", [])
    if any(re.match("[A-Za-z]", str(label)) for label in rest):  # OW and CL, but not O1
        _type(atoms, [f"{s}{label}" for s, label in zip(atoms.get_chemical_symbols(), rest, strict=True)])


def _crystal(atoms: Any, head: str) -> None:
    atoms.cell[~atoms.pbc] = 0.0


def _protein(atoms: Any, head: str) -> None:
    if np.array_equal(atoms.cell.array, np.eye(3)):  # stands for "no crystal" in files of the data bank
        atoms.cell[:] = 0.0
        atoms.pbc = False


def _castep_cell(atoms: Any, head: str) -> None:
    if not atoms.arrays.get("initial_magmoms", np.ones(1)).any():  # what ASE puts where no spin is given
        del atoms.arrays["initial_magmoms"]


def _jsv(atoms: Any, head: str) -> None:
    atoms.info = {key: value for key, value in atoms.info.items() if value is not NotImplemented}


def _airss(atoms: Any, head: str) -> None:
    if abs(atoms.info.get("pressure", 0.0)) > 1e-6 and "energy" in atoms.info:
        atoms.info["enthalpy"] = atoms.info.pop("energy")
        atoms.calc = None


def _velocity(unit: str) -> float:
    """Return what velocities are multiplied with to be right, as ASE has read them."""
    from ase import units

    return float(units.Bohr / units.AUT) if unit == "atomic" else 1000.0  # LAMMPS's metal has angstrom/ps


_LIST = "read it with ase.io.read, set {} and give the list of Atoms"

CORRECTIONS: dict[str, Correction] = {
    "lammps-data": Correction(frame=_lammps_data),
    "lammps-dump-binary": Correction(
        refused="ASE takes the columns of binary dumps for 'id type x y z vx vy vz fx fy fz', whatever they "
        "are; write the dump as text, or make text of it with binary2txt"
    ),
    "netcdftrajectory": Correction(
        refused="AMBER's NetCDF names no elements, ASE takes every atom for hydrogen or its type for an "
        "element, and invents a cell where there is none; " + _LIST.format("numbers and cell")
    ),
    "cp2k-dcd": Correction(refused="DCD files name no elements; " + _LIST.format("numbers")),
    "gromos": Correction(
        refused="GROMOS files name no elements, ASE guesses them from names of atoms (CA is calcium then); "
        + _LIST.format("numbers")
    ),
    "gromacs": Correction(frame=_gromacs),
    "dlp4": Correction(units={"forces": "Ha/bohr"}, velocities="atomic", frame=_dl_poly),
    "dlp-history": Correction(units={"forces": "Ha/bohr"}, velocities="atomic", frame=_dl_poly),
    "qbox": Correction(
        renamed={"stress": "sigma"},
        units={"positions": "bohr", "cell": "bohr", "energy": "Ha", "forces": "Ha/bohr"},
        velocities="atomic",
    ),
    "gpaw-out": Correction(invented=("initial_charges",)),
    "onetep-out": Correction(invented=("initial_charges",)),
    "aims-output": Correction(options={"non_convergence_ok": True}),
    "wout": Correction(options={"include_wannier_function_centers": False}),
    "crystal": Correction(frame=_crystal),
    "proteindatabank": Correction(frame=_protein),
    "castep-cell": Correction(frame=_castep_cell),
    "jsv": Correction(
        frame=_jsv,
        # ASE takes a third number for a file to open, and closes whatever of ours has that number.
        stated=((r"(?im)^\s*\[space_group\]\s+\S+\s+\S+\s+\S", "a space group is one or two numbers"),),
    ),
    "gpumd": Correction(invented=("momenta",), frame=_gpumd),
    "cfg": Correction(invented=("momenta",)),
    "res": Correction(frame=_airss),
    "cube": Correction(
        stated=(
            (
                r"\A[^\n]*\n[^\n]*\n[^\n]*\n\s*(-\d+)",
                "the number of voxels is negative ({0}), so lengths are in angstrom, which ASE overlooks; "
                + _LIST.format("positions and cell"),
            ),
        )
    ),
    "turbomole": Correction(
        stated=(
            (
                r"\$coord[^\n]*\b(angs|frac)",
                "the file states that its coordinates are {0!r}, which ASE overlooks; "
                + _LIST.format("positions"),
            ),
        )
    ),
    "nwchem-in": Correction(
        stated=(
            (
                r"(?im)^\s*geometry\b[^\n]*\bunits\s+(?!an\b|angstroms?\b)(\S+)",
                "the file states that lengths are in {0!r}, which ASE overlooks; "
                + _LIST.format("positions and cell"),
            ),
        )
    ),
    "gaussian-in": Correction(
        stated=(
            (
                r"(?im)^\s*#[^\n]*\bunits\s*[=(]\s*\(?\s*(au|bohr)\b",
                "the file states that lengths are in {0!r}, which ASE overlooks; "
                + _LIST.format("positions and cell"),
            ),
        )
    ),
    "sys": Correction(
        stated=(
            (
                r"(?m)^atom(?:\s+\S+){5}\s+(?!bohr\b)(\S+)",
                "the file states that positions are in {0!r}, which ASE overlooks; "
                + _LIST.format("positions"),
            ),
        )
    ),
    "xsf": Correction(refused="ASE overlooks energies, and the unit of forces; read it with reader='xsf'"),
    "vasp-out": Correction(
        refused="ASE stops at steps of a force field, and reads flags of a POSCAR that lies beside it; read "
        "it with reader='outcar'"
    ),
    "vasp-xml": Correction(refused="ASE stops at steps of a force field; read it with reader='vasprun'"),
    "runnerdata": Correction(refused="the units of this format are open; read it with reader='runner'"),
}
