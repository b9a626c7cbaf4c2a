"""Descriptors as differentiable functions of torch tensors, so that potentials can be trained through them.

Torch sees features as a function of the vectors between neighbours, and these as a linear function of
positions and cells. Both have derivatives by the kernels of the descriptor, to second order, as a loss
of forces needs. This is the only module of features that imports torch; it knows no descriptor.
"""

# What calls autograd's functions has no types.
# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import MissingExtraError
from zstruct.features.descriptor import Descriptor, on_atoms
from zstruct.geometry.neighbors import Neighbors
from zstruct.geometry.pieces import in_threads, visit
from zstruct.geometry.structures import Structures

try:
    import torch
    from torch import Tensor
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise MissingExtraError(
        'features of tensors need torch, which is not installed: pip install "zstruct[torch]"'
    ) from error

__all__ = ["descriptor_values"]


def descriptor_values(
    descriptor: Descriptor, batch: Mapping[str, Any], strain: Tensor | None = None
) -> Tensor:
    """Return the features of all atoms of a batch, differentiable by positions, cells and strain.

    Twice differentiable, if the descriptor has `Descriptor.jvp` and `Descriptor.hvp`, so that a loss
    of forces or stresses has gradients. Computed in float64 on the processor, whatever the dtype and
    device of the positions. Neighbours are found once, and kept as long as the graph is; who is a
    neighbour has no derivative.

    Parameters
    ----------
    descriptor
        What to compute.
    batch
        A batch in the graph layout: tensors ``numbers`` (N,), ``positions`` (N, 3) in angstrom, and
        ``ptr`` (n + 1,), the row edges of the structures (without it, all atoms are one structure);
        ``cell`` (n, 3, 3) and ``pbc`` (n, 3) if anything is periodic.
    strain
        Deform positions and cells by ``r @ (1 + strain)``, shape (n, 3, 3), in general zeros that
        require a gradient: dE/dstrain over the volume is the stress.

    Returns
    -------
    torch.Tensor
        Features, shape (N, F), of the dtype and device of the positions.

    Raises
    ------
    InputError
        If a structure has an element that the descriptor does not know.
    ValueError
        If the tensors do not fit together.

    Examples
    --------
    >>> import torch
    >>> from zstruct.features.acsf import ACSF
    >>> acsf = ACSF(["H", "O"], r_cut=4.0, g2_params=[(1.0, 1.0)])
    >>> positions = torch.tensor([[0.0, 0, 0], [0, 0.8, -0.6], [0, -0.8, -0.6]], requires_grad=True)
    >>> batch = {"numbers": torch.tensor([8, 1, 1]), "positions": positions, "ptr": torch.tensor([0, 3])}
    >>> energy = (descriptor_values(acsf, batch) ** 2).sum()
    >>> (force,) = torch.autograd.grad(-energy, positions, create_graph=True)
    >>> force.shape
    torch.Size([3, 3])
    """
    given = batch["positions"]
    if not given.is_floating_point():
        raise ValueError(f"positions are floating-point numbers, as features will be, not {given.dtype}")
    positions = given.to("cpu", torch.float64)
    numbers = torch.as_tensor(batch["numbers"])
    ptr = torch.as_tensor(batch.get("ptr", [0, len(numbers)])).cpu()
    n = len(ptr) - 1
    cells, pbc = batch.get("cell"), batch.get("pbc")
    if cells is None:
        cells = torch.zeros(n, 3, 3)
    # A structure without a cell has NaN there, in the batches of a dataset.
    cells = torch.nan_to_num(torch.as_tensor(cells).to("cpu", torch.float64).reshape(-1, 3, 3))
    if strain is not None:
        if strain.shape != (n, 3, 3):
            raise ValueError(f"strain of {n} structures has shape {tuple(strain.shape)}, not {(n, 3, 3)}")
        deform = strain.to("cpu", torch.float64)
        owners = torch.repeat_interleave(torch.arange(n), ptr[1:] - ptr[:-1])
        positions = positions + (positions[:, None, :] @ deform[owners])[:, 0]
        cells = cells + cells @ deform
    structures = Structures.of_arrays(
        ptr.numpy(),
        numbers.cpu().numpy(),
        positions.detach().numpy(),
        cells.detach().numpy(),
        None if pbc is None else torch.as_tensor(pbc).cpu().numpy().reshape(-1, 3),
    )
    wanted = torch.is_grad_enabled() and (positions.requires_grad or cells.requires_grad)
    if wanted and structures.n_atoms:
        pairs, values = _search(descriptor, structures)
        features = _Features.apply(_Vectors.apply(positions, cells, pairs, True), pairs, values)
    else:
        features = torch.from_numpy(descriptor.compute(structures))
        if wanted:  # no atoms, but a loss of them has a gradient like any other
            features = features + positions.sum()
    return features.to(given.device, given.dtype)


