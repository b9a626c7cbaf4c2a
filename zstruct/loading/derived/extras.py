"""What batches have beyond the fields of a store: features, edges, derivatives; stored or computed.

What is stored is gathered like any field; what is not is computed from the batch at hand, by the
same kernels, in the thread that makes the batch. Positions and cells are read in double precision
for it, whatever users want, so that both ways give the same pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.batch.packed import PackedBatch, Pairs, Ragged
from zstruct.batch.union import Column
from zstruct.errors import CorruptStoreError
from zstruct.features.descriptor import Descriptor
from zstruct.features.groups import FeatureGroup
from zstruct.geometry.neighbors import of_centres
from zstruct.loading.cache.cache import BlockCache
from zstruct.loading.cache.placement import budgets
from zstruct.loading.dataset_options import Cache, Edges
from zstruct.loading.derived.computation import GEOMETRY, Computation, Lists, structures_of
from zstruct.loading.derived.kernels import connect, pair_vectors
from zstruct.loading.derived.stored_or_computed import Wanted, find_descriptor, find_neighbors
from zstruct.loading.forces import USED
from zstruct.loading.gather.field_steps import kept_dtype
from zstruct.loading.gather.gather import Gather
from zstruct.precision import narrowed
from zstruct.ragged import counts_to_offsets
from zstruct.schema import ATOM, STRUCTURE
from zstruct.store.catalog import refuse_changed
from zstruct.store.spec import OWN
from zstruct.store.store import Store
from zstruct.store.view import StoreView

__all__ = ["Extras"]

# The names of tensors: what edges may carry, and the only thing that derivatives do.
_FEATURES, _INDEX = "features", {"edges": "edge_index", "derivatives": "deriv_index"}
_DENSE = "deriv_values"
_OPTIONS = {"features": "features", "edges": "neighbors", "derivatives": "derivatives"}
_LENGTHS = {"edge_vec", "edge_dist"}

_ALL = "all"  # beside gathers of pairs, that of atoms and structures
_INT32, _INT64 = np.dtype(np.int32), np.dtype(np.int64)


class Extras:
    """Features, edges and derivatives of batches.

    Parameters
    ----------
    store
        The store.
    features, derivatives
        A name: of what `zstruct.featurize` stored, or `zstruct.features.add`. A descriptor: computed. None:
        not wanted.
    edges
        Which edges, and what they carry. None: no edges.
    kept_features, kept_neighbors
        Of how many structures to keep what is computed; True: of all.
    dtype
        Has features of a descriptor read where it has stored them with no fewer digits than this has;
        None: they are computed.

    Raises
    ------
    InputError
        If the store has no group of that name, or a cutoff makes no sense.
    StaleGroupError
        If a group was computed from other content than the store has now.
    ArgumentTypeError
        If `features` or `derivatives` is neither a name nor a descriptor.
    """

    def __init__(
        self,
        store: Store,
        features: str | Descriptor | None,
        derivatives: str | Descriptor | None,
        edges: Edges | None,
        kept_features: bool | int = False,
        kept_neighbors: bool | int = False,
        dtype: np.dtype | None = None,
    ):
        self._store = store
        self._features = None if features is None else find_descriptor(store, "features", features, dtype)
        # Edges and derivatives: what there is of each pair.
        self._paired = [] if edges is None else [find_neighbors(store, edges.cutoff)]
        self._carried: tuple[str, ...] = () if edges is None else tuple(edges.carry)
        if derivatives is not None:
            self._paired.append(find_descriptor(store, "derivatives", derivatives))
        self._wanted = [*([] if self._features is None else [self._features]), *self._paired]
        groups = [wanted.group for wanted in self._wanted if wanted.group is not None]
        for group in groups:
            if group.store is not store:  # it was replaced since that was opened
                self._store = group.store
        for group in groups:
            if self._store.group_attrs(group.path) != group.attrs:
                refuse_changed(self._store.path, group.path)
        self.computes = any(wanted.group is None for wanted in self._wanted)
        computed = self._features is not None and self._features.group is None
        self._computation = Computation(
            self._features if computed else None,
            {wanted.cutoff for wanted in self._paired if wanted.group is None},
            kept_features,
            kept_neighbors,
        )
        self._dtypes: dict[str, np.dtype] = {}
        self._casts: dict[str, np.dtype] = {}
        self._hidden: tuple[str, ...] = ()
        self._apart: dict[str, Gather] = {}  # gathers of stored pairs and of ragged rows, by what they are
        stored = None if self._features is None else self._features.group
        self._level = ATOM if stored is None else stored.level
        kind = None if stored is None else self._store.dtype(stored.array("values"))
        #: Features that are no floats: their dtype in the store.
        self.whole = {} if kind is None or kind.kind == "f" else {_FEATURES: kind}

    @property
    def floats(self) -> list[str]:
        """The names of floating-point tensors that this adds to batches."""
        features = () if self.whole else (_FEATURES,)
        names = {"features": features, "edges": self._carried, "derivatives": (_DENSE,)}
        return [name for wanted in self._wanted for name in names[wanted.what]]

    @property
    def names(self) -> list[str]:
        """The names of all tensors that this adds to batches."""
        return [*self.floats, *self.whole, *(_INDEX[wanted.what] for wanted in self._paired)]

    @property
    def taken(self) -> list[str]:
        """The names of all tensors that this adds to batches, and of what layouts say of them."""
        return [*self.names, *([f"{_FEATURES}_ptr", f"{_FEATURES}_mask"] if self._level == OWN else [])]

    @property
    def columns(self) -> dict[str, Column]:
        """What this adds to batches per atom or per structure; known once there is a gather."""
        if self._features is None or self._level == OWN:
            return {}
        group = self._features.group
        descriptor: Any = self._features.descriptor
        values = None if group is None else group.array("values")
        shape = (descriptor.n_features,) if values is None else self._store.shape(values)[1:]
        level = ATOM if self._level == ATOM else STRUCTURE
        return {_FEATURES: Column(level, self._dtypes[_FEATURES], shape)}

    @property
    def kinds(self) -> dict[str, str]:
        """What this adds to batches, in words, by option; of two that are equal, rows can be joined."""
        found = {}
        for wanted in self._wanted:
            made = f"within {wanted.cutoff:g} angstrom"
            if wanted.descriptor is not None:
                manifest = wanted.descriptor.manifest()
                made = f"of {manifest['class']} ({manifest['sha256'][:8]})"
            elif wanted.group is not None and wanted.group.is_external:
                made = f"that were added, per {self._level}"
            carried = f" with {', '.join(self._carried)}" if wanted.what == "edges" and self._carried else ""
            found[_OPTIONS[wanted.what]] = f"{wanted.what} {made}{carried}"
        return found

    def does_as(self, other: Extras) -> bool:
        """Return whether `complete` of the two makes the same of any batch, whichever store that is of."""
        ways = (
            (e.kinds, e.stored_names, e._dtypes, e._casts, e._hidden, e.computes and not e._apart)
            for e in (self, other)
        )
        mine, theirs = ways
        return mine == theirs and mine[-1] and not (self._computation.keeps or other._computation.keeps)

    @property
    def per_atom(self) -> frozenset[str]:
        """Those of the names that have a row per atom."""
        return frozenset(self.names) & {_FEATURES} if self._level == ATOM else frozenset()

    @property
    def is_gathered(self) -> bool:
        """Whether the gather brings all of it: then a batch is complete without `complete`."""
        return not self.computes and not self._apart

    @property
    def caches(self) -> list[BlockCache]:
        """The caches of stored pairs and of rows of structures' own."""
        return [gather.cache for gather in self._apart.values()]

    @property
    def stored_names(self) -> list[str]:
        """The names of those tensors that are read from the store."""
        found = [_FEATURES] if self._features is not None and self._features.group is not None else []
        for wanted in self._paired:
            if wanted.group is not None:
                found += [_DENSE] if wanted.descriptor is not None else [*self._carried, _INDEX[wanted.what]]
        return found

    @property
    def n_features(self) -> int | None:
        """Features of an atom, if there are any."""
        if self._features is None:
            return None
        if self._features.group is not None:
            return self._store.shape(self._features.group.array("values"))[1]
        descriptor: Any = self._features.descriptor
        return descriptor.n_features

    @property
    def edge_offsets(self) -> NDArray[np.int64] | None:
        """Row edges of the structures in the stored edges, if these are stored."""
        return self._apart["edges"].cache.offsets if "edges" in self._apart else None

    def describe(self) -> str:
        """Return what is stored and what is computed, for people."""
        return "; ".join(wanted.describe() for wanted in self._wanted)

    def gather(
        self,
        dtypes: Mapping[str, np.dtype],
        extra: Mapping[str, np.dtype],
        masks: Mapping[str, str],
        cache: Cache,
        wide: frozenset[str] = frozenset(),
    ) -> Gather:
        """Return what gathers fields, stored features, and whatever `complete` needs.

        Parameters
        ----------
        dtypes
            Of the fields that batches shall have.
        extra
            Of `floats` and `whole`.
        masks, wide
            As for a `Gather`.
        cache
            Where to keep blocks; its bytes are shared by all caches.
        """
        needed = self._needed()
        self._dtypes = dict(extra)
        self._casts = {n: dtypes[n] for n in needed if n in dtypes and dtypes[n] != needed[n]}
        self._hidden = tuple(name for name in needed if name not in dtypes)
        columns = {**dtypes, **needed}
        paths = {name: name for name in columns}
        views: dict[str, tuple[StoreView, dict[str, np.dtype]]] = {}
        if self._features is not None and self._features.group is not None:
            group, kinds = self._features.group, {_FEATURES: extra[_FEATURES]}
            path = {_FEATURES: group.array("values")}
            if self._level == OWN:
                own = StoreView(self._store, path, [self._features.content], group.array("offsets"))
                views[_FEATURES] = own, kinds
            else:
                columns, paths = columns | kinds, paths | path
        for wanted in self._paired:
            if wanted.group is not None:
                paths[_counts(wanted)] = wanted.group.array("counts")
                views[wanted.what] = self._pair_view(wanted, wanted.group)
        contents = [*self._store.contents, *(wanted.content for wanted in self._wanted)]
        views[_ALL] = StoreView(self._store, paths, contents), columns
        kept = {
            what: {name: kept_dtype(view.dtype(name), dtype) for name, dtype in columns.items()}
            for what, (view, columns) in views.items()
        }
        shares = budgets(cache, [view.nbytes(kept[what]) for what, (view, _) in views.items()])
        self._apart = {
            what: Gather(BlockCache(view, kept[what], cache.where, budget), columns, masks, wide)
            if what == _ALL
            else Gather(BlockCache(view, kept[what], cache.where, budget), columns)
            for (what, (view, columns)), budget in zip(views.items(), shares, strict=True)
        }
        return self._apart.pop(_ALL)

    def _needed(self) -> dict[str, np.dtype]:
        """Return what has to be gathered to complete a batch, and its dtypes."""
        names = set(GEOMETRY) if self.computes else set()
        if _LENGTHS & set(self._carried):
            names |= {"positions", "cell"}
        if any(wanted.what == "derivatives" for wanted in self._wanted):
            names |= {"numbers"}
        needed = {name: dtype for name, dtype in GEOMETRY.items() if name in names}
        return needed | {_counts(wanted): _INT64 for wanted in self._paired if wanted.group is not None}

    def _pair_view(self, wanted: Wanted, group: FeatureGroup) -> tuple[StoreView, dict[str, np.dtype]]:
        """Return the pairs of a group as rows, and the dtypes to gather them in."""
        names = ["indices", *(["shifts"] if self._carried else [])]
        if wanted.descriptor is not None:
            names = ["indices", "vectors", *wanted.descriptor.pair_arrays()]
        paths = {name: group.array(name) for name in names}
        view = StoreView(self._store, paths, [wanted.content], group.array("offsets"))
        # Rows widen to int64, which the kernel takes; the rest stays as small as it is stored.
        return view, {name: _INT64 if name == "indices" else view.dtype(name) for name in names}

    def prefetch(self, structures: NDArray[np.int64]) -> None:
        """Have the stored pairs and rows of some structures decoded by threads; return at once."""
        for gather in self._apart.values():
            gather.prefetch(structures)

    def complete(self, gathered: PackedBatch) -> PackedBatch:
        """Return a batch of what was gathered, with all that was asked for.

        Raises
        ------
        InputError
            If a structure has an element that a descriptor does not know.
        ValueError
            If an atom is too far outside a periodic cell.
        CorruptStoreError
            If stored pairs are not those of these structures.
        """
        columns = gathered.columns
        try:
            lists = self._computation.lists(gathered) if self.computes else None
            if lists is not None and self._computation.features is not None:
                columns[_FEATURES] = self._computation.values(gathered, lists, self._dtypes[_FEATURES])
            pairs = [self._pairs_of(wanted, gathered, lists) for wanted in self._paired]
        except ValueError as error:
            which = structures_of(gathered).tolist()
            error.add_note(f"(counting the structures of a batch, which are {which})")
            raise
        for name in self._hidden:
            del columns[name]
        for name, dtype in self._casts.items():
            columns[name] = narrowed(name, columns[name], dtype)
        gathered.per_atom = frozenset(n for n in columns if n in gathered.per_atom or n in self.per_atom)
        gathered.pairs = tuple(pairs)
        if _FEATURES in self._apart:
            own = self._apart[_FEATURES](structures_of(gathered))
            gathered.ragged = (Ragged(_FEATURES, own.offsets, own.columns[_FEATURES]),)
        return gathered

    def _pairs_of(self, wanted: Wanted, gathered: PackedBatch, lists: Lists | None) -> Pairs:
        """Return edges or derivatives; which of the two ways their arrays come makes no difference.

        Derivatives only of structures whose forces are used, where that is said.
        """
        used = gathered.columns.get(USED) if wanted.descriptor is not None else None
        if wanted.group is not None:
            structures, counts = structures_of(gathered), gathered.columns[_counts(wanted)]
            if used is not None:
                structures, counts = structures[used], np.where(used[gathered.batch], counts, 0)
            stored = self._apart[wanted.what](structures)
            offsets = stored.offsets
            if used is not None:
                lengths = np.zeros(len(used), np.int64)
                lengths[used] = np.diff(stored.offsets)
                offsets = counts_to_offsets(lengths)
            index = self._index(gathered, counts, stored.columns["indices"], True)
            arrays: Mapping[str, NDArray[Any]] = stored.columns
        else:
            assert lists is not None
            found = lists.by_cutoff[wanted.cutoff]
            if used is not None:
                found = of_centres(found, used[gathered.batch])
            counts = np.diff(found.offsets)
            offsets = found.offsets[gathered.offsets]
            index = self._index(gathered, counts, found.indices, False)
            arrays = {"shifts": found.shifts, "vectors": found.vectors}
            if wanted.descriptor is not None:
                arrays |= wanted.descriptor.derivatives(lists.structures, found)
        if wanted.descriptor is None:
            return Pairs(_INDEX[wanted.what], offsets, index, self._carry(gathered, counts, index, arrays))
        numbers = gathered.columns["numbers"][index[1]]
        dense = wanted.descriptor.expand(arrays, numbers, arrays["vectors"])
        return Pairs(
            _INDEX[wanted.what], offsets, index, {_DENSE: dense.astype(self._dtypes[_DENSE], copy=False)}
        )

    def _index(
        self, gathered: PackedBatch, counts: NDArray[np.int64], indices: NDArray[np.int64], local: bool
    ) -> NDArray[np.int64]:
        """Return the rows of centre and neighbour of each pair."""
        index = np.empty((2, len(indices)), _INT64)
        if not connect(counts, gathered.batch, gathered.offsets, indices, local, index):
            raise CorruptStoreError(
                f"{self._store.path}: stored pairs point to atoms that are not there; check the store "
                "with zstruct.verify and run zstruct.featurize again with overwrite=True"
            )
        return index

    def _carry(
        self,
        gathered: PackedBatch,
        counts: NDArray[np.int64],
        index: NDArray[np.int64],
        arrays: Mapping[str, NDArray[Any]],
    ) -> dict[str, NDArray[Any]]:
        """Return what edges carry, in the order that was asked for."""
        carried: dict[str, NDArray[Any]] = {}
        if _LENGTHS & set(self._carried):
            vectors, distances = np.empty((index.shape[1], 3)), np.empty(index.shape[1])
            shifts = arrays["shifts"].astype(_INT32, copy=False)
            columns = gathered.columns
            positions, cells = columns["positions"], columns["cell"]
            pair_vectors(counts, gathered.batch, index, shifts, positions, cells, vectors, distances)
            carried = {"edge_vec": vectors, "edge_dist": distances}
        if "edge_shift" in self._carried:
            carried["edge_shift"] = arrays["shifts"]
        return {name: carried[name].astype(self._dtypes[name], copy=False) for name in self._carried}


def _counts(wanted: Wanted) -> str:
    """Return the name under which the neighbours of each atom are gathered; no field has a slash."""
    return f"{wanted.what}/counts"
