"""`MixturePipeline`: batches of structures of several stores, each made as its own recipe says.

One kernel gathers a batch from all stores at once, and what all of them ask for is done to all structures at
once, where it depends on nothing but a structure. Where more is done, or a block is yet to be decoded, each
store makes its part of the batch, and the parts are put together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.batch.origin import Origin
from zstruct.batch.packed import PackedBatch
from zstruct.batch.union import Column, Columns, Union, mask_of
from zstruct.errors import InputError
from zstruct.loading.completion import Completion
from zstruct.loading.forces import USED
from zstruct.loading.gather.interleaved import Piece, interleaved
from zstruct.loading.gather.mixed import HEAD, MixedGather, Source
from zstruct.loading.indices import out_of_range
from zstruct.loading.mixture.parts import Part
from zstruct.schema import ATOM, FIELDS, STRUCTURE, Field
from zstruct.stats.references import ReferencesOfEach
from zstruct.transforms.cast_units import CastUnits

__all__ = ["MixturePipeline"]


class MixturePipeline:
    """Makes batches of structures of several stores.

    Parameters
    ----------
    parts
        The parts.
    heads
        The names of the heads; none: structures have their own.
    said
        Whether somebody said them: layouts go by their names then.

    Raises
    ------
    InputError
        If fields of one name can't be one, or if something that is no field is not there in all parts.

    Attributes
    ----------
    edges
        Of the parts in the structures of all, shape (n_parts + 1,).
    firsts
        The number of the first structure of each store, were all stores one, shape (n_parts + 1,).
    union
        The columns of batches.
    heads
        The names that the column ``head`` counts.
    """

    def __init__(self, parts: Sequence[Part], heads: Sequence[str], said: bool):
        self._parts = list(parts)
        self._readers = [part.reader for part in parts]
        self.edges = _sums(len(reader) for reader in self._readers)
        self.firsts = _sums(reader.store.n_structures for reader in self._readers)
        _check_alike(parts)
        _check_units(parts)
        self.union = Union.of(self._columns())
        self.heads = tuple(heads) or tuple(self.union.texts[HEAD])
        self._codes = [None if part.head is None else self.heads.index(part.head) for part in parts]
        self._said = said
        self.origin: Origin = _Origin(self, [part.name for part in parts], self.heads if said else ())
        # What functions make of a structure is known once they have made it.
        self._settled = not any(reader.pipeline.changes for reader in self._readers)
        pipelines = [reader.pipeline for reader in self._readers]
        # Those of each part, by the energies that they are subtracted from.
        self._references = {
            name: ReferencesOfEach([p.references if name in p.referenced else None for p in pipelines])
            for name in dict.fromkeys(name for pipeline in pipelines for name in pipeline.referenced)
        }
        self._completion: Completion | None = None
        self._gather = self._at_once()

    def with_parts(self, parts: Sequence[Part]) -> MixturePipeline:
        """Return what makes batches of other structures of the same stores."""
        return MixturePipeline(parts, self.heads if self._codes[0] is not None else (), self._said)

    def _columns(self) -> list[Columns]:
        """Return the columns of the batches of each part, as far as they are known."""
        found = [reader.pipeline.columns() for reader in self._readers]
        with_policy = any(reader.policy is not None for reader in self._readers)
        used = {USED: Column(STRUCTURE, np.dtype(np.bool_), ())} if with_policy else {}
        return [
            Columns(part.name, {**c.columns, **used}, c.masked, c.wide, c.texts)
            for part, c in zip(self._parts, found, strict=True)
        ]

    @property
    def names(self) -> list[str]:
        """All columns of batches, masks too, in order."""
        head = [HEAD] if self._codes[0] is not None else []
        masks = [mask_of(name) for name in self.union.columns if name in self.union.masked]
        return [*self.union.columns, *head, *masks]

    def _at_once(self) -> MixedGather | None:
        """Return what gathers from all stores by one call, if all is then done to all structures at once."""
        pipelines = [reader.pipeline for reader in self._readers]
        with_policy = any(reader.policy is not None for reader in self._readers)
        if with_policy or any(pipeline.calls for pipeline in pipelines):
            return None
        gathered = [pipeline.gathered() for pipeline in pipelines]
        if any(pipeline.transform is not None for pipeline in pipelines) and not _turn_alike(gathered):
            return None
        union = Union.of([replace(c, name=part.name) for part, c in zip(self._parts, gathered, strict=True)])
        first, *others = (pipeline.completion for pipeline in pipelines)
        self._completion = first.for_all(
            others,
            {name: column.field for name, column in union.columns.items() if column.field is not None},
            {name: self.union.columns[name].dtype for name in self._references},
            lambda name: all(
                pipeline.copies_float32(name) for pipeline in pipelines if name in pipeline.gather.dtypes
            ),
        )
        if self._completion is None:
            return None
        sources = [
            Source(reader.pipeline.gather, reader.rows, int(first), code)
            for reader, first, code in zip(self._readers, self.firsts, self._codes, strict=False)
        ]
        hidden = [name for name in union.columns if name not in self.union.columns]
        names = [name for name in self.names if name in union.columns or name not in self.union.columns]
        return MixedGather.of(sources, union, [*hidden, *names], self.origin)

    def __call__(
        self, positions: NDArray[np.int64], order: NDArray[np.int64] | None, epoch: Any
    ) -> PackedBatch:
        """Return a batch.

        Parameters
        ----------
        positions
            Which structures, each in ``range(-n, n)``, shape (n_wanted,).
        order
            What the positions count: places among the structures of all parts; None: these.
        epoch
            What random transforms and the choice of forces depend on; whatever becomes a whole number.

        Raises
        ------
        IndexError
            If a position is out of range.
        """
        gather, completion, epoch = self._gather, self._completion, int(epoch)
        if not self._settled:
            self._settle(epoch)
        if gather is None or completion is None:
            return self._by_parts(positions, order, epoch)
        writer = completion.writer(gather, epoch)
        found = gather(positions, order, writer)
        if found is None:
            return self._by_parts(positions, order, epoch)
        batch, whose, numbers = found
        for name, references in self._references.items():
            batch.columns[name] = references.subtract(
                whose, batch.columns["numbers"], batch.offsets, batch.columns[name]
            )
        batch = completion(batch, epoch, writer)
        if not completion.is_idle:
            batch.columns = {name: batch.columns[name] for name in self.names}
            batch.wide = self.union.wide
        batch.structures = numbers
        return batch

    def _by_parts(
        self, positions: NDArray[np.int64], order: NDArray[np.int64] | None, epoch: int
    ) -> PackedBatch:
        """Return a batch of which every part has made its own."""
        places = self.places(positions, order)
        whose = np.searchsorted(self.edges, places, side="right") - 1
        pieces, numbers = [], np.empty(len(places), np.int64)
        for k in np.unique(whose).tolist() or [0]:
            members = np.flatnonzero(whose == k)
            batch = self._of_part(k, places[members] - self.edges[k], self._readers[k].rows, epoch)
            columns = self.union.adapted(k, batch.columns, len(batch), int(batch.offsets[-1]))
            assert batch.structures is not None
            numbers[members] = batch.structures + self.firsts[k]
            pieces.append(Piece(members, batch, columns))
        per_atom = {name for name, column in self.union.columns.items() if column.level == ATOM}
        made = interleaved(pieces, len(places), per_atom)
        made.structures, made.wide, made.origin = numbers, self.union.wide, self.origin
        if self._codes[0] is not None:
            made.columns[HEAD] = np.array(self._codes, np.int64)[whose]
        made.columns = {name: made.columns[name] for name in self.names}
        return made

    def _of_part(
        self, k: int, positions: NDArray[np.int64], rows: NDArray[np.int64] | None, epoch: int
    ) -> PackedBatch:
        reader = self._readers[k]
        batch = reader.pipeline(positions, rows, epoch, reader.policy)
        if USED in self.union.columns and USED not in batch.columns:  # those of all that have some
            has = np.full(len(batch), "forces" in batch.columns)
            batch.columns[USED] = batch.columns.get(mask_of("forces"), has).copy()
        return batch

    def _settle(self, epoch: int) -> None:
        """Find out what functions do to the columns of batches, from one structure of each part."""
        found = self._columns()
        for k, reader in enumerate(self._readers):
            if reader.pipeline.changes and reader.store.n_structures:
                # Any structure of the store: there may be none that counts.
                batch = self._of_part(k, np.zeros(1, np.int64), reader.rows if len(reader) else None, epoch)
                made = Columns.of(reader.pipeline.gather.origin, batch.columns, batch.per_atom, batch.wide)
                found[k] = replace(made, name=self._parts[k].name)
        self.union, self._settled = Union.of(found), True

    def places(self, positions: NDArray[np.int64], order: NDArray[np.int64] | None) -> NDArray[np.int64]:
        """Return where structures are among those of all parts.

        Raises
        ------
        IndexError
            If a position is out of range.
        """
        n = int(self.edges[-1]) if order is None else len(order)
        bad = np.flatnonzero((positions < -n) | (positions >= n))
        if len(bad):
            raise out_of_range(int(positions[bad[0]]), n)
        positions = np.where(positions < 0, positions + n, positions)
        return positions if order is None else order[positions]

    def prefetch(self, places: NDArray[np.int64]) -> None:
        """Have what some structures need decoded by threads; return at once."""
        whose = np.searchsorted(self.edges, places, side="right") - 1
        for k in np.unique(whose).tolist():
            mine, rows = places[whose == k] - self.edges[k], self._readers[k].rows
            self._readers[k].pipeline.prefetch(mine if rows is None else rows[mine])

    def warm(self) -> None:
        """Load kernels and row edges, for workers to share."""
        for reader in self._readers:
            reader.pipeline.warm()
        if self._gather is not None:
            self._gather(np.empty(0, np.int64))


def _turn_alike(several: Sequence[Columns]) -> bool:
    """Return whether fields of one name turn as each other."""
    ways: dict[str, Any] = {}
    for columns in several:
        for name, column in columns.columns.items():
            known = column.field
            way = None if known is None else (known.kind, known.rotates, known.or_vector, known.unit)
            if ways.setdefault(name, way) != way:
                return False
    return True


class _Origin(Origin):
    """Where the structures of a mixture come from."""

    def __init__(self, pipeline: MixturePipeline, names: Sequence[str], heads: tuple[str, ...]):
        self.name = f"the mixture of {', '.join(names)}"
        self._pipeline, self._names, self.heads = pipeline, names, heads

    @property
    def fields(self) -> dict[str, Field]:
        """What is known of the fields."""
        columns = self._pipeline.union.columns
        return {name: column.field for name, column in columns.items() if column.field} | {HEAD: FIELDS[HEAD]}

    def texts(self, field: str) -> Sequence[str]:
        """Return the texts that the codes of a category stand for."""
        return self._pipeline.heads if field == HEAD else self._pipeline.union.texts[field]

    def words(self, structure: int) -> str:
        """Return the words for a structure, given by its number among those of all stores."""
        firsts = self._pipeline.firsts
        k = int(np.searchsorted(firsts, structure, side="right")) - 1
        return f"structure {structure - firsts[k]} of {self._names[k]}"


def _sums(lengths: Any) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(list(lengths))]).astype(np.int64)


def _check_alike(parts: Sequence[Part]) -> None:
    """Raise if what comes beside fields differs between parts, or is not there in all."""
    first, *others = parts
    kinds = [{} if p.reader.pipeline.extras is None else p.reader.pipeline.extras.kinds for p in parts]
    for part, kind in zip(others, kinds[1:], strict=True):
        for option in dict.fromkeys([*kinds[0], *kind]):
            one, other = kinds[0].get(option, "none"), kind.get(option, "none")
            if one != other:
                raise InputError(
                    f"{first.name} has {one}, and {part.name} has {other}: give the datasets of all parts "
                    f"the same {option}="
                )
        if part.reader.pipeline.with_atoms != first.reader.pipeline.with_atoms:
            raise InputError(
                f"'atoms' are among the fields of {first.name} or of {part.name}, and not of both: ask all "
                "parts for them, or none"
            )


def _check_units(parts: Sequence[Part]) -> None:
    """Raise if transforms give parts other units: nobody could tell which a value is in."""
    cast = [
        {name: unit for step in part.reader.pipeline.all_steps if isinstance(step, CastUnits)
         for name, unit in step.units.items()}
        for part in parts
    ]  # fmt: skip
    for part, units in zip(parts[1:], cast[1:], strict=True):
        if units != cast[0]:
            said = [f"{given or 'the units of the store'} in {name}" for given, name in (
                (cast[0], parts[0].name), (units, part.name))]  # fmt: skip
            raise InputError(
                f"CastUnits gives {said[0]}, and {said[1]}: give all parts the same units, or convert "
                "batches of the mixture"
            )
