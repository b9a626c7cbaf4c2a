"""The Chebyshev descriptor of Artrith, Urban and Ceder, as the aenet family computes it.

This module knows the hyperparameters and the order of features; the sums are in
`zstruct.features.kernels.chebyshev`, which is imported when first needed, for Numba takes a while to start.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import shown
from zstruct.elements import NUMBERS
from zstruct.errors import InputError
from zstruct.features.descriptor import Descriptor, unknown_species
from zstruct.geometry.neighbors import Neighbors
from zstruct.geometry.structures import Structures
from zstruct.keywords import keywords

if TYPE_CHECKING:
    from zstruct.features.kernels.chebyshev_rows import Model, Piece

__all__ = ["Chebyshev"]

_NO_COLUMNS = np.empty((0, 0))


@keywords()
@dataclass(frozen=True)
class Chebyshev(Descriptor):
    r"""Chebyshev polynomials of the distances to neighbours and of the angles between them.

    With the cutoff function ``fc(r, R) = (cos(pi r / R) + 1) / 2`` for r < R, else 0, the features of an
    atom are sums over its neighbours j, and over pairs j < k of them, of

    * ``R_n = T_n(2 r_j / rad_cutoff - 1) fc(r_j, rad_cutoff)`` for n = 0 .. rad_order,
    * ``A_n = T_n(cos theta_jk) fc(r_j, ang_cutoff) fc(r_k, ang_cutoff)`` for n = 0 .. ang_order,

    and, with several species, of ``s_j R_n`` and ``s_j s_k A_n`` too. The weights s are integers in the
    order of `species`: -1, 1 for two; -1, 0, 1 for three; -2, -1, 1, 2 for four, and so on. An atom's own
    species does not count. The numbers are those of aenet for the same order of species.

    The names of features are ``rad_0``, ..., ``ang_0``, ... for sums of R and A, then ``rad_w_0``, ...,
    ``ang_w_0``, ... for weighted ones.

    Parameters
    ----------
    species
        Chemical symbols of all species that may occur. Their order matters.
    rad_order, ang_order
        Highest orders of the polynomials.
    rad_cutoff, ang_cutoff
        Cutoff radii in angstrom.
    min_cutoff
        Neighbours at this distance in angstrom, or nearer, are left out. Those at distance zero always
        are, for they have no direction.

    Raises
    ------
    InputError
        If a species is unknown or given twice, an order is negative, or a cutoff is not positive.

    References
    ----------
    N. Artrith, A. Urban, G. Ceder, Phys. Rev. B 96, 014112 (2017).

    Examples
    --------
    >>> import ase.build
    >>> from zstruct.geometry.neighbors import neighbor_list
    >>> from zstruct.geometry.structures import Structures
    >>> descriptor = Chebyshev(["O", "H"], rad_order=1, rad_cutoff=4.0, ang_order=1, ang_cutoff=1.5)
    >>> descriptor.feature_names
    ['rad_0', 'rad_1', 'ang_0', 'ang_1', 'rad_w_0', 'rad_w_1', 'ang_w_0', 'ang_w_1']
    >>> water = Structures.of(ase.build.molecule("H2O"))
    >>> features = descriptor.values(water, neighbor_list(water, descriptor.cutoff))
    >>> features.shape, features[0, :2].round(3)
    ((3, 8), array([ 1.724, -0.889]))
    """

    species: Sequence[str]
    rad_order: int
    rad_cutoff: float
    ang_order: int
    ang_cutoff: float
    min_cutoff: float = 0.55

    def __post_init__(self) -> None:
        if isinstance(self.species, str) or not np.iterable(self.species):
            raise InputError(
                f"species is a list of chemical symbols, such as ['Ti', 'O'], not {self.species!r}"
            )
        object.__setattr__(self, "species", tuple(self.species))
        if not self.species:
            raise InputError("the list of species is empty: give the chemical symbols of all that may occur")
        for symbol in self.species:
            if not isinstance(symbol, str) or not NUMBERS.get(symbol):
                raise InputError(
                    f"{shown(symbol)} is not the symbol of an element; species are symbols such as 'Ti'"
                )
            if self.species.count(symbol) > 1:
                raise InputError(f"{symbol} is given twice in the list of species")
        for name in ("rad_order", "ang_order"):
            order = getattr(self, name)
            if not (
                isinstance(order, int | float | np.integer | np.floating) and order >= 0 and order % 1 == 0
            ):
                raise InputError(f"{name} is an integer from 0 up, not {order!r}")
            object.__setattr__(self, name, int(order))
        for name in ("rad_cutoff", "ang_cutoff", "min_cutoff"):
            radius = getattr(self, name)
            if not (isinstance(radius, int | float | np.number) and 0 <= radius < math.inf) or (
                radius == 0 and name != "min_cutoff"
            ):
                raise InputError(f"{name} is a length in angstrom, finite and positive, not {radius!r}")
            object.__setattr__(self, name, float(radius))

    @property
    def cutoff(self) -> float:
        """The larger of the two cutoffs, in angstrom."""
        return max(self.rad_cutoff, self.ang_cutoff)

    @property
    def feature_names(self) -> list[str]:
        """A name for each feature: ``rad_n``, ``ang_n``, ``rad_w_n``, ``ang_w_n``."""
        names = []
        for weighted in ("", "w_") if self._weighted else ("",):
            names += [f"rad_{weighted}{n}" for n in range(self.rad_order + 1)]
            names += [f"ang_{weighted}{n}" for n in range(self.ang_order + 1)]
        return names

    def values(self, structures: Structures, neighbors: Neighbors) -> NDArray[np.float64]:
        """Return the features of the centres, shape (m, F).

        Raises
        ------
        InputError
            If a structure has an element that is not in `species`.
        """
        from zstruct.features.kernels.chebyshev import values
        from zstruct.features.kernels.chebyshev_rows import scratch

        piece = _piece(structures, neighbors)
        out = np.empty((len(neighbors), self.n_features))
        self._check(structures, values(piece, self._model, scratch(piece, self._model), out))
        return out

    def pair_arrays(self) -> dict[str, tuple[int, ...]]:
        """Return names and row shapes of the arrays that hold the derivatives of a pair.

        ``radial`` is dR_n/dr. Times the direction of the pair it is the derivative, and times the weight of
        the neighbour's species that of the weighted feature. ``angular`` and ``angular_weighted`` are
        vectors.
        """
        shapes: dict[str, tuple[int, ...]] = {
            "radial": (self.rad_order + 1,),
            "angular": (self.ang_order + 1, 3),
        }
        if self._weighted:
            shapes["angular_weighted"] = (self.ang_order + 1, 3)
        return shapes

    def derivatives(self, structures: Structures, neighbors: Neighbors) -> dict[str, NDArray[np.float64]]:
        """Return the derivatives of centre i's features by r_ij, for each pair, as `pair_arrays`.

        Raises
        ------
        InputError
            If a structure has an element that is not in `species`.
        """
        from zstruct.features.kernels.chebyshev import derivatives
        from zstruct.features.kernels.chebyshev_rows import scratch

        arrays = {name: np.zeros((neighbors.n_pairs, *row)) for name, row in self.pair_arrays().items()}
        weighted = arrays.get("angular_weighted", np.empty((0, self.ang_order + 1, 3)))
        piece, model = _piece(structures, neighbors), self._model
        rows = arrays["radial"], arrays["angular"], weighted
        self._check(structures, derivatives(piece, model, scratch(piece, model), *rows))
        return arrays

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
            From centre to neighbour in angstrom, shape (p, 3).
        """
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        units = vectors / np.where(lengths > 0, lengths, 1.0)
        blocks = [np.asarray(arrays["radial"])[:, :, None] * units[:, None, :], np.asarray(arrays["angular"])]
        if self._weighted:
            weights = self._model.weights[numbers]
            blocks += [weights[:, None, None] * blocks[0], np.asarray(arrays["angular_weighted"])]
        return np.concatenate(blocks, axis=1)

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
            Packed structures, and the neighbours of m atoms of them.
        gradient
            dE/dG, shape (m, F).
        positions_out
            dE/dr, shape (N, 3), is added to this; forces are its negative.
        strain_out
            sum over pairs of r_ij (outer) dE/dr_ij, by structure, shape (n, 3, 3), is added to this.

        Raises
        ------
        InputError
            If a structure has an element that is not in `species`.
        """
        piece = _piece(structures, neighbors)
        along_pairs = self._pair_gradient(structures, piece, gradient)
        _add(structures, piece, along_pairs, positions_out, strain_out)

    def jvp(
        self, structures: Structures, neighbors: Neighbors, tangents: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return how the features change as positions move along `tangents` (N, 3); shape (m, F).

        Raises
        ------
        InputError
            If a structure has an element that is not in `species`.
        """
        return self._changes(structures, _piece(structures, neighbors), _NO_COLUMNS, tangents)[0]

    def hvp(
        self,
        structures: Structures,
        neighbors: Neighbors,
        gradient: NDArray[np.float64],
        tangents: NDArray[np.float64],
        positions_out: NDArray[np.float64],
    ) -> None:
        """Add to `positions_out` how `vjp`'s gradient by positions changes along `tangents` (N, 3).

        Raises
        ------
        InputError
            If a structure has an element that is not in `species`.
        """
        self.jvp_and_hvp(structures, neighbors, gradient, tangents, positions_out)

    def jvp_and_hvp(
        self,
        structures: Structures,
        neighbors: Neighbors,
        gradient: NDArray[np.float64],
        tangents: NDArray[np.float64],
        positions_out: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return what `jvp` does, and add what `hvp` does to `positions_out`.

        Raises
        ------
        InputError
            If a structure has an element that is not in `species`.
        """
        piece = _piece(structures, neighbors)
        features, along_pairs = self._changes(structures, piece, gradient, tangents)
        _add(structures, piece, along_pairs, positions_out, np.zeros((len(structures), 3, 3)))
        return features

    @property
    def _weighted(self) -> bool:
        return len(self.species) > 1

    @cached_property
    def _model(self) -> Model:
        """What the kernels take."""
        from zstruct.features.kernels.chebyshev_rows import Model, tables

        n = len(self.species)
        steps = range(-(n // 2), n // 2 + 1)
        spins = [s for s in steps if s != 0 or n % 2 == 1]
        weights = np.full(max(NUMBERS.values()) + 1, np.nan)
        weights[[NUMBERS[symbol] for symbol in self.species]] = spins
        cutoffs = (self.min_cutoff, self.rad_cutoff, self.ang_cutoff)
        return Model(weights, cutoffs, self.rad_order, *tables(self.ang_order))

    def _pair_gradient(
        self, structures: Structures, piece: Piece, gradient: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return dE/dr_ij of all pairs, shape (p, 3)."""
        from zstruct.features.kernels.chebyshev import pair_gradient
        from zstruct.features.kernels.chebyshev_rows import scratch

        out, room = np.zeros(piece.vectors.shape), scratch(piece, self._model)
        self._check(structures, pair_gradient(piece, self._model, room, _doubles(gradient), out))
        return out

    def _changes(
        self,
        structures: Structures,
        piece: Piece,
        gradient: NDArray[np.float64],
        tangents: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return how features (m, F), and given a gradient also dE/dr_ij (p, 3), change."""
        from zstruct.features.kernels.chebyshev_changes import changes
        from zstruct.features.kernels.chebyshev_rows import scratch

        features, out = np.empty((len(piece.offsets) - 1, self.n_features)), np.zeros(piece.vectors.shape)
        arrays = scratch(piece, self._model), _doubles(gradient), _doubles(tangents), features, out
        self._check(structures, changes(piece, self._model, *arrays))
        return features, out

    def _check(self, structures: Structures, unknown: int) -> None:
        """Name the atom that a kernel did not know, if there is one."""
        if unknown >= 0:
            raise unknown_species(structures, unknown, self.species)


def _doubles(array: NDArray[Any]) -> NDArray[np.float64]:
    """Return an array as kernels take it."""
    return np.array(array, np.float64, order="C", copy=None)


def _piece(structures: Structures, neighbors: Neighbors) -> Piece:
    from zstruct.features.kernels.chebyshev_rows import Piece

    return Piece(
        neighbors.start,
        np.ascontiguousarray(neighbors.offsets, np.int64),
        np.ascontiguousarray(neighbors.indices, np.int64),
        np.ascontiguousarray(neighbors.vectors, np.float64),
        np.ascontiguousarray(neighbors.distances, np.float64),
        np.ascontiguousarray(structures.numbers, np.int64),
    )


def _add(
    structures: Structures,
    piece: Piece,
    along_pairs: NDArray[np.float64],
    positions_out: NDArray[np.float64],
    strain_out: NDArray[np.float64],
) -> None:
    from zstruct.features.kernels.chebyshev import add_gradient

    add_gradient(piece, structures.offsets, along_pairs, positions_out, strain_out)
