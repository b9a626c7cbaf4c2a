"""Structures of other packages, as they are in memory, in place of Atoms: pymatgen, torch_geometric, aenet.

They are known by the names of their classes, so none of these packages is imported. Labels keep the names
that they have there. A structure that can't be used, of sites with two elements say, becomes a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from zstruct.sources.ase.atoms import Snapshot, Unusable
from zstruct.sources.ase.bare import add_labels, bare, plain, symbols
from zstruct.sources.ase.graphs import count_graphs, graphs
from zstruct.sources.columns import with_gaps

__all__ = ["count_structures", "is_structure", "snapshots"]


def _pymatgen(given: Any) -> Iterator[Snapshot]:
    """Yield a Structure or Molecule; labels are in its properties, its site properties and its calculator."""
    for k, site in enumerate(given):
        if not site.is_ordered:
            raise ValueError(
                f"site {k} is disordered ({site.species_string}): a structure has one element at each site"
            )
    lattice = getattr(given, "lattice", None)
    cell, pbc = (None, False) if lattice is None else (lattice.matrix, lattice.pbc)
    found = bare(symbols(site.specie.symbol for site in given), given.cart_coords, cell, pbc)
    columns = {key: list(values) for key, values in given.site_properties.items()}
    columns |= {
        "oxidation_states": [getattr(site.specie, "oxi_state", None) for site in given],
        "spins": [getattr(site.specie, "spin", None) for site in given],
    }
    for key, values in columns.items():
        if not all(value is None for value in values):
            found.arrays[key] = with_gaps(values)
    flags = found.arrays.get("selective_dynamics")
    if flags is not None and flags.shape == (len(found), 3) and (flags == flags[:, :1]).all():
        found.arrays["move_mask"] = found.arrays.pop("selective_dynamics")[:, 0].astype(bool)
    add_labels(found, getattr(given, "properties", None) or {})
    if lattice is None:
        found.info |= {"charge": given.charge, "spin_multiplicity": given.spin_multiplicity}
    elif (charge := getattr(given, "_charge", None)) is not None:  # else it is a sum over oxidation states
        found.info["charge"] = charge
    results = getattr(getattr(given, "calc", None), "results", None)
    add_labels(found, results if isinstance(results, Mapping) else {})
    yield found


def _aenet(given: Any) -> Iterator[Snapshot]:
    """Yield every frame of an AtomicStructure."""
    if not given.names_known:
        raise ValueError("its types are numbers, not chemical symbols; give it typenames")
    numbers = symbols(given.types)
    for k, positions in enumerate(given.coords):
        found = bare(numbers, positions, given.avec[k] if given.pbc else None, bool(given.pbc))
        labels = {"energy": given.energy, "forces": given.forces}
        add_labels(found, {key: values[k] for key, values in labels.items() if k < len(values)})
        yield found


def _aenet_torch(given: Any) -> Iterator[Snapshot]:
    """Yield a Structure of aenet's training with torch."""
    cell, pbc = plain(given.cell, "cell"), plain(given.pbc, "pbc")
    if cell is not None and pbc is None:
        pbc = True  # aenet has a cell where there is a period, and only there
    positions = plain(given.positions, "positions")
    found = bare(symbols(given.species), positions, cell, False if pbc is None else pbc)
    add_labels(found, {"energy": given.energy, "forces": given.forces, "name": getattr(given, "name", None)})
    yield found


_KINDS: tuple[tuple[str, str, Callable[[Any], Iterator[Snapshot]]], ...] = (
    ("pymatgen", "IStructure", _pymatgen),
    ("pymatgen", "IMolecule", _pymatgen),
    ("torch_geometric", "Data", graphs),
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
    return count_graphs(given) if read is graphs else 1


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
