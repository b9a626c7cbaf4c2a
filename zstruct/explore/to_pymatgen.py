"""From `ase.Atoms` to structures and molecules of pymatgen, with the labels that they have."""

from __future__ import annotations

from typing import Any

import numpy as np

from zstruct.aliases import by_alias
from zstruct.errors import InputError, MissingExtraError
from zstruct.schema import ATOM, FIELDS, STRUCTURE

__all__ = ["to_structure"]

_GEOMETRY = ("numbers", "positions")


def to_structure(atoms: Any) -> Any:
    """Return a Structure of what has a cell, else a Molecule.

    Values of atoms become site properties, values of structures properties, under the names that they have
    in ``arrays``, ``info`` and the results of the calculator.

    Parameters
    ----------
    atoms
        As `zstruct.to_ase.atoms_of` makes them.

    Raises
    ------
    InputError
        If it has a cell of no volume, which pymatgen can't have.
    MissingExtraError
        If pymatgen is not installed.
    """
    try:
        from pymatgen.core import Lattice, Molecule, Structure
    except ImportError as error:
        raise MissingExtraError("structures of pymatgen need it: pip install pymatgen-core") from error
    results = {} if atoms.calc is None else atoms.calc.results
    values = {**{name: rows for name, rows in atoms.arrays.items() if name not in _GEOMETRY}, **results}
    sites, whole = {}, dict(atoms.info)
    for name, value in values.items():
        if name in atoms.arrays or (name in FIELDS and FIELDS[name].level == ATOM):
            sites[name] = value.tolist()
        else:
            whole[name] = value
    for constraint in atoms.constraints:
        free = np.ones((len(atoms), 3), dtype=bool)
        fixed = getattr(constraint, "mask", np.ones(3, dtype=bool))
        free[constraint.index] &= ~np.asarray(fixed, dtype=bool)
        before = np.array(sites.get("selective_dynamics", np.ones_like(free)))
        sites["selective_dynamics"] = (before & free).tolist()
    symbols, positions = atoms.get_chemical_symbols(), atoms.positions
    if not atoms.cell.array.any():
        known = {"total_charge": 0, "spin_multiplicity": None}
        for key in list(whole):
            field = by_alias(key, STRUCTURE)
            if field is not None and field.name in known:
                known[field.name] = whole.pop(key)
        charge, spin = known["total_charge"], known["spin_multiplicity"]
        return Molecule(
            symbols,
            positions,
            charge,
            None if spin is None else int(spin),
            charge_spin_check=False,
            site_properties=sites,
            properties=whole,
        )
    if np.linalg.det(atoms.cell.array) == 0:
        raise InputError(
            "a structure has lattice vectors, but no volume, which pymatgen can't have; leave it out, or use "
            "ds.zs.to_ase"
        )
    lattice = Lattice(atoms.cell.array, pbc=tuple(map(bool, atoms.pbc)))
    return Structure(
        lattice, symbols, positions, coords_are_cartesian=True, site_properties=sites, properties=whole
    )