@dataclass(frozen=True, eq=False)
class _Piece:
    """The neighbours of some atoms, each as an atom of its own.

    Derivatives by the positions of these are derivatives by the vectors of pairs.
    """

    structures: Structures
    neighbors: Neighbors

    @classmethod
    def of(cls, structures: Structures, neighbors: Neighbors) -> _Piece:
        m, p = len(neighbors), neighbors.n_pairs
        rows = np.append(np.arange(neighbors.start, neighbors.start + m), neighbors.indices)
        apart = Structures(
            np.array([0, m + p]),
            structures.numbers[rows],
            np.concatenate([np.zeros((m, 3)), neighbors.vectors]),
            np.zeros((1, 3, 3)),
            np.zeros((1, 3), np.bool_),
        )
        return cls(
            apart,
            Neighbors(
                0,
                neighbors.offsets,
                np.arange(m, m + p),
                np.zeros((p, 3), np.int32),
                neighbors.vectors,
                neighbors.distances,
            ),
        )


@dataclass(frozen=True, eq=False)
class _Pairs:
    """All pairs of a batch: the rows of both atoms, shifts between them, and pieces to work on."""

    descriptor: Descriptor
    n_atoms: int
    pieces: list[_Piece]
    centres: NDArray[np.int64]
    indices: NDArray[np.int64]
    shifts: NDArray[np.int32]
    edges: NDArray[np.int64]  # of the pairs of structures, shape (n + 1,)
    periodic: list[int]  # structures

    def differences(self, positions: NDArray[Any], cells: NDArray[Any]) -> NDArray[np.float64]:
        """Return what positions and cells say between the atoms of all pairs, shape (P, 3)."""
        out = np.take(positions, self.indices, axis=0)
        out -= np.take(positions, self.centres, axis=0)
        for s in self.periodic:
            pairs = slice(self.edges[s], self.edges[s + 1])
            out[pairs] += self.shifts[pairs] @ cells[s]
        return out

    def sums(self, pulls: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return what pulls (P, 3) come to at positions (N, 3) and cells (n, 3, 3): the transpose."""
        positions = on_atoms(pulls, self.centres, self.indices, self.n_atoms)
        cells = np.zeros((len(self.edges) - 1, 3, 3))
        for s in self.periodic:
            pairs = slice(self.edges[s], self.edges[s + 1])
            cells[s] = self.shifts[pairs].T @ pulls[pairs]
        return positions, cells

    def each(self, function: Callable[[_Piece, slice, slice], None]) -> None:
        """Call a function with each piece, its atoms and its pairs, by threads."""
        atoms = np.cumsum([0, *(len(piece.neighbors) for piece in self.pieces)]).tolist()
        pairs = np.cumsum([0, *(piece.neighbors.n_pairs for piece in self.pieces)]).tolist()
        work = list(zip(self.pieces, map(slice, atoms, atoms[1:]), map(slice, pairs, pairs[1:]), strict=True))
        in_threads(lambda one: function(*one), work)


def _search(descriptor: Descriptor, structures: Structures) -> tuple[_Pairs, NDArray[np.float64]]:
    """Return the pairs of all atoms, and the features."""

    def look(row: int, part: Structures, near: Neighbors) -> tuple[Any, ...]:
        values = descriptor.values(part, near)
        return _Piece.of(part, near), near.centres + row, near.indices + row, near.shifts, values

    pieces, *columns = zip(*visit(look, structures, descriptor.cutoff), strict=True)
    centres, indices, shifts, values = map(np.concatenate, columns)
    return (
        _Pairs(
            descriptor,
            structures.n_atoms,
            list(pieces),
            centres,
            indices,
            shifts,
            np.searchsorted(centres, structures.offsets),
            np.flatnonzero(structures.pbc.any(axis=1)).tolist(),
        ),
        values,
    )


class _Vectors(torch.autograd.Function):
    """Positions (N, 3) and cells (n, 3, 3) to vectors of pairs (P, 3): linear; `_Sums` is its transpose."""

    @staticmethod
    def forward(ctx: Any, positions: Tensor, cells: Tensor, pairs: _Pairs, known: bool = False) -> Tensor:
        ctx.pairs = pairs
        if known:
            # The pieces have the vectors, so that in the graph something of their shape will do.
            return positions.new_zeros(()).expand(len(pairs.indices), 3)
        return torch.from_numpy(pairs.differences(positions.numpy(), cells.numpy()))

    @staticmethod
    def backward(ctx: Any, pulls: Tensor) -> Any:
        return *_Sums.apply(pulls, ctx.pairs), None, None


class _Sums(torch.autograd.Function):
    """Pulls of pairs (P, 3) to those on positions (N, 3) and cells (n, 3, 3)."""

    @staticmethod
    def forward(ctx: Any, pulls: Tensor, pairs: _Pairs) -> tuple[Tensor, Tensor]:
        ctx.pairs = pairs
        positions, cells = pairs.sums(pulls.numpy())
        return torch.from_numpy(positions), torch.from_numpy(cells)

    @staticmethod
    def backward(ctx: Any, positions: Tensor, cells: Tensor) -> Any:
        return _Vectors.apply(positions, cells, ctx.pairs), None


class _Features(torch.autograd.Function):
    """Vectors of pairs (P, 3) to features (N, F), which the search has computed."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, pairs: _Pairs, values: NDArray[Any]) -> Tensor:
        ctx.pairs = pairs
        ctx.save_for_backward(vectors)
        return torch.from_numpy(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return _Gradient.apply(gradient, *ctx.saved_tensors, ctx.pairs), None, None


class _Gradient(torch.autograd.Function):
    """dE/dG (N, F) and vectors of pairs to dE/dr_ij (P, 3)."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, vectors: Tensor, pairs: _Pairs) -> Tensor:
        ctx.pairs = pairs
        ctx.save_for_backward(gradient)
        weights, pulls = gradient.contiguous().numpy(), np.empty(tuple(vectors.shape))

        def pull(piece: _Piece, atoms: slice, of: slice) -> None:
            out = np.zeros((piece.structures.n_atoms, 3))
            unused = np.zeros((1, 3, 3))
            pairs.descriptor.vjp(piece.structures, piece.neighbors, weights[atoms], out, unused)
            pulls[of] = out[len(piece.neighbors) :]

        pairs.each(pull)
        return torch.from_numpy(pulls)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, tangents: Tensor) -> Any:
        pairs, (gradient,) = ctx.pairs, ctx.saved_tensors
        weights, along = gradient.contiguous().numpy(), tangents.numpy()
        features, pulls = np.zeros(weights.shape), np.zeros(along.shape)

        def change(piece: _Piece, atoms: slice, of: slice) -> None:
            m = len(piece.neighbors)
            moves = np.concatenate([np.zeros((m, 3)), along[of]])
            out = np.zeros(moves.shape)
            features[atoms] = pairs.descriptor.jvp_and_hvp(
                piece.structures, piece.neighbors, weights[atoms], moves, out
            )
            pulls[of] = out[m:]

        pairs.each(change)
        return torch.from_numpy(features), torch.from_numpy(pulls), None
