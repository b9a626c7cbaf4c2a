"""`MixtureReader`: structures of several stores as packed NumPy batches, without torch.

It knows which structures of which part it has; `pipeline` makes batches of them, `proportions` says how much
of each part an epoch has. `dataset` makes it a dataset of torch.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zstruct.arguments import array_of
from zstruct.batch.packed import PackedBatch
from zstruct.errors import InputError, UnknownNameError
from zstruct.keywords import keywords, takes
from zstruct.loading.batch_reader import BatchReader
from zstruct.loading.cache.cache import BlockCache
from zstruct.loading.dataset_options import Forces
from zstruct.loading.gather.mixed import HEAD
from zstruct.loading.indices import position_of, positions_of
from zstruct.loading.lifetime import Closed
from zstruct.loading.mixture.description import line_of, page_of
from zstruct.loading.mixture.parts import parts_of, within_memory
from zstruct.loading.mixture.pipeline import MixturePipeline
from zstruct.loading.mixture.proportions import WINDOW, Proportions
from zstruct.loading.order.epoch_order import Mixed
from zstruct.loading.reader import StructureReader
from zstruct.query import Selection, asked
from zstruct.query import positions_of as places_of

__all__ = ["MixtureReader"]


class MixtureReader(BatchReader):
    """Structures of several stores as NumPy arrays: `Mixture` without torch, which explains mixtures.

    Parameters
    ----------
    parts
        As for `Mixture`; what is given as a path or a `Store` is opened as a `StructureReader`.
    weights, temperature, window, length
        As for `zstruct.loading.Proportions`.

    Examples
    --------
    >>> import tempfile, ase.build, zstruct
    >>> folder = tempfile.mkdtemp()
    >>> for name, formulas in (("pbe", ["H2O", "CO2"]), ("scan", ["CH4"])):
    ...     molecules = [ase.build.molecule(formula) for formula in formulas]
    ...     report = zstruct.build(molecules, f"{folder}/{name}.zarr", progress=False)
    >>> mixture = zstruct.MixtureReader({name: f"{folder}/{name}.zarr" for name in ("pbe", "scan")})
    >>> batch = mixture.take([2, 0])
    >>> batch.n_atoms, batch.columns["head"], mixture.heads
    (array([5, 3]), array([1, 0]), ('pbe', 'scan'))
    """

    #: Opens what is given as a path or a store.
    _opens: Callable[[Any], StructureReader] = StructureReader

    @takes(Proportions)
    def __init__(self, parts: Any, proportions: Proportions):
        """Put structures of several stores together.

        Parameters
        ----------
        parts
            As for the class.

        Raises
        ------
        InputError
            If fields of one name can't be one, if something that is no field is not there in all parts, if
            heads are said twice, or if proportions make no sense.
        UnknownNameError
            If a weight is of no part.
        ArgumentTypeError
            If something is of a type that makes no sense there.
        """
        found, heads, said = parts_of(parts, type(self)._opens)
        self._parts = within_memory(found)
        self._pipeline: Any = MixturePipeline(self._parts, heads, said)
        # Places of the structures among those of all parts; None: in that order.
        self._order: NDArray[np.int64] | None = None
        self.proportions = proportions
        self._check_proportions()
        self._epoch = self._new_epoch()

    @property
    def parts(self) -> tuple[StructureReader, ...]:
        """The structures of each part."""
        return tuple(part.reader for part in self._parts)

    @property
    def names(self) -> tuple[str, ...]:
        """What the parts are called, some perhaps the same."""
        return tuple(part.name for part in self._parts)

    @property
    def heads(self) -> tuple[str, ...]:
        """The names of the heads, in the order in which ``head`` counts them in batches."""
        return self._pipeline.heads

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a sample, without their masks."""
        columns = self._pipeline.union.columns
        return tuple(dict.fromkeys([*(n for n, column in columns.items() if column.field is not None), HEAD]))

    @property
    def structures(self) -> NDArray[np.int64]:
        """Which structures these are, were the structures of all stores one after the other, shape (n,).

        Batches have the same numbers; see `locate`.
        """
        firsts = self._pipeline.firsts
        found = [part.structures + first for part, first in zip(self.parts, firsts, strict=False)]
        return self._in_order(np.concatenate(found))

    @keywords()
    def locate(self, structures: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the parts that structures are of, and which structures of the stores they are.

        Parameters
        ----------
        structures
            Their numbers, as in ``batch["structure"]`` and `structures`.

        Raises
        ------
        IndexError
            If there is no structure of such a number.
        """
        firsts = self._pipeline.firsts
        numbers = positions_of(array_of("structures", structures), int(firsts[-1]))
        parts = np.searchsorted(firsts, numbers, side="right") - 1
        return parts, numbers - firsts[parts]

    @takes(asked)
    def select(self, selection: Selection) -> Self:
        """Return a view of the structures for which all of some conditions hold, each part asked for its own.

        Positions count the structures of the mixture. Where energies are limited, each is less the references
        of its part. What is returned shares decoded blocks, and can be selected from in turn.

        Raises
        ------
        InputError, UnknownNameError, IndexError, StaleGroupError
            As for `zstruct.Selection.structures`; or if a part that has a weight has no structures left.
        """
        view = copy.copy(self)
        for choice in selection.choices:
            rest = choice
            if choice.sample is not None:
                raise InputError(f"{choice.sample!r} picks from one store: sample the parts of a mixture")
            if choice.which is not None and not isinstance(choice.which, str):
                view, rest = view._at(places_of(choice.which, len(view))), replace(choice, which=None)
            if rest:
                if rest.where is not None and not callable(rest.where):
                    raise InputError(
                        "where is a function of a store: select from a mixture by a mask as select(mask)"
                    )
                view = view._asking(Selection((rest,)))
        return view._checked()

    @takes(Forces)
    def with_forces(self, forces: Forces) -> Self:
        """Return a view that uses the forces of some structures only, of each part that has forces.

        Adds ``use_forces`` (), as `StructureReader.with_forces` does.

        Raises
        ------
        InputError
            If no part has forces.
        """
        having = ["forces" in part.store.fields for part in self.parts]
        if not any(having):
            raise InputError("training on forces needs some, and no part has any")
        chosen: Any = forces
        readers = [
            part.with_forces(chosen) if has else part for part, has in zip(self.parts, having, strict=True)
        ]
        return self._with(readers, self._order)._in_its_own_epoch(self.epoch)

    @keywords()
    def categories(self, field: str) -> list[str]:
        """Return the texts that the codes of a category field stand for; those of ``head`` are the heads.

        Raises
        ------
        UnknownNameError
            If there is no such category field.
        """
        if field == HEAD:
            return list(self.heads)
        texts = self._pipeline.union.texts
        if not isinstance(field, str) or field not in texts:
            known = ", ".join([*texts, HEAD])
            raise UnknownNameError(f"{field!r} is no category field of the mixture; those are {known}")
        return list(texts[field])

    @property
    def varies(self) -> bool:
        """Whether batches depend on the epoch."""
        return any(part.varies for part in self.parts)

    @property
    def mixed(self) -> Mixed:
        """The parts, and in which proportions they come."""
        asked_for = self.proportions
        places = None
        if self._order is not None:
            places = np.empty(len(self._order), np.int64)
            places[self._order] = np.arange(len(self._order))
        window = WINDOW if asked_for.window is None else asked_for.window
        return Mixed(self.parts, self._shares(), window, asked_for.length, places)

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __repr__(self) -> str:
        return line_of(self, self._pipeline)

    def _repr_html_(self) -> str:
        return page_of(self, self._pipeline)

    @keywords()
    def prefetch(self, indices: Any) -> None:
        """Have what some structures need decoded by threads in the background; return at once.

        A loader does so by itself. Indices, and errors in them, are as for `take`.
        """
        positions = positions_of(indices, len(self))
        self._pipeline.prefetch(positions if self._order is None else self._order[positions])

    @keywords()
    def get_atoms(self, index: int) -> Any:
        """Return a structure as `ase.Atoms`, exactly as it was built into its store.

        Raises
        ------
        IndexError
            If the index is out of range.
        """
        place = self._pipeline.places(np.array([position_of(index, len(self))]), self._order)
        part = int(np.searchsorted(self._pipeline.edges, place[0], side="right")) - 1
        return self.parts[part].get_atoms(int(place[0] - self._pipeline.edges[part]))

    @property
    def input_size(self) -> int:
        """How many features an atom has.

        Raises
        ------
        InputError
            If there are no features, or no structure that could tell, or if they have no axis.
        """
        return next((part for part in self.parts if len(part)), self.parts[0]).input_size

    @property
    def elements(self) -> list[int]:
        """The atomic numbers in all stores, ascending."""
        return sorted({number for part in self.parts for number in part.elements})

    @property
    def n_atoms(self) -> NDArray[np.int64]:
        """How many atoms each structure has, shape (n,)."""
        return self._in_order(np.concatenate([part.n_atoms for part in self.parts]))

    @property
    def n_edges(self) -> NDArray[np.int64]:
        """How many edges each structure has, shape (n,), where stored lists tell.

        Raises
        ------
        InputError
            If a part has none.
        """
        return self._in_order(np.concatenate([part.n_edges for part in self.parts]))

    @property
    def rows(self) -> NDArray[np.int64] | None:
        """As `structures`, but None for all of all stores in their order."""
        whole = self._order is None and all(part.rows is None for part in self.parts)
        return None if whole else self.structures

    @property
    def caches(self) -> list[BlockCache]:
        """Where decoded blocks are kept, each cache once."""
        return list({id(cache): cache for part in self.parts for cache in part.caches}.values())

    @keywords()
    def close(self) -> None:
        """Let go of decoded blocks; reading more is an error then. The datasets it was made of go on."""
        self._pipeline = Closed(self)
        self._parts = []

    def _packed(self, positions: NDArray[np.int64]) -> PackedBatch:
        return self._pipeline(positions, self._order, self._epoch)

    def _warm(self) -> None:
        self._pipeline.warm()

    def _of_positions(self, asked_for: Any, positions: NDArray[np.int64]) -> Self:
        return self._at(positions)._checked()

    def _at(self, positions: NDArray[np.int64]) -> Self:
        """Return a view of some structures, in this order."""
        places = positions if self._order is None else self._order[positions]
        edges = self._pipeline.edges
        whose = np.searchsorted(edges, places, side="right") - 1
        readers = [part[places[whose == k] - edges[k]] for k, part in enumerate(self.parts)]
        order = None
        if np.any(whose[1:] < whose[:-1]):
            order = np.empty(len(places), np.int64)
            order[np.argsort(whose, kind="stable")] = np.arange(len(places))
        return self._with(readers, order)

    def _asking(self, selection: Selection) -> Self:
        """Return a view of the structures that their parts select."""
        readers = [part.select(selection) for part in self.parts]
        if self._order is None:
            return self._with(readers, None)
        # Conditions are of a structure: where one of some equal ones stays, all do.
        stays = [
            np.isin(part.structures, reader.structures)
            for part, reader in zip(self.parts, readers, strict=True)
        ]
        kept = np.concatenate(stays)
        order = self._order[kept[self._order]]
        return self._with(readers, (np.cumsum(kept) - 1)[order])

    def _with(self, readers: Sequence[StructureReader], order: NDArray[np.int64] | None) -> Self:
        view = copy.copy(self)
        view._parts = [part.with_reader(one) for part, one in zip(self._parts, readers, strict=True)]
        view._pipeline, view._order = self._pipeline.with_parts(view._parts), order
        return view

    def _checked(self) -> Self:
        """Return the view, if it can be drawn from, in an epoch of its own."""
        self._check_proportions()
        return self._in_its_own_epoch(self.epoch)

    def _check_proportions(self) -> None:
        self._shares()

    def _shares(self) -> NDArray[np.float64] | None:
        return self.proportions.shares(self.names, [len(part) for part in self.parts])

    def _in_order(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        return values if self._order is None else values[self._order]
