"""Groups of a store written by hand, as the format page says, and the descriptor that made them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.features.descriptor import Descriptor, make_manifest
from zstruct.features.registry import register
from zstruct.geometry.neighbors import Neighbors, neighbor_list
from zstruct.geometry.structures import Structures
from zstruct.store.chunks import choose_grid
from zstruct.store.spec import ArraySpec
from zstruct.store.store import Store
from zstruct.store.write import complete, consolidate_again, create, create_parent, write_array


@register
@dataclass(frozen=True)
class Bumps(Descriptor):
    """Sums over neighbours of exp(-d), and of that times the neighbour's atomic number."""

    radius: float = 3.0

    @property
    def cutoff(self):
        return self.radius

    @property
    def feature_names(self):
        return ["near", "near_z"]

    def parameters(self):
        return {"radius": self.radius}

    def values(self, structures, neighbors):
        terms = np.exp(-neighbors.distances)
        rows = neighbors.centres - neighbors.start
        weights = (terms, terms * structures.numbers[neighbors.indices])
        return np.stack([np.bincount(rows, w, len(neighbors)) for w in weights], axis=1)

    def pair_arrays(self):
        return {"slopes": ()}

    def derivatives(self, structures, neighbors):
        return {"slopes": -np.exp(-neighbors.distances) / neighbors.distances}

    def expand(self, arrays, numbers, vectors):
        radial = arrays["slopes"][:, None] * vectors
        return np.stack([radial, radial * numbers[:, None]], axis=1)


def structures_of(source: Any) -> Structures:
    """All structures of a store that was made by hand."""
    columns = source.columns
    return Structures.of_arrays(
        source.offsets, columns["numbers"], columns["positions"], columns["cell"], columns["pbc"]
    )


def write_group(source: Any, kind: str, name: str, cutoff: float, arrays: dict, attrs: dict) -> None:
    """Write a group as the format page says."""
    path = source.path / kind / name
    specs = []
    for leaf, values in arrays.items():
        dims = {"offsets": "structure_edge", "counts": "atom", "values": "atom"}.get(leaf, "pair")
        across = tuple(f"{leaf}_{axis}" for axis in range(1, values.ndim))
        grid = choose_grid(len(values), values[:1].nbytes, "atom")
        specs.append(ArraySpec(leaf, (dims, *across), values.shape, str(values.dtype), {}, 0, grid))
    create_parent(source.path, kind)
    said = {
        "encoding-type": f"zstruct-{kind}",
        "encoding-version": "1.0",
        "store_digest": Store(source.path).digest,
        "cutoff": cutoff,
    }
    if kind != "features":
        said["n_pairs"] = len(arrays["indices"])
    create(path, specs, said | attrs)
    for spec, values in zip(specs, arrays.values(), strict=True):
        write_array(path, spec, values)
    complete(path, {}, {})
    consolidate_again(source.path, source.path.parent)


def csr(source: Any, neighbors: Neighbors) -> dict[str, NDArray]:
    """The arrays that all groups of pairs have."""
    offsets = source.offsets
    first = offsets[np.searchsorted(offsets, neighbors.centres, side="right") - 1]
    return {
        "offsets": neighbors.offsets[offsets],
        "counts": np.diff(neighbors.offsets).astype(np.int32),
        "indices": (neighbors.indices - first).astype(np.int32),
    }


def write_list(source: Any, name: str, cutoff: float, damage: bool = False) -> None:
    """Write a neighbour list into a store; a damaged one has one neighbour that is not there."""
    found = neighbor_list(structures_of(source), cutoff)
    arrays = csr(source, found) | {"shifts": found.shifts.astype(np.int8)}
    if damage:
        arrays["indices"][20] += 1000
    write_group(source, "neighbors", name, cutoff, arrays, {"manifest": make_manifest("NeighborList", 1, {})})


def write_descriptor(source: Any, name: str, descriptor: Descriptor, dtype: str) -> None:
    """Write features and derivatives into a store."""
    structures = structures_of(source)
    found = neighbor_list(structures, descriptor.cutoff)
    attrs = {"manifest": descriptor.manifest(), "feature_names": descriptor.feature_names, "dtype": dtype}
    values = descriptor.values(structures, found).astype(dtype)
    write_group(source, "features", name, descriptor.cutoff, {"values": values}, attrs | {"statistics": {}})
    arrays = csr(source, found) | {"vectors": found.vectors.astype(dtype)}
    arrays |= {key: a.astype(dtype) for key, a in descriptor.derivatives(structures, found).items()}
    write_group(source, "derivatives", name, descriptor.cutoff, arrays, attrs | {"only": None})
