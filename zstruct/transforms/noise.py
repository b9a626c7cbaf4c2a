"""`AddNoise`: atoms shaken at random, with labels that no longer hold marked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zstruct.arguments import names, real
from zstruct.batch.packed import PackedBatch
from zstruct.keywords import keywords
from zstruct.schema import Field
from zstruct.transforms.kernels import add_normal
from zstruct.transforms.random_streams import seed_of
from zstruct.transforms.subset import indices, on_some, probability
from zstruct.transforms.transform import Transform, column_of, flat

__all__ = ["AddNoise"]

_MOVES = frozenset({"positions", "cell"})


@keywords()
@dataclass(frozen=True, eq=False)
class AddNoise(Transform):
    """Adds normal noise to positions, or to other fields.

    Energies, forces and other labels do not belong to atoms that were moved: a boolean column
    ``stale``, shape (n,), says so, for models that learn to undo the noise or losses that leave
    such structures out. Features and edges would not belong to them either, so these are refused.

    Parameters
    ----------
    std
        Standard deviation of each value, in the unit of the field: angstrom for positions.
    fields
        The fields to add noise to.
    seed
        Chooses the noise, with the epoch and the index of the structure.
    p
        The probability that noise is added to a structure; ``stale`` is false for the others.

    Raises
    ------
    ValueError
        If `std` is negative, if a field is not there or has no floating-point numbers, or if there
        are features or edges.

    Examples
    --------
    >>> import numpy as np
    >>> moved = AddNoise(0.1, seed=1)({"positions": np.zeros((1000, 3))})
    >>> float(moved["positions"].std().round(2)), moved["stale"]
    (0.1, array(True))
    """

    std: float
    fields: Sequence[str] = ("positions",)
    seed: int = 0
    p: float = 1.0
    _alone = True

    def __post_init__(self) -> None:
        fields = names("fields", self.fields)
        object.__setattr__(self, "seed", seed_of(self.seed))
        object.__setattr__(self, "p", probability(self.p))
        std = real("std", self.std)
        if std is None or not 0.0 <= std < float("inf"):
            raise ValueError(f"std is the width of the noise, not negative, not {self.std}")
        object.__setattr__(self, "fields", tuple(dict.fromkeys(fields)))

    def on_batch(self, batch: PackedBatch, epoch: int = 0) -> PackedBatch:
        """Add noise to structures; see `Transform.on_batch`."""
        stream = self._stream(self.seed, epoch, "p")
        return on_some(batch, self.p, stream, lambda part: self._shake(part, epoch))

    def _shake(self, batch: PackedBatch, epoch: int) -> PackedBatch:
        extras = [name for p in batch.pairs for name in (p.name, *p.columns)]
        extras += [rows.name for rows in batch.ragged]
        self._refuse([*extras, *(["features"] if "features" in batch.columns else [])])
        for name in self.fields:
            column = column_of(self, batch, name)
            if column.dtype.kind != "f":
                raise ValueError(f"AddNoise adds to floating-point numbers, but {name} has {column.dtype}")
            if column.size == 0:
                continue
            edges = batch.offsets if name in batch.per_atom else np.arange(len(batch) + 1)
            values = flat(batch.columns, name)
            noise = values if values.dtype == np.float32 else np.zeros(values.size, np.float32)
            width, key = values.size // len(column), self._stream(self.seed, epoch, name)
            add_normal(noise, edges, width, indices(batch), key, float(self.std))
            if noise is not values:
                values += noise
        return self.mark(batch)

    def mark(self, batch: PackedBatch) -> PackedBatch:
        """Say in a batch that its labels are stale, if they are after this."""
        if not _MOVES.isdisjoint(self.fields):
            stale = np.empty(len(batch), np.bool_)
            stale.fill(True)  # takes half the time of ones()
            batch.columns["stale"] = stale
        return batch

    def _check(self, fields: Mapping[str, Field], extras: Collection[str]) -> None:
        self._refuse(extras)
        for name in self.fields:
            if name not in fields:
                raise ValueError(f"AddNoise needs {name}, but batches have only {', '.join(fields)}")
            if fields[name].kind != "float":
                raise ValueError(
                    f"AddNoise adds to floating-point numbers, but {name} has {fields[name].kind}"
                )

    def _refuse(self, extras: Collection[str]) -> None:
        if extras and not _MOVES.isdisjoint(self.fields):
            raise ValueError(
                f"AddNoise moves atoms, and {', '.join(extras)} would still be those of where they were: "
                "leave these out and compute them from the batch, or store a data set with the noise in it"
            )
