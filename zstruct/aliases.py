"""Other names under which inputs bring the fields of the table."""

from __future__ import annotations

from functools import cache

from zstruct.schema import FIELDS, RESERVED, Field, Level

__all__ = ["ALIASES", "by_alias"]

#: By the name of the field. Upper and lower case are one, and one name may be that of a field of atoms and of
#: one of structures.
ALIASES = {
    "numbers": ("Z", "atomic_numbers"),
    "positions": ("pos",),
    "forces": ("force", "REF_forces", "REF_force", "dft_forces", "dft_force"),
    "masses": ("mass",),
    "charges": ("charge", "REF_charges"),
    "magmoms": ("magmom", "REF_magmoms"),
    "cell": ("Lattice",),
    "energy": ("REF_energy", "dft_energy", "potential_energy"),
    "free_energy": ("REF_free_energy",),
    "stress": ("REF_stress", "dft_stress"),
    "virial": ("virials", "REF_virial", "REF_virials", "dft_virial", "dft_virials"),
    "dipole": ("REF_dipole",),
    "total_charge": ("charge", "Qtot"),
    "weight": ("config_weight",),
}


@cache
def _names(level: Level) -> dict[str, str]:
    table: dict[str, str] = {}
    for field in FIELDS.values():
        if field.level == level and field.name not in RESERVED:
            known = (field.name, *ALIASES.get(field.name, ()))
            table.update(dict.fromkeys(map(str.casefold, known), field.name))
    return table


def by_alias(key: str, level: Level) -> Field | None:
    """Return the field that an input property called `key`, in any case, is by default, or None.

    Examples
    --------
    >>> by_alias("REF_forces", "atom").name, by_alias("Forces", "atom").name
    ('forces', 'forces')
    >>> by_alias("charge", "atom").name, by_alias("charge", "structure").name
    ('charges', 'total_charge')
    """
    name = _names(level).get(key.casefold())
    return None if name is None else FIELDS[name]
