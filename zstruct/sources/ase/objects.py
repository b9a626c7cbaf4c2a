"""Structures of other packages, as they are in memory, in place of Atoms: pymatgen, torch_geometric, aenet.

They are known by the names of their classes, so none of these packages is imported. Labels keep the names
that they have there. A structure that can't be used, of sites with two elements say, becomes a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np

from zstruct.elements import atomic_number
from zstruct.sources.ase.atoms import Snapshot, Unusable

__all__ = ["count_structures", "is_structure", "snapshots"]

_NO_LABELS = frozenset("edge_index edge_attr edge_weight edge_shift shifts unit_shifts batch ptr".split())


def _bare(numbers: Any, positions: Any, cell: Any, pbc: Any) -> Snapshot:
    """Return a structure without labels."""
    from ase.cell import Cell

    found = Snapshot.__new__(Snapshot)
    z, xyz = np.asarray(numbers, dtype=np.int64).reshape(-1), np.array(positions, dtype=np.float64)
    if xyz.shape != (len(z), 3):
        raise ValueError(f"there are {len(z)} atoms and positions of shape {xyz.shape}")
    found.arrays = {"numbers": z, "positions": xyz}
    found.info = {}
    found.cell = Cell(np.zeros((3, 3)) if cell is None else np.array(cell, dtype=np.float64).reshape(3, 3))
    found.pbc = np.broadcast_to(np.asarray(pbc, dtype=bool).reshape(-1), 3).copy()
    found.constraints, found.calc = [], None
    return found


def _symbols(words: Any) -> list[int]:
    numbers = []
    for k, word in enumerate(words):
        number = int(word) if isinstance(word, (int, np.integer)) else atomic_number(str(word).strip())
        if not number:
            raise ValueError(f"atom {k} is {str(word)[:40]!r}, which is no chemical element")
        numbers.append(number)
    return numbers


def _array(value: Any) -> Any:
    """Return a tensor as an array, and anything else as it is."""
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def _pymatgen(given: Any) -> Iterator[Snapshot]:
    """Yield a Structure or Molecule; labels are in its properties, its site properties and its calculator."""
    if not given.is_ordered:
        raise ValueError("a site is disordered: a structure has one element at each site")
    lattice = getattr(given, "lattice", None)
    cell, pbc = (None, False) if lattice is None else (lattice.matrix, lattice.pbc)
    found = _bare(_symbols(site.specie.symbol for site in given), given.cart_coords, cell, pbc)
    for key, values in given.site_properties.items():
        if not any(value is None for value in values):
            found.arrays[key] = np.asarray(values)
    found.info |= dict(getattr(given, "properties", None) or {})
    if lattice is None:
        found.info |= {"charge": given.charge, "spin_multiplicity": given.spin_multiplicity}
    results = getattr(getattr(given, "calc", None), "results", None)
    _add(found, results if isinstance(results, Mapping) else {})
    yield found


def _geometric(given: Any) -> Iterator[Snapshot]:
    """Yield a Data, or those of a Batch; what belongs to edges is left out."""
    if hasattr(given, "to_data_list"):
        for one in given.to_data_list():
            yield from _geometric(one)
        return
    values = {key: _array(given[key]) for key in given.keys() if key not in _NO_LABELS}  # noqa: SIM118
    numbers = values.pop("z", None)
    numbers = values.pop("atomic_numbers", None) if numbers is None else numbers
    positions = values.pop("pos", None)
    if numbers is None or positions is None:
        raise ValueError("a Data needs z (or atomic_numbers) and pos")
    cell, pbc = values.pop("cell", None), values.pop("pbc", None)
    if cell is not None and np.any(cell) and pbc is None:
        raise ValueError("there is a cell and no pbc; say whether it repeats with data.pbc")
    found = _bare(numbers, positions, cell, False if pbc is None else pbc)
    _add(found, values)
    yield found


def _aenet(given: Any) -> Iterator[Snapshot]:
    """Yield every frame of an AtomicStructure."""
    if not given.names_known:
        raise ValueError("its types are numbers, not chemical symbols; give it typenames")
    numbers = _symbols(given.types)
    for k, positions in enumerate(given.coords):
        found = _bare(numbers, positions, given.avec[k] if given.pbc else None, bool(given.pbc))
        forces = given.forces[k] if k < len(given.forces) else None
        _add(found, {"energy": given.energy[k], "forces": forces})
        yield found


def _aenet_torch(given: Any) -> Iterator[Snapshot]:
    """Yield a Structure of aenet's training with torch."""
    cell, pbc = _array(given.cell), _array(given.pbc)
    if cell is not None and pbc is None:
        pbc = True  # aenet has a cell where there is a period, and only there
    found = _bare(_symbols(given.species), _array(given.positions), cell, False if pbc is None else pbc)
    _add(found, {"energy": given.energy, "forces": given.forces, "name": getattr(given, "name", None)})
    yield found


def _add(found: Snapshot, labels: Mapping[str, Any]) -> None:
    n = len(found)
    for key, given in labels.items():
        value = _array(given)
        if value is None or (
            isinstance(value, (list, np.ndarray)) and len(np.shape(value)) and not len(value)
        ):
            continue
        shape = np.shape(value) if isinstance(value, (list, np.ndarray)) else ()
        table: dict[str, Any] = found.info
        if shape[:1] == (n,) and (len(shape) > 1 or n not in (1, 3, 6, 9)):
            table = found.arrays
        elif shape and int(np.prod(shape)) == 1:
            value = np.asarray(value).reshape(-1)[0]  # of one structure: the axis of the batch
        table[key] = value


_KINDS: tuple[tuple[str, str, Callable[[Any], Iterator[Snapshot]]], ...] = (
    ("pymatgen", "IStructure", _pymatgen),
    ("pymatgen", "IMolecule", _pymatgen),
    ("torch_geometric", "Data", _geometric),
    ("aenet", "AtomicStructure", _aenet),
    ("aenet", "Structure", _aenet_torch),
)


def _reader(kind: type) -> Callable[[Any], Iterator[Snapshot]] | None:
    return _reader_of(tuple((one.__module__.partition(".")[0], one.__name__) for one in kind.__mro__))


@cache
def _reader_of(names: tuple[tuple[str, str], ...]) -> Callable[[Any], Iterator[Snapshot]] | None:
    return next((read for package, name, read in _KINDS if (package, name) in names), None)


def is_structure(kind: type) -> bool:
    """Tell whether objects of a type are structures of another package."""
    return _reader(kind) is not None


def count_structures(given: Any) -> int:
    """Return how many structures an object has: one, but for frames of aenet and for batches."""
    read = _reader(type(given))
    if read is _aenet:
        return len(given.coords)
    return int(getattr(given, "num_graphs", 1)) if read is _geometric else 1


def snapshots(given: Any) -> Iterator[Any]:
    """Yield the structures of an object, or what is wrong with it; anything else as it is."""
    read = _reader(type(given))
    if read is None:
        yield given
        return
    try:
        yield from read(given)
    except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        yield Unusable(f"this {type(given).__name__} can't be used: {error}")
