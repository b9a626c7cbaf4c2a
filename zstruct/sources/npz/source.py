"""NPZ files: arrays by name, padded, packed, or as MD17 and its revision have them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from zstruct.errors import InputError
from zstruct.keywords import keywords
from zstruct.sources.array_files.source import ArrayFileSource
from zstruct.sources.array_files.stored import OWN, Dialect, StoredArray, own_dialect, shown
from zstruct.sources.content import Content
from zstruct.sources.npz.archive import check_sums, members
from zstruct.sources.source import Slice
from zstruct.units import is_unit

__all__ = ["NPZSource"]

_SHORT = {"E": "energy", "F": "forces", "D": "dipole", "Q": "total_charge", "Qtot": "total_charge"}
_REVISED = ("old_indices", "old_energies", "old_forces")
# What an atom has of a total energy, in hartree: all electrons, so that one unit is not taken for another.
_ALONE = {1: -0.5, 6: -37.8, 7: -54.6, 8: -75.1}
_KCAL = 627.5


@keywords()
class NPZSource(ArrayFileSource):
    """Structures in an archive of NumPy, ``.npz``; nothing in it is unpickled.

    Arrays are padded (positions of shape (n, most atoms, 3), in places without an atom the atomic number is
    zero) or packed (positions of shape (atoms, 3), with ``offsets`` or ``n_atoms``). ``R``, ``Z`` (or ``z``,
    one row for all), ``N``, ``E``, ``F``, ``Q`` and ``D`` are known by these letters, coordinates and nuclear
    charges by what they are called in rMD17, all else by ``keys=``. Where an archive is not compressed,
    several workers read it at a time.

    Energies are in kcal/mol where the file is surely MD17 (it has the marks of sGDML, and its energies are
    total energies in that unit) or its revision; in the unit that the file says (``e_unit`` and ``r_unit`` of
    sGDML, and all that zstruct has written); and else in none: the user says it, as in
    ``units={"energy": "kcal/mol", "length": "angstrom"}``.

    Parameters
    ----------
    path
        The file.
    places
        Where what makes a structure is, as the user says it: the array's name by that of `PLACES`.

    Raises
    ------
    InputError
        If the file is damaged, or its arrays don't make structures.
    """

    def __init__(self, path: str | os.PathLike[str] | Content, *, places: Mapping[str, str] | None = None):
        super().__init__(path, places=places)

    @contextmanager
    def arrays(self) -> Iterator[Mapping[str, StoredArray]]:
        """Open the file for a while, and have its arrays by name."""
        with members(self.content) as found:
            yield found

    def scan(self) -> list[Slice]:
        """Return ranges of structures; one if the archive is compressed.

        Raises
        ------
        InputError
            If the archive is damaged, its arrays don't make structures, or there are none.
        """
        check_sums(self.content)
        return super().scan()

    def dialect(self, arrays: Mapping[str, StoredArray]) -> Dialect:
        """Return what the letters mean, and in which units they are."""
        if OWN in arrays:
            table = arrays[OWN]
            if table.dtype.kind != "U" or not table.shape:
                raise InputError(
                    f"{OWN} should be texts of shape (arrays, 5), not {shown(table)}", self.label
                )
            return own_dialect(table.rows(0, table.shape[0]), arrays, self.label)
        names: dict[str, str] = {}
        if "R" in arrays and ("Z" in arrays or "z" in arrays):
            n, *_ = shape = tuple(arrays["R"].shape)
            shapes: dict[str, list[tuple[int, ...]]] = {"F": [shape], "D": [(n, 3)]}
            for key, name in _SHORT.items():
                if name in arrays or name in names.values() or key not in arrays:
                    continue
                if tuple(arrays[key].shape) in shapes.get(key, [(n,), (n, 1)]):
                    names[key] = name
        stated = _said(arrays)
        hidden = frozenset({"e_unit", "r_unit"} & set(arrays)) if stated else frozenset()
        return Dialect(names=names, units={**(stated or _of_md17(arrays))}, hidden=hidden)


def _said(arrays: Mapping[str, StoredArray]) -> dict[str, str]:
    """Return the units that sGDML states, by the array's name."""
    energy, length = (_text(arrays.get(key)) for key in ("e_unit", "r_unit"))
    if not energy or not is_unit(energy):
        return {}
    units = {"E": energy, "F": f"{energy}/{length or 'angstrom'}"}
    if length and is_unit(length):
        units["R"] = length
    return {key: unit for key, unit in units.items() if key in arrays}


def _text(array: StoredArray | None) -> str:
    if array is None or array.dtype.kind not in "SU" or array.shape not in ((), (1,)):
        return ""
    value = array.rows(0, 1).reshape(-1)[0]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _of_md17(arrays: Mapping[str, StoredArray]) -> dict[str, str]:
    """Return the units of MD17 and of its revision, if a file is surely one of them."""
    if all(key in arrays for key in ("nuclear_charges", "coords", "energies", "forces", *_REVISED)):
        energies = dict.fromkeys(("energies", "old_energies"), "kcal/mol")
        return energies | dict.fromkeys(("forces", "old_forces"), "kcal/mol/angstrom")
    if not all(key in arrays for key in ("z", "R", "E", "F", "theory", "md5")):
        return {}
    z, energy = arrays["z"], arrays["E"]
    if (
        z.dtype.kind not in "iu"
        or len(z.shape) != 1
        or energy.dtype.kind != "f"
        or not energy.shape[:1] > (0,)
    ):
        return {}
    alone = [_ALONE.get(number) for number in z.rows(0, z.shape[0]).tolist()]
    if not alone or None in alone:
        return {}
    ratio = float(energy.rows(0, 1).reshape(-1)[0]) / sum(one for one in alone if one is not None)
    return {"E": "kcal/mol", "F": "kcal/mol/angstrom"} if abs(ratio / _KCAL - 1) < 0.05 else {}
