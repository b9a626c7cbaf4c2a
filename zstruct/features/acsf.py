"""The atom-centred symmetry functions of Behler and Parrinello, in the conventions of dscribe.

This module checks parameters, names the features and hands tables to the kernels, which do the sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import integer, shown
from zstruct.elements import NUMBERS, SYMBOLS
from zstruct.errors import InputError
from zstruct.features.descriptor import Descriptor, unknown_species
from zstruct.geometry.neighbors import Neighbors
from zstruct.geometry.structures import Structures
from zstruct.jit.arrays import read_only
from zstruct.keywords import keywords

__all__ = ["ACSF"]

_NO_ROWS = np.empty((0, 0))
_NO_ANGLES = np.empty((0, 0, 0, 3))
_NO_STRAINS = np.empty((0, 3, 3))


@keywords()
@dataclass(frozen=True)
class ACSF(Descriptor):
    r"""Atom-centred symmetry functions, for each species or pair of species of the neighbours.

    With :math:`f(r) = (\cos(\pi r / r_\mathrm{cut}) + 1) / 2` up to `r_cut` and zero beyond, sums go
    over neighbours j and, in the last two, over pairs of them, each counted once:

    .. math::

       G_1 &= \sum_j f(r_{ij}) \\
       G_2 &= \sum_j e^{-\eta (r_{ij} - R_s)^2} f(r_{ij}) \\
       G_3 &= \sum_j \cos(\kappa r_{ij}) f(r_{ij}) \\
       G_4 &= 2^{1-\zeta} \sum_{j<k} (1 + \lambda \cos\theta_{jik})^\zeta
              e^{-\eta (r_{ij}^2 + r_{ik}^2 + r_{jk}^2)} f(r_{ij}) f(r_{ik}) f(r_{jk}) \\
       G_5 &= 2^{1-\zeta} \sum_{j<k} (1 + \lambda \cos\theta_{jik})^\zeta
              e^{-\eta (r_{ij}^2 + r_{ik}^2)} f(r_{ij}) f(r_{ik})

    Features are those of dscribe's ``ACSF``, in its order: for each species, by atomic number, G1 and
    then all G2 and all G3; then for each pair of species (0-0, 1-0, 1-1, 2-0, ...) all G4 and all G5.
    The species of the atom itself is not among them. A neighbour in the very place of the atom is
    left out, for it has no direction; so is the neighbour at `r_cut`, where all is zero.

    Parameters
    ----------
    species
        Chemical symbols or atomic numbers of all elements there may be. Kept as symbols, sorted by
        atomic number.
    r_cut
        Cutoff of all functions, in angstrom.
    g2_params
        Pairs of eta, in angstrom^-2, and Rs, in angstrom.
    g3_params
        Values of kappa, in angstrom^-1.
    g4_params, g5_params
        Triples of eta in angstrom^-2, zeta of at least 1, and lambda between -1 and 1.

    Raises
    ------
    InputError
        If a parameter is not as said.

    Notes
    -----
    RuNNer and n2p2 measure in bohr (a0 = 0.529177 angstrom), so their etas are to be divided by a0^2,
    their shifts and cutoffs to be multiplied by a0. ``symfunction_short <centre> 2 <j> eta rs rc`` is
    G2, ``... 3 <j> <k> eta lambda zeta rc`` is G4 (there "narrow"), ``... 9 <j> <k> eta lambda zeta rc``
    is G5 (there "wide"); mind that they have lambda before zeta. Their ``cutoff_type 1`` is the cutoff
    function above. Each of their functions is for one species of the centre, here all centres have
    all of them.

    References
    ----------
    J. Behler, J. Chem. Phys. 134, 074106 (2011); dscribe 2.1, ``dscribe.descriptors.ACSF``.

    Examples
    --------
    >>> import ase.build
    >>> from zstruct.geometry.neighbors import neighbor_list
    >>> from zstruct.geometry.structures import Structures
    >>> water = Structures.of(ase.build.molecule("H2O"))
    >>> acsf = ACSF(["H", "O"], r_cut=4.0, g2_params=[(1.0, 1.0)], g4_params=[(0.1, 1, 1)])
    >>> acsf.feature_names
    ['g1_H', 'g2_0_H', 'g1_O', 'g2_0_O', 'g4_0_H_H', 'g4_0_O_H', 'g4_0_O_O']
    >>> acsf.values(water, neighbor_list(water, acsf.cutoff)).shape
    (3, 7)
    """

    species: Sequence[str | int]
    r_cut: float
    g2_params: Sequence[Sequence[float]] = ()
    g3_params: Sequence[float] = ()
    g4_params: Sequence[Sequence[float]] = ()
    g5_params: Sequence[Sequence[float]] = ()

    def __post_init__(self) -> None:
        if not (isinstance(self.r_cut, int | float | np.number) and 0 < self.r_cut < np.inf):
            raise InputError(f"r_cut is a positive number of angstrom, not {self.r_cut!r}")
        for name in ("g2_params", "g3_params", "g4_params", "g5_params"):
            if isinstance(getattr(self, name), str) or not np.iterable(getattr(self, name)):
                raise InputError(f"{name} is a sequence, not {getattr(self, name)!r}")
        made = {
            "species": tuple(SYMBOLS[z] for z in _sorted_numbers(self.species)),
            "r_cut": float(self.r_cut),
            "g2_params": _rows("g2_params", self.g2_params, ("eta", "Rs")),
            "g3_params": tuple(
                row[0] for row in _rows("g3_params", [[x] for x in self.g3_params], ("kappa",))
            ),
            "g4_params": _rows("g4_params", self.g4_params, ("eta", "zeta", "lambda")),
            "g5_params": _rows("g5_params", self.g5_params, ("eta", "zeta", "lambda")),
        }
        for name, value in made.items():
            object.__setattr__(self, name, value)

    @property
    def cutoff(self) -> float:
        """The largest distance of a neighbour that matters, in angstrom."""
        return self.r_cut

    @property
    def feature_names(self) -> list[str]:
        """Names such as ``g2_0_O``, the first G2 for oxygen, and ``g4_3_Ti_O``, the fourth G4 for both."""
        radial = ["g1", *_numbered("g2", self.g2_params), *_numbered("g3", self.g3_params)]
        angular = [*_numbered("g4", self.g4_params), *_numbered("g5", self.g5_params)]
        pairs = [(a, b) for s, a in enumerate(self.species) for b in self.species[: s + 1]]
        return [f"{name}_{a}" for a in self.species for name in radial] + [
            f"{name}_{a}_{b}" for a, b in pairs for name in angular
        ]

    @property
    def _sizes(self) -> tuple[int, int, int]:
        """Species; functions of one neighbour for each; functions of two for each pair of species."""
        radial = 1 + len(self.g2_params) + len(self.g3_params)
        return len(self.species), radial, len(self.g4_params) + len(self.g5_params)

    def values(self, structures: Structures, neighbors: Neighbors) -> NDArray[np.float64]:
        """Return the features of the centres, shape (m, F).

        Raises
        ------
        InputError
            If a structure has an element that is not among the species.
        """
        features = np.zeros((len(neighbors), self.n_features))
        self._sweep("VALUES", structures, neighbors, features=features)
        return features

    def pair_arrays(self) -> dict[str, tuple[int, ...]]:
        """Return names and row shapes of the arrays that hold the derivatives of a pair.

        `radial` are those of the functions of one neighbour by the distance, for the species of j.
        `angular` are those of the functions of two, by r_ij, for j with each species.
        """
        n_species, radial, angular = self._sizes
        arrays: dict[str, tuple[int, ...]] = {"radial": (radial,)}
        if angular:
            arrays["angular"] = (n_species, angular, 3)
        return arrays

    def derivatives(self, structures: Structures, neighbors: Neighbors) -> dict[str, NDArray[np.float64]]:
        """Return the derivatives of centre i's features by r_ij, for each pair, as `pair_arrays`."""
        arrays = {name: np.zeros((neighbors.n_pairs, *shape)) for name, shape in self.pair_arrays().items()}
        self._sweep("DERIVATIVES", structures, neighbors, **arrays)
        return arrays

    def expand(
        self, arrays: Mapping[str, NDArray[Any]], numbers: NDArray[np.int64], vectors: NDArray[np.float64]
    ) -> NDArray[Any]:
        """Return dG_i/dr_ij, shape (p, F, 3), of what `derivatives` returns."""
        n_species, radial, angular = self._sizes
        pairs = np.arange(len(vectors))
        # The largest float type of what is given: derivatives stored as float32 stay so.
        found = np.zeros((len(vectors), self.n_features, 3), dtype=arrays["radial"].dtype)
        own = self._species_of()[numbers]
        lengths = np.linalg.norm(vectors, axis=1)
        units = vectors / np.where(lengths > 0, lengths, 1)[:, None]
        columns = own[:, None] * radial + np.arange(radial)
        found[pairs[:, None], columns] = arrays["radial"][:, :, None] * units[:, None, :]
        for other in range(n_species if angular else 0):
            low, high = np.minimum(own, other), np.maximum(own, other)
            start = n_species * radial + (high * (high + 1) // 2 + low) * angular
            columns = start[:, None] + np.arange(angular)
            found[pairs[:, None], columns] = arrays["angular"][:, other]
        return found

    def vjp(
        self,
        structures: Structures,
        neighbors: Neighbors,
        gradient: NDArray[np.float64],
        positions_out: NDArray[np.float64],
        strain_out: NDArray[np.float64],
    ) -> None:
        """Add the gradient of E by positions and strain to arrays, given that of E by the features."""
        self._sweep(
            "GRADIENT",
            structures,
            neighbors,
            gradient=gradient,
            positions_out=positions_out,
            strain_out=strain_out,
        )

    def jvp(
        self, structures: Structures, neighbors: Neighbors, tangents: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return how the features change as positions move along `tangents` (N, 3); shape (m, F)."""
        features = np.zeros((len(neighbors), self.n_features))
        self._sweep("TANGENT", structures, neighbors, tangents=tangents, features=features)
        return features

    def hvp(
        self,
        structures: Structures,
        neighbors: Neighbors,
        gradient: NDArray[np.float64],
        tangents: NDArray[np.float64],
        positions_out: NDArray[np.float64],
    ) -> None:
        """Add to `positions_out` how `vjp`'s gradient by positions changes along `tangents` (N, 3).

        With a zeta between 1 and 2 there is no such change for atoms in line with the centre.
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
        """Return what `jvp` does, and add what `hvp` does to `positions_out`."""
        features = np.zeros((len(neighbors), self.n_features))
        self._sweep(
            "SECOND",
            structures,
            neighbors,
            tangents=tangents,
            features=features,
            gradient=gradient,
            positions_out=positions_out,
        )
        return features

    def _species_of(self) -> NDArray[np.int64]:
        """Return the index of the species of each atomic number, -1 for unknown ones."""
        table = np.full(len(SYMBOLS), -1)
        table[[NUMBERS[str(symbol)] for symbol in self.species]] = np.arange(len(self.species))
        return table

    def _tables(self) -> tuple[Any, ...]:
        """Return the parameters as the kernels want them: what functions share is named once."""
        functions = [(4, *row) for row in self.g4_params] + [(5, *row) for row in self.g5_params]
        groups = sorted({(kind, eta) for kind, eta, _, _ in functions})
        shapes = sorted({(zeta, slope) for _, _, zeta, slope in functions})
        kinds, etas = np.array(groups, dtype=np.float64).reshape(-1, 2).T
        zetas, slopes = np.array(shapes, dtype=np.float64).reshape(-1, 2).T
        return (
            self.r_cut,
            len(self.species),
            np.array(self.g2_params, dtype=np.float64).reshape(-1, 2),
            np.array(self.g3_params, dtype=np.float64),
            kinds.astype(np.int64),
            np.ascontiguousarray(etas),
            np.ascontiguousarray(zetas),
            np.ascontiguousarray(slopes),
            np.array([groups.index((kind, eta)) for kind, eta, _, _ in functions], dtype=np.int64),
            np.array([shapes.index((zeta, slope)) for _, _, zeta, slope in functions], dtype=np.int64),
        )

    def _sweep(
        self,
        operation: str,
        structures: Structures,
        neighbors: Neighbors,
        *,
        features: NDArray[np.float64] = _NO_ROWS,
        gradient: NDArray[np.float64] = _NO_ROWS,
        radial: NDArray[np.float64] = _NO_ROWS,
        angular: NDArray[np.float64] = _NO_ANGLES,
        positions_out: NDArray[np.float64] = _NO_ROWS,
        strain_out: NDArray[np.float64] = _NO_STRAINS,
        tangents: NDArray[np.float64] = _NO_ROWS,
    ) -> None:
        """Have the kernels do an operation; only the arrays that it needs are given."""
        from zstruct.features.kernels import acsf as kernels

        table = self._species_of()
        unknown = kernels.sweep(
            getattr(kernels, operation),
            neighbors.start,
            read_only(neighbors.offsets),
            tuple(map(read_only, (neighbors.indices, neighbors.vectors, structures.numbers, table))),
            read_only(structures.offsets),
            self._tables(),
            read_only(tangents),
            (features, read_only(gradient), radial, angular.reshape(-1), positions_out, strain_out),
        )
        if unknown >= 0:
            raise unknown_species(structures, unknown, list(map(str, self.species)))


def _numbered(name: str, rows: Sequence[Any]) -> list[str]:
    return [f"{name}_{i}" for i in range(len(rows))]


def _sorted_numbers(species: Sequence[str | int]) -> list[int]:
    if isinstance(species, str) or not np.iterable(species) or not len(species):
        raise InputError(f"species is a sequence of chemical symbols, such as ['Ti', 'O'], not {species!r}")
    numbers = []
    for one in species:
        z = NUMBERS.get(one, 0) if isinstance(one, str) else integer(one)
        if z is None or not 0 < z < len(SYMBOLS):
            raise InputError(f"{shown(one)} is not a chemical element")
        numbers.append(z)
    if len(set(numbers)) < len(numbers):
        raise InputError(f"the species {', '.join(map(str, species))} name an element twice")
    return sorted(numbers)


def _rows(
    name: str, rows: Sequence[Sequence[float]], columns: tuple[str, ...]
) -> tuple[tuple[float, ...], ...]:
    for row in rows:
        numbers = isinstance(row, Iterable) and all(isinstance(x, Real) for x in row)
        if not numbers or np.shape(row) != (len(columns),) or not np.isfinite(row).all():
            raise InputError(f"a row of {name} is {', '.join(columns)}, all finite, not {shown(row)}")
        given = dict(zip(columns, row, strict=True))
        if given.get("eta", 0) < 0:
            raise InputError(f"eta in {name} is at least 0, not {given['eta']}")
        if given.get("zeta", 1) < 1:
            raise InputError(f"zeta in {name} is at least 1, not {given['zeta']}")
        if not -1 <= given.get("lambda", 0) <= 1:
            raise InputError(f"lambda in {name} is between -1 and 1, not {given['lambda']}")
    return tuple(tuple(float(x) for x in row) for row in rows)
