"""What a descriptor is: hyperparameters, the kernels' results for a piece of a neighbour list, a manifest.

A descriptor turns the neighbourhood of each atom into a row of features. It works on pieces of neighbour
lists, so its memory is bounded whatever the size of a structure, and any number of threads may work on
different pieces.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, ClassVar, Literal, overload

import numpy as np
from numpy.typing import NDArray

from zstruct.elements import SYMBOLS
from zstruct.errors import InputError
from zstruct.geometry.neighbors import PAIRS, Neighbors, neighbor_list
from zstruct.geometry.pieces import in_threads, pieces_of, shares_of, visit
from zstruct.geometry.structures import Structures

__all__ = ["Descriptor", "PairDerivatives", "compute", "make_manifest", "on_atoms", "unknown_species"]

_EXPANDED_BYTES = 1 << 26  # of derivatives that are expanded at a time


@dataclass(frozen=True, eq=False)
class PairDerivatives:
    """The derivatives of the features of all atoms, by pairs, as compact as the descriptor has them.

    Parameters
    ----------
    descriptor
        What computed them.
    structures
        N atoms in n structures.
    neighbors
        The neighbours of all of them, p pairs.
    arrays
        What `Descriptor.derivatives` returns, p rows each.
    """

    descriptor: Descriptor
    structures: Structures
    neighbors: Neighbors
    arrays: dict[str, NDArray[np.float64]]

    def dense(self, start: int = 0, stop: int | None = None) -> NDArray[np.float64]:
        """Return dG_i/dr_j of pairs ``start:stop``, shape (stop - start, F, 3), in 1/angstrom."""
        pairs = slice(start, self.neighbors.n_pairs if stop is None else stop)
        numbers = self.structures.numbers[self.neighbors.indices[pairs]]
        rows = {name: array[pairs] for name, array in self.arrays.items()}
        return self.descriptor.expand(rows, numbers, self.neighbors.vectors[pairs])

    def forces(self, gradient: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return -dE/dr, shape (N, 3), of an energy that has dE/dG of shape (N, F)."""
        pulls, neighbors = self._pulls(gradient), self.neighbors
        return -on_atoms(pulls, neighbors.centres, neighbors.indices, self.structures.n_atoms)

    def virial(self, gradient: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return -dE/dstrain, shape (n, 3, 3), of the same energy; the stress is -virial/volume."""
        pulls = self._pulls(gradient)
        owners = np.searchsorted(self.structures.offsets, self.neighbors.centres, side="right") - 1
        out = np.zeros((len(self.structures), 3, 3))
        np.add.at(out, owners, -self.neighbors.vectors[:, :, None] * pulls[:, None, :])
        return out

    def _pulls(self, gradient: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return dE_i/dr_ij of each pair, shape (p, 3)."""
        weights = np.asarray(gradient, dtype=np.float64)
        expected = (self.structures.n_atoms, self.descriptor.n_features)
        if weights.shape != expected:
            raise ValueError(f"dE/dG has shape {weights.shape}, not {expected}")
        centres, p = self.neighbors.centres, self.neighbors.n_pairs
        out = np.empty((p, 3))
        step = max(1, _EXPANDED_BYTES // (24 * max(1, expected[1])))
        for a in range(0, p, step):
            b = min(a + step, p)
            np.einsum("pf,pfx->px", weights[centres[a:b]], self.dense(a, b), out=out[a:b])
        return out


def on_atoms(
    pulls: NDArray[np.float64], centres: NDArray[np.int64], indices: NDArray[np.int64], n_atoms: int
) -> NDArray[np.float64]:
    """Return dE/dr of each atom, shape (N, 3), given dE/dr_ij of each pair, shape (p, 3)."""
    out = np.empty((n_atoms, 3))
    for axis in range(3):
        at_neighbor, at_centre = (
            np.bincount(rows, pulls[:, axis], minlength=n_atoms) for rows in (indices, centres)
        )
        out[:, axis] = at_neighbor - at_centre
    return out


class Descriptor(ABC):
    """A descriptor: a frozen dataclass of its hyperparameters, with what is defined here.

    In all methods, `structures` are packed structures and `neighbors` the neighbours, within
    `cutoff`, of m consecutive atoms of them, p pairs; F is `n_features`.
    """

    version: ClassVar[int] = 1  # of the definition: raised when the numbers change

    @property
    @abstractmethod
    def cutoff(self) -> float:
        """The largest distance of a neighbour that matters, in angstrom."""

    @property
    @abstractmethod
    def feature_names(self) -> list[str]:
        """A name for each feature."""

    @property
    def n_features(self) -> int:
        """Number of features."""
        return len(self.feature_names)

    @abstractmethod
    def values(self, structures: Structures, neighbors: Neighbors) -> NDArray[np.float64]:
        """Return the features of the centres, shape (m, F).

        Parameters
        ----------
        structures
            All structures, packed.
        neighbors
            The pairs of some of their atoms, the centres.

        Raises
        ------
        InputError
            If a structure has an element that the descriptor does not know.
        """

    def pair_arrays(self) -> dict[str, tuple[int, ...]]:
        """Return names and row shapes of the arrays that hold the derivatives of a pair."""
        return {"values": (self.n_features, 3)}

    def derivatives(self, structures: Structures, neighbors: Neighbors) -> dict[str, NDArray[np.float64]]:
        """Return the derivatives of centre i's features by r_ij, for each pair, as `pair_arrays`.

        They are those by the position of j. By the position of i they are minus the sum over its pairs.

        Parameters
        ----------
        structures
            All structures, packed.
        neighbors
            The pairs of some of their atoms, the centres.
        """
        raise NotImplementedError(f"{type(self).__name__} has no derivatives")

    def expand(
        self, arrays: Mapping[str, NDArray[Any]], numbers: NDArray[np.int64], vectors: NDArray[np.float64]
    ) -> NDArray[Any]:
        """Return dG_i/dr_ij, shape (p, F, 3), of what `derivatives` returns.

        Parameters
        ----------
        arrays
            By name, with p rows each.
        numbers
            Atomic numbers of the neighbours, shape (p,).
        vectors
            From centre to neighbour, shape (p, 3).
        """
        return np.asarray(arrays["values"])

    def vjp(
        self,
        structures: Structures,
        neighbors: Neighbors,
        gradient: NDArray[np.float64],
        positions_out: NDArray[np.float64],
        strain_out: NDArray[np.float64],
    ) -> None:
        """Add the gradient of E by positions and strain to arrays, given that of E by the features.

        Parameters
        ----------
        structures, neighbors
            As above.
        gradient
            dE/dG, shape (m, F).
        positions_out
            dE/dr, shape (N, 3), is added to this; forces are its negative.
        strain_out
            sum over pairs of r_ij (outer) dE/dr_ij, by structure, shape (n, 3, 3), is added to this;
            the stress is this over the volume.
        """
        raise NotImplementedError(f"{type(self).__name__} has no derivatives")

    def jvp(
        self, structures: Structures, neighbors: Neighbors, tangents: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return how the features change as positions move, shape (m, F).

        Parameters
        ----------
        structures
            All structures, packed.
        neighbors
            The pairs of some of their atoms, the centres.
        tangents
            Where positions move, shape (N, 3).
        """
        raise NotImplementedError(f"{type(self).__name__} has no derivatives")

    def hvp(
        self,
        structures: Structures,
        neighbors: Neighbors,
        gradient: NDArray[np.float64],
        tangents: NDArray[np.float64],
        positions_out: NDArray[np.float64],
    ) -> None:
        """Add up how the gradient by positions that `vjp` returns changes as positions move.

        Parameters
        ----------
        structures
            All structures, packed.
        neighbors
            The pairs of some of their atoms, the centres.
        gradient
            dE/dG, shape (m, F).
        tangents
            Where positions move, shape (N, 3).
        positions_out
            Where it is added, shape (N, 3).
        """
        raise NotImplementedError(f"{type(self).__name__} has no second derivatives")

    def jvp_and_hvp(
        self,
        structures: Structures,
        neighbors: Neighbors,
        gradient: NDArray[np.float64],
        tangents: NDArray[np.float64],
        positions_out: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return what `jvp` does and add what `hvp` does, as the gradient of a loss of forces needs both.

        A descriptor defines this if it can do both in one go.

        Parameters
        ----------
        structures
            All structures, packed.
        neighbors
            The pairs of some of their atoms, the centres.
        gradient
            dE/dG, shape (m, F).
        tangents
            Where positions move, shape (N, 3).
        positions_out
            Where the change of the gradient by positions is added, shape (N, 3).
        """
        self.hvp(structures, neighbors, gradient, tangents, positions_out)
        return self.jvp(structures, neighbors, tangents)

    @overload
    def compute(
        self, structures: Any, derivatives: Literal[False] = False, n_threads: int | None = None
    ) -> NDArray[np.float64]: ...
    @overload
    def compute(
        self, structures: Any, derivatives: Literal[True], n_threads: int | None = None
    ) -> tuple[NDArray[np.float64], PairDerivatives]: ...
    def compute(
        self, structures: Any, derivatives: bool = False, n_threads: int | None = None
    ) -> NDArray[np.float64] | tuple[NDArray[np.float64], PairDerivatives]:
        """Return the features of all atoms, and their derivatives if asked for.

        Parameters
        ----------
        structures
            What `Structures.of` accepts: ``ase.Atoms``, samples or batches of a dataset, a
            sequence of these.
        derivatives
            Whether to return ``(features, PairDerivatives)``, all pairs of which are in memory.
        n_threads
            At most so many threads; by default one per processor.

        Returns
        -------
        numpy.ndarray or tuple
            Features, shape (N, F), float64, atoms in order.

        Raises
        ------
        InputError
            If a structure has an element that the descriptor does not know.
        TypeError, ValueError
            If `structures` are none, or do not fit together.

        Examples
        --------
        >>> import ase.build
        >>> from zstruct.features import Chebyshev
        >>> descriptor = Chebyshev(["H", "O"], 10, 4.0, 3, 1.5)
        >>> descriptor.compute(ase.build.molecule("H2O")).shape
        (3, 30)
        """
        return compute(self, structures, derivatives, n_threads)

    def parameters(self) -> dict[str, Any]:
        """Return the hyperparameters, as what JSON can hold: those of the dataclass."""
        if not is_dataclass(self):
            raise NotImplementedError(f"{type(self).__name__} is no dataclass and has no parameters()")
        return {field.name: getattr(self, field.name) for field in fields(self) if field.init}

    def manifest(self) -> dict[str, Any]:
        """Return what `zstruct.features.from_manifest` builds an equal descriptor of.

        It holds ``class``, ``version``, ``parameters`` and the ``sha256`` of these three as JSON.
        """
        return make_manifest(type(self).__name__, self.version, self.parameters())


def make_manifest(name: str, version: int, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest of what is known by a name, a version and parameters that JSON can hold."""
    said = {"class": name, "version": version, "parameters": dict(parameters)}
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), allow_nan=False)
    made: dict[str, Any] = json.loads(text)  # tuples have become lists, as in a store
    return {**made, "sha256": hashlib.sha256(text.encode()).hexdigest()}


def compute(
    descriptor: Descriptor, structures: Any, derivatives: bool, n_threads: int | None
) -> NDArray[np.float64] | tuple[NDArray[np.float64], PairDerivatives]:
    """Return what `Descriptor.compute` promises."""
    packed = Structures.of(structures)
    values = np.empty((packed.n_atoms, descriptor.n_features))

    def fill(row: int, part: Structures, neighbors: Neighbors) -> None:
        first = row + neighbors.start
        values[first : first + len(neighbors)] = descriptor.values(part, neighbors)

    if not derivatives:
        visit(fill, packed, descriptor.cutoff, n_threads=n_threads, pairs=PAIRS)
        return values
    # All pairs are returned; found first, they say where the derivatives of a piece go.
    near = _all_neighbors(packed, descriptor.cutoff, n_threads)
    arrays = {name: np.empty((near.n_pairs, *shape)) for name, shape in descriptor.pair_arrays().items()}

    def fill_pairs(piece: Neighbors) -> None:
        fill(0, packed, piece)
        first = int(near.offsets[piece.start])
        for name, made in descriptor.derivatives(packed, piece).items():
            arrays[name][first : first + piece.n_pairs] = made

    in_threads(fill_pairs, list(pieces_of(near)), n_threads)
    return values, PairDerivatives(descriptor, packed, near, arrays)


def _all_neighbors(structures: Structures, cutoff: float, n_threads: int | None) -> Neighbors:
    """Return what `neighbor_list` does, found by threads."""
    bounds = shares_of(structures, 0, structures.n_atoms, n_threads)
    pieces = in_threads(lambda rows: neighbor_list(structures, cutoff, *rows), bounds, n_threads)
    if len(pieces) == 1:
        return pieces[0]
    edges, n_pairs = [np.zeros(1, np.int64)], 0
    for piece in pieces:
        edges.append(piece.offsets[1:] + n_pairs)
        n_pairs += piece.n_pairs
    return Neighbors(
        0,
        np.concatenate(edges),
        np.concatenate([piece.indices for piece in pieces]),
        np.concatenate([piece.shifts for piece in pieces]),
        np.concatenate([piece.vectors for piece in pieces]),
        np.concatenate([piece.distances for piece in pieces]),
    )


def unknown_species(structures: Structures, row: int, species: Sequence[str]) -> InputError:
    """Return the error for the atom in a packed row, which is none of some species."""
    number = int(structures.numbers[row])
    known = 0 < number < len(SYMBOLS)
    element = SYMBOLS[number] if known else f"an atom with atomic number {number}"
    structure = int(np.searchsorted(structures.offsets, row, side="right")) - 1
    return InputError(
        f"structure {structure} has {element}, which is not among the species of the descriptor: "
        f"{', '.join(species)}; add it to them, or leave the structure out"
    )
