"""The batches that PhysNet in mmml trains on: padded molecules with all pairs of their rows.

With ``as_numpy=True`` they are NumPy arrays for JAX, and torch is not loaded. Nothing here knows
of stores.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.batch.pack import Batch, Samples, no_pairs, no_ragged, pack
from zstruct.batch.tensors import converter
from zstruct.keywords import keywords
from zstruct.layouts.conversion import in_single
from zstruct.layouts.padding import real_pairs, real_rows, rectangle, rows_of

__all__ = ["physnet"]

_NAMES = {
    "numbers": "Z",
    "positions": "R",
    "forces": "F",
    "energy": "E",
    "total_charge": "Qtot",
    "dipole": "D",
}
_OWN = ("N", "structure", "dst_idx", "src_idx", "batch_segments", "batch_mask", "atom_mask")
_INT32 = np.dtype(np.int32)
_LIKE = "positions"  # charges that nobody gave are numbers of the same kind

#: Pairs by the number of rows, for the most structures that were in a batch; and what they may take.
_kept: dict[int, NDArray[np.int32]] = {}
_KEPT_BYTES = 64 << 20


@keywords()
def physnet(
    samples: Samples,
    num_atoms: int | None = None,
    *,
    legacy: bool = False,
    as_numpy: bool = False,
    per_atom: Collection[str] = (),
) -> Batch:
    """Join structures into the batches of PhysNet in mmml: padded rows, flattened, with all their pairs.

    What ``prepare_batches_jit`` of mmml makes, with its order of pairs, that of
    ``e3x.ops.sparse_pairwise_indices``.

    Parameters
    ----------
    samples
        A `PackedBatch`, or a sequence of samples: mappings of tensors or arrays.
    num_atoms
        Rows for each structure, A; by default those of the largest structure of the batch. Fix it
        where a change of shapes means compiling again.
    legacy
        Whether to return the form of mmml's ``PackedMemmapLoader``: without flattening, and with
        pairs of one molecule.
    as_numpy
        Whether to return NumPy arrays instead of tensors, say for JAX; torch is not loaded then.
        The indices of pairs are read-only then: batches share them.
    per_atom
        Names with a row per atom, beside those that are known to have one (see `layouts.graph`).

    Returns
    -------
    dict of str to torch.Tensor or numpy.ndarray
        For B structures, the numbers as int32, energies in the dtype of the positions unless the
        dataset was given a `dtype` for them, everything else in the dtype that the dataset gives it:

        * ``Z`` (B*A,), ``R`` and ``F`` (B*A, 3), ``E`` (B, 1), ``Qtot`` (B,), ``D`` (B, 3), of the
          fields ``numbers``, ``positions``, ``forces``, ``energy``, ``total_charge`` and
          ``dipole``, those of them that the samples have, and ``Qtot`` in any case: zero for
          structures without a charge. Other fields by their own names, (B*A, ...) or (B, ...).
          Padding is zero. Units are those of the samples.
        * ``N`` (B,), the atoms of each structure, int32; ``structure`` (B,), their indices in the
          store where known, int64.
        * ``dst_idx`` and ``src_idx`` (B*A*(A-1),), int32: all pairs of different rows of the same
          structure, both ways.
        * ``batch_segments`` (B*A,), the structure of each row; ``atom_mask`` (B*A,), 1 for real
          atoms; ``batch_mask`` (B*A*(A-1),), 1 for pairs of two real atoms; all int32.

        With `legacy`: ``Z`` (B, A), ``R`` and ``F`` (B, A, 3), ``E`` (B,), others (B, A, ...) and
        (B, ...), ``N``, ``structure``, ``batch_segments``, and ``dst_idx`` and ``src_idx``
        (A*(A-1),), the same for every structure; no masks.

    Raises
    ------
    ValueError
        If a structure has more than `num_atoms` atoms, if there is no sample, if samples differ in
        their fields or shapes, if a field has a name that the batch needs, or if samples have
        pairs of atoms, which this layout has of its own.

    Examples
    --------
    >>> batch = physnet([{"numbers": [8, 1, 1]}, {"numbers": [1, 1]}], as_numpy=True)
    >>> batch["Z"]
    array([8, 1, 1, 1, 1, 0], dtype=int32)
    >>> batch["dst_idx"]
    array([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5], dtype=int32)
    >>> batch["src_idx"]
    array([1, 2, 0, 2, 0, 1, 4, 5, 3, 5, 3, 4], dtype=int32)
    >>> batch["batch_mask"]
    array([1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 0, 0], dtype=int32)
    """
    packed = in_single(pack(samples, per_atom))
    no_pairs(packed, "physnet")
    no_ragged(packed, "physnet")
    n, rows = len(packed), rows_of(packed, num_atoms)
    taken = [name for name in packed.columns if name in _NAMES.values() or name in _OWN]
    if taken:
        raise ValueError(
            f"the field {taken[0]!r} has a name that physnet batches use themselves; "
            "choose the fields to load without it (fields=...)"
        )
    arrays: dict[str, NDArray[Any]] = {}
    for name, column in packed.columns.items():
        wanted = column.astype(_INT32) if name == "numbers" else column
        if name in packed.per_atom:
            wanted = rectangle(wanted, packed.offsets, rows)
            if not legacy:
                wanted = wanted.reshape(n * rows, *column.shape[1:])
        arrays[_NAMES.get(name, name)] = wanted
    if not legacy and "E" in arrays:
        arrays["E"] = arrays["E"].reshape(n, 1)
    charges = arrays.get(
        "Qtot", np.zeros(n, packed.columns[_LIKE].dtype if _LIKE in packed.columns else "f4")
    )
    arrays["Qtot"] = np.where(np.isnan(charges), charges.dtype.type(0), charges)
    arrays["N"] = packed.n_atoms.astype(_INT32)
    if packed.structures is not None:
        arrays["structure"] = packed.structures
    pairs = _all_pairs(1 if legacy else n, rows)
    # JAX copies them to the device; tensors are the user's, to be changed at will.
    arrays["dst_idx"], arrays["src_idx"] = pairs if as_numpy else pairs.copy()
    arrays["batch_segments"] = np.repeat(np.arange(n, dtype=_INT32), rows)
    if not legacy:
        arrays["batch_mask"] = real_pairs(packed.n_atoms, rows).reshape(-1)
        arrays["atom_mask"] = real_rows(packed.n_atoms, rows).astype(_INT32).reshape(-1)
    made = converter(as_numpy)
    return {name: made(array) for name, array in arrays.items()}


def _all_pairs(n: int, n_rows: int) -> NDArray[np.int32]:
    """Return all pairs of different rows of each of `n` structures, (2, pairs), read-only.

    They depend on nothing else, so they are kept, and a batch of fewer structures has the first of them.
    """
    size = n * n_rows * (n_rows - 1)
    kept = _kept.get(n_rows)
    if kept is None or kept.shape[1] < size:
        rows = np.arange(n_rows, dtype=_INT32)
        one = np.stack([np.repeat(rows, n_rows), np.tile(rows, n_rows)])
        one = one[:, one[0] != one[1]]
        first = np.arange(n, dtype=_INT32)[:, None] * _INT32.type(n_rows)
        kept = (one[:, None] + first).reshape(2, size)
        kept.flags.writeable = False
        # No lock, which a worker process might inherit: at worst, threads make the same pairs twice.
        if sum(pairs.nbytes for pairs in list(_kept.values())) + kept.nbytes > _KEPT_BYTES:
            _kept.clear()
        if kept.nbytes <= _KEPT_BYTES:
            _kept[n_rows] = kept
    return kept[:, :size]
