"""`RandomRotation` and `RandomReflection`: structures turned and mirrored, each label with them as it must.

How a field turns is what the field table says; what nobody knows is refused rather than left behind.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import shown
from zstruct.batch.packed import PackedBatch
from zstruct.errors import ArgumentTypeError
from zstruct.keywords import keywords
from zstruct.schema import Field
from zstruct.transforms.kernels import mirrors, rotations, turn_tensors, turn_vectors
from zstruct.transforms.random_streams import seed_of
from zstruct.transforms.subset import indices, on_some, probability
from zstruct.transforms.transform import Transform, flat
from zstruct.voigt import VOIGT_OF_FULL

__all__ = ["RandomReflection", "RandomRotation", "Turning", "turn_all", "turning"]

Turning = Literal["scalar", "vector", "axial", "rows", "rank2", "voigt"]

# What batches have beyond fields. Features are of scalars; their derivatives are vectors.
_BESIDE: dict[str, Turning] = {"features": "scalar", "edge_vec": "vector", "deriv_values": "vector"}
_BESIDE |= {"edge_shift": "scalar", "edge_dist": "scalar", "stale": "scalar"}
_SHAPES: dict[str, tuple[int, ...]] = {"vector": (3,), "axial": (3,), "rows": (3, 3), "rank2": (3, 3)}
_SHAPES["voigt"] = (6,)
# For each component of a matrix, where the tensor has it: in full, or as xx yy zz yz xz xy.
_PLACES = {"rank2": np.arange(9).reshape(3, 3), "voigt": VOIGT_OF_FULL}


@keywords()
@dataclass(frozen=True, eq=False)
class RandomRotation(Transform):
    """Rotates each structure about the origin, uniformly at random, with all that turns with it.

    What turns: vectors (positions, forces, velocities, dipole, lattice vectors, ...), tensors
    (stress, virial, polarizability), ``edge_vec``, and ``deriv_values``, the derivatives of features,
    which must not depend on the orientation themselves. What does not: scalars, features,
    ``edge_shift``, and collinear magnetic moments, which point along an axis of spin, not of space.

    Parameters
    ----------
    seed
        Chooses the rotations, with the epoch and the index of the structure.
    rotates
        How fields turn that the field table does not know: ``"vector"``, ``"axial"`` (a vector that
        a mirror image does not flip along, such as an angular momentum), ``"rank2"`` (3x3),
        ``"rows"`` (3x3, each row a vector), ``"voigt"`` (six values as xx yy zz yz xz xy), or
        ``"scalar"``. Unknown fields of other shapes than (3,) and (3, 3) stay as they are.
    p
        The probability that a structure is rotated.

    Raises
    ------
    ValueError
        If there is a field of three or 3x3 numbers of which nobody said how it turns, or `rotates`
        says what nothing does.

    Examples
    --------
    >>> pair = {"numbers": np.array([1, 1]), "positions": np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.7]])}
    >>> turned = RandomRotation(seed=1)(pair)["positions"]
    >>> bool(turned[1, 2] == 0.7), float(np.linalg.norm(turned[1] - turned[0]).round(12))
    (False, 0.7)
    """

    seed: int = 0
    rotates: Mapping[str, Turning] = field(default_factory=dict)
    p: float = 1.0
    _alone = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", seed_of(self.seed))
        object.__setattr__(self, "p", probability(self.p))
        _check_ways(self.rotates)

    def on_batch(self, batch: PackedBatch, epoch: int = 0) -> PackedBatch:
        """Rotate structures; see `Transform.on_batch`."""
        stream = self._stream(self.seed, epoch, "p")
        return on_some(batch, self.p, stream, lambda part: self._rotate(part, epoch))

    def _rotate(self, batch: PackedBatch, epoch: int) -> PackedBatch:
        matrices = np.empty((len(batch), 3, 3))
        rotations(indices(batch), self._stream(self.seed, epoch), matrices)
        return turn_all(self, batch, matrices)

    def _check(self, fields: Mapping[str, Field], extras: Collection[str]) -> None:
        _check_turning(self, fields)


@keywords()
@dataclass(frozen=True, eq=False)
class RandomReflection(Transform):
    """Mirrors structures in a random plane through the origin, with all that turns with them.

    With `RandomRotation`, it makes rotations and rotoreflections, all of O(3). Magnetic moments that
    are vectors are axial, as angular momenta are: their mirror image is flipped once more. Energies
    of molecules that are their own mirror image's do not change; a chiral molecule becomes its
    enantiomer.

    Parameters
    ----------
    p
        The probability that a structure is mirrored.
    seed, rotates
        As for `RandomRotation`.

    Raises
    ------
    ValueError
        If there is a field of three or 3x3 numbers of which nobody said how it turns, or if `p` is no
        probability.

    Examples
    --------
    >>> atom = {"positions": np.array([[0.0, 0.0, 1.0]]), "magmoms": np.array([[0.0, 0.0, 1.0]])}
    >>> mirrored = RandomReflection(p=1.0)(atom)
    >>> np.allclose(mirrored["positions"], -mirrored["magmoms"])
    True
    """

    p: float = 0.5
    seed: int = 0
    rotates: Mapping[str, Turning] = field(default_factory=dict)
    _alone = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "p", probability(self.p))
        object.__setattr__(self, "seed", seed_of(self.seed))
        _check_ways(self.rotates)

    def on_batch(self, batch: PackedBatch, epoch: int = 0) -> PackedBatch:
        """Mirror some structures; see `Transform.on_batch`."""
        matrices = np.empty((len(batch), 3, 3))
        mirrors(indices(batch), self._stream(self.seed, epoch), self.p, matrices)
        return turn_all(self, batch, matrices)

    def _check(self, fields: Mapping[str, Field], extras: Collection[str]) -> None:
        _check_turning(self, fields)


def turn_all(
    transform: RandomRotation | RandomReflection,
    batch: PackedBatch,
    matrices: NDArray[np.float64],
    but: Collection[str] = (),
) -> PackedBatch:
    """Apply a matrix to all that turns, in place, but to some columns."""
    each = np.arange(len(batch) + 1)
    for name in batch.columns.keys() - but if but else batch.columns:
        _apply(transform, batch.columns, name, batch.offsets if name in batch.per_atom else each, matrices)
    for pairs in batch.pairs:
        for name in pairs.columns:
            _apply(transform, pairs.columns, name, pairs.offsets, matrices)
    return batch


def _apply(
    transform: RandomRotation | RandomReflection,
    columns: dict[str, NDArray[Any]],
    name: str,
    edges: NDArray[np.int64],
    matrices: NDArray[np.float64],
) -> None:
    """Apply the matrix of each structure to its rows of a column, if they turn."""
    column = columns[name]
    if column.dtype.kind != "f":
        return
    how = turning(transform, name, column.shape[1:])
    if how == "scalar" or column.size == 0:
        return
    values = flat(columns, name)
    if how in _PLACES:
        turn_tensors(values, edges, values.size // len(column), _PLACES[how], matrices)
        return
    if how == "axial":
        matrices = matrices * np.linalg.det(matrices)[:, None, None]
    turn_vectors(values, edges, values.size // (3 * len(column)), matrices)


def turning(transform: RandomRotation | RandomReflection, name: str, shape: tuple[int, ...]) -> Turning:
    """Return how a floating-point field turns."""
    how = transform.rotates.get(name) or _BESIDE.get(name) or _known(transform._fields.get(name), shape)
    if how is None:
        if shape in ((3,), (3, 3)):
            raise ValueError(
                f"{type(transform).__name__} can't know how {name} turns, which is {shape} for each: say so "
                f"with rotates={{{name!r}: {'vector' if shape == (3,) else 'rank2'!r}}}, or 'scalar' if it "
                "does not, or leave it out"
            )
        return "scalar"
    if _SHAPES.get(how, shape) != shape and name not in _BESIDE:
        fits = [repr(other) for other, wanted in _SHAPES.items() if wanted == shape]
        raise ValueError(
            f"{name} can't turn as {how!r}, which has the shape {_SHAPES[how]}: it is {shape} for each, "
            f"so rotates={{{name!r}: ...}} has to be {', '.join([*fits, repr('scalar')])}"
        )
    return how


def _check_ways(rotates: Mapping[str, Turning]) -> None:
    """Raise if a field is to turn as nothing does."""
    ways = get_args(Turning)
    if not isinstance(rotates, Mapping):
        raise ArgumentTypeError(f"rotates is a mapping of fields to ways to turn, not {shown(rotates)}")
    for name, how in rotates.items():
        if how not in ways:
            raise ValueError(f"rotates={{{name!r}: {how!r}}}: fields turn as {', '.join(map(repr, ways))}")


def _known(known: Field | None, shape: tuple[int, ...]) -> Turning | None:
    """Return how a field turns by its row in the field table, if that says so."""
    if known is None:
        return None
    rule = "vector" if known.or_vector and shape == (3,) else known.rotates
    if rule == "none":
        return None if known.kind == "float" else "scalar"  # flags with gaps, such as pbc, are floats, too
    # Magnetic moments are the only axial vectors of the table.
    return "axial" if rule == "vector" and known.unit == "mu_B" else rule


def _check_turning(transform: RandomRotation | RandomReflection, fields: Mapping[str, Field]) -> None:
    """Raise if a field can't be turned."""
    if unknown := [name for name in transform.rotates if name not in fields]:
        raise ValueError(f"rotates names {', '.join(unknown)}, but batches have only {', '.join(fields)}")
    for name, known in fields.items():
        if known.kind == "float":
            turning(transform, name, known.shape)
        elif name in transform.rotates:
            raise ValueError(f"{name} can't turn: it holds {known.kind} values")
