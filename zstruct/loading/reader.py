"""`StructureReader`: structures of a store as packed NumPy batches, without torch.

It turns what users ask for (fields, dtypes, filters, any kind of index) into lists of structures, has
them gathered, and has done to a batch what was asked for: references, transforms, features, edges. How
blocks are decoded and kept is `cache`'s affair; `dataset` makes it a dataset of torch.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from zstruct import layouts
from zstruct.arguments import array_of, check, shown, whole
from zstruct.batch.packed import ATOMS, PackedBatch
from zstruct.elements import SYMBOLS
from zstruct.errors import ArgumentTypeError, UnknownNameError
from zstruct.features.descriptor import Descriptor
from zstruct.layouts.vocabulary import Names
from zstruct.loading.cache.cache import BlockCache
from zstruct.loading.derived.derived import Extras
from zstruct.loading.derived.featurizer import Featurizer
from zstruct.loading.forces import ForcePolicy, ForceSampling
from zstruct.loading.gather.gather import Gather, kept_dtype, out_of_range
from zstruct.loading.lifetime import Closed
from zstruct.loading.order.cuts import Batches
from zstruct.loading.recipe import check_names, chosen_dtypes, chosen_fields, dtype_of_features, mask_name
from zstruct.loading.selection import Where, as_int, chosen_structures, is_plain, kept, positions_of
from zstruct.precision import narrowed
from zstruct.stats.references import References, chosen_references, references_of_build
from zstruct.store.store import Store
from zstruct.text import html_table
from zstruct.to_ase import atoms_at
from zstruct.transforms import Transform, as_transform
from zstruct.transforms.compose import steps_of
from zstruct.transforms.fused import Carrying, Motion, motion_of

__all__ = ["StructureReader"]

_ENERGIES = ("energy", "free_energy")


class StructureReader:
    """Structures of a store as NumPy arrays: for JAX, for analysis, for any code without torch.

    `ZarrStructureDataset` is the same for torch, and explains fields, dtypes and missing values.

    Parameters
    ----------
    path, fields, dtype, split, max_energy, max_force, max_force_component, where, \
energy_reference, transform, force_fraction, force_sampling, force_resample_epochs, \
force_min_structures, force_seed, features, features_only, derivatives, neighbors, edges, \
cache_features, cache_neighbors, return_atoms, cache, cache_bytes, storage_options
        As for `ZarrStructureDataset`.

    Examples
    --------
    >>> import tempfile, ase.build, zstruct
    >>> path = tempfile.mkdtemp() + "/water.zarr"
    >>> report = zstruct.build([ase.build.molecule("H2O")] * 4, path, progress=False)
    >>> reader = zstruct.StructureReader(path, ["numbers", "positions"])
    >>> reader[0]["numbers"]
    array([8, 1, 1])
    >>> [len(batch) for batch in reader.batches(3, shuffle=True)]
    [3, 1]
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | Store,
        fields: Iterable[str] | None = None,
        dtype: Any = None,
        *,
        split: str | tuple[str, str] | None = None,
        max_energy: float | None = None,
        max_force: float | None = None,
        max_force_component: float | None = None,
        where: Where | None = None,
        energy_reference: bool | str | Mapping[str, float] | References | None = None,
        transform: Any = None,
        force_fraction: float | None = None,
        force_sampling: ForceSampling = "random",
        force_resample_epochs: int = 1,
        force_min_structures: int | None = None,
        force_seed: int = 0,
        features: str | Descriptor | None = None,
        features_only: bool = False,
        derivatives: str | Descriptor | None = None,
        neighbors: str | float | None = None,
        edges: Iterable[str] | None = None,
        cache_features: bool | int = False,
        cache_neighbors: bool | int = False,
        return_atoms: bool = False,
        cache: str | os.PathLike[str] | None = "auto",
        cache_bytes: int | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ):
        check(features_only=features_only, cache_features=cache_features, cache_neighbors=cache_neighbors)
        self.store = Store.of(path, storage_options)
        if features_only:
            fields = _energy_only(self.store, fields, features, derivatives, neighbors)
        names = chosen_fields(self.store, fields)
        references = self._energies_of_atoms = chosen_references(self.store, energy_reference)
        # Structures of a subset; None: all.
        self._rows: NDArray[np.int64] | None = chosen_structures(self.store, split)
        # As a build limits energies; False says that the limit is one of energies as they are.
        limited = references_of_build(self.store) if energy_reference is None else references
        self._rows = kept(self.store, self._rows, max_energy, max_force, max_force_component, where, limited)
        extras = None
        if edges is not None and neighbors is None:
            raise ValueError("edges say what neighbors carry: give neighbors a cutoff or a name, too")
        if not (features is derivatives is neighbors is None):
            # What a transform changes has to be computed, and so has what is to be kept.
            read = None if transform is not None or cache_features else dtype_of_features(dtype)
            extras = Extras(
                self.store, features, derivatives, neighbors, edges, cache_features, cache_neighbors, read
            )
        elif cache_features or cache_neighbors:
            raise ValueError("cache_features and cache_neighbors keep what is computed: there is nothing")
        self._dtypes, beside, wide = chosen_dtypes(self.store, names, dtype, extras.floats if extras else ())
        # Whole numbers and booleans have no missing value: who has them is stored, under the mask's name.
        stored_masks = {n: self.store.presence[n] for n in names if n in self.store.presence}
        partial = [n for n in names if self.store.coverage(n) < self.store.n_structures]
        masks = {n: mask_name(n) for n in partial if n not in stored_masks}
        if not isinstance(return_atoms, bool | np.bool_):
            raise ArgumentTypeError(f"return_atoms is True or False, not {shown(return_atoms)}")
        others = [*(extras.names if extras else ()), *([ATOMS] if return_atoms else ())]
        check_names([*names, *masks.values(), *stored_masks.values(), *others])
        # What references need is gathered, too, and put right when the batch is done.
        energies = [name for name in _ENERGIES if name in names] if references is not None else []
        gathered = self._dtypes | dict.fromkeys(energies, np.dtype(np.float64))
        if energies:
            gathered |= {"numbers": np.dtype(np.int64)}
        gathered |= dict.fromkeys(stored_masks.values(), np.dtype(np.bool_))
        self._casts = {name: self._dtypes[name] for name in energies}
        said = {*self._dtypes, *stored_masks.values()}
        self._hidden = tuple(name for name in gathered if name not in said)
        if extras is None:
            stored = {name: kept_dtype(self.store.dtype(name), kind) for name, kind in gathered.items()}
            gather = Gather(BlockCache(self.store, stored, cache, cache_bytes), gathered, masks, wide)
        else:
            gather = extras.gather(gathered, beside, masks, cache, cache_bytes, wide)
        self._gather: Any = gather
        self._described = extras
        # What is left to do once everything is gathered.
        self._extras = None if extras is None or extras.is_gathered else extras
        self._references = _Referenced(references, energies) if references is not None and energies else None
        self._policy = None
        if force_fraction is None:
            choices = (force_sampling, force_resample_epochs, force_min_structures, force_seed)
            if any(isinstance(x, np.ndarray) for x in choices) or choices != ("random", 1, None, 0):
                raise ValueError(
                    "force_sampling, force_resample_epochs, force_min_structures and force_seed say how "
                    "force_fraction is drawn: give that, too"
                )
        else:
            self._policy = ForcePolicy(
                self.store,
                self._rows,
                force_fraction,
                force_sampling,
                force_resample_epochs,
                force_min_structures,
                force_seed,
            )
        self._transform = None
        # What is done to what was gathered, how much of that the gather does, and what is done last.
        self._before: list[Transform] = []
        self._motion: Motion | None = None
        self._after: list[Transform] = []
        if transform is not None:
            beside_names = () if extras is None else extras.stored_names
            if extras is not None and extras.computes and "deriv_values" in beside_names:
                raise ValueError(
                    "stored derivatives can't be transformed beside what is computed: compute both"
                )
            if extras is not None and (cache_features or cache_neighbors):
                raise ValueError(
                    "what a transform changes can't be kept: leave out cache_features and the like"
                )
            known = {name: self.store.fields[name] for name in names}
            self._transform = as_transform(transform)
            steps = steps_of(self._transform)
            computes = extras is not None and extras.computes
            waiting = (k for k, step in enumerate(steps) if step._waits(computes))
            last = next(waiting, len(steps))
            self._before = [step.bound(known, beside_names) for step in steps[:last]]
            everything = () if extras is None else extras.names
            self._after = [step.bound(known, everything) for step in steps[last:]]
            if self._extras is None:
                self._motion = motion_of(self._before, known, self._copied)
        self._featurizer: Featurizer | None = None
        self._epoch: Any = self._new_epoch()
        # Whether a batch is done when it is gathered.
        done = (self._extras, self._references, self._policy, self._transform)
        self._return_atoms = return_atoms
        self._plain = all(step is None for step in done) and not return_atoms

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a sample, without their masks."""
        return tuple(self._dtypes)

    @property
    def structures(self) -> NDArray[np.int64]:
        """Which structures of the store these are, shape (n,)."""
        return np.arange(self.store.n_structures) if self._rows is None else self._rows.copy()

    def categories(self, field: str) -> list[str]:
        """Return the texts that the codes of a category field stand for.

        Raises
        ------
        KeyError
            If the store has no such category field.
        """
        found = [name for name, row in self.store.fields.items() if row.kind == "category"]
        if not isinstance(field, str) or field not in found:
            raise UnknownNameError(
                f"{field!r} is no category field of {self.store.path}; those are {', '.join(found) or 'none'}"
            )
        return self.store.categories(field)

    @property
    def epoch(self) -> int:
        """The epoch that random transforms and the choice of forces belong to."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that random transforms and the choice of forces belong to.

        Loaders have epochs of their own, which their iterations go through.
        """
        if epoch is None:
            raise ArgumentTypeError("epoch is a whole number, not None")
        self._epoch[...] = whole("epoch", epoch, 0, np.iinfo(np.int64).max)

    @property
    def varies(self) -> bool:
        """Whether batches depend on the epoch."""
        return self._policy is not None or self._transform is not None

    def at_epoch(self, epoch: int) -> Self:
        """Return a view that stays in an epoch, whatever epoch this one is in."""
        view = copy.copy(self)
        view._epoch = np.array(epoch)
        return view

    def __len__(self) -> int:
        return self.store.n_structures if self._rows is None else len(self._rows)

    def __repr__(self) -> str:
        if isinstance(self._gather, Closed):
            return f"{type(self).__name__}({self.store.path!r}, closed)"
        said = [", ".join(self.fields)]
        if self._described is not None:
            said.append(self._described.describe())
        steps = (self._references, self._policy, self._transform, self._featurizer)
        said += [repr(step) for step in steps if step is not None]
        said.append(f"cache: {self._gather.cache.describe()}")
        return f"{type(self).__name__}({self.store.path!r}, {len(self):,} structures: {'; '.join(said)})"

    def _repr_html_(self) -> str:
        steps = (self._references, self._policy, self._transform, self._featurizer)
        facts = [
            ("structures", f"{len(self):,} of the {self.store.n_structures:,} of {self.store.path}"),
            ("fields", ", ".join(self.fields)),
            *([("features", self._described.describe())] if self._described is not None else []),
            *(("then", repr(step)) for step in steps if step is not None),
            ("cache", self._gather.cache.describe()),
        ]
        return f"<p><b>{type(self).__name__}</b></p>{html_table(facts)}"

    def __getitem__(self, index: Any) -> Any:
        """Return the arrays of one structure, or a view of several.

        Parameters
        ----------
        index
            An integer for a dict of arrays. A slice, or a list or array of integers, or a boolean
            mask, for a reader of these structures in this order, which shares this one's decoded
            blocks.

        Raises
        ------
        IndexError
            If an index is out of range or a mask is not as long as the reader.
        TypeError
            If it is anything else.
        """
        index = self._position_or_view(index)
        if not isinstance(index, int):
            return index
        batch = self._packed(np.array([index]))
        found: dict[str, Any] = {n: c if n in batch.per_atom else c[0, ...] for n, c in batch.columns.items()}
        found["n_atoms"] = batch.n_atoms[0, ...]
        if batch.atoms:
            found[ATOMS] = batch.atoms[0]
        for pairs in batch.pairs:
            found |= {pairs.name: pairs.index, **pairs.columns}
        return found

    def _position_or_view(self, index: Any) -> Any:
        """Return an index in range, or, where it says several, a view of those structures."""
        if type(index) is not int:
            if isinstance(index, slice):
                return self._subset(np.arange(len(self), dtype=np.int64)[index])
            if isinstance(index, list | range) or getattr(index, "ndim", 0) > 0:
                return self._subset(positions_of(index, len(self)))
            index = as_int(index)
        n = len(self)
        if not -n <= index < n:
            raise out_of_range(index, n)
        return index

    def take(self, indices: Any) -> PackedBatch:
        """Return several structures, packed end to end, in the order of the indices.

        Parameters
        ----------
        indices
            Integers, negative ones counting from the end and repeats allowed, or a boolean mask.

        Returns
        -------
        PackedBatch
            New memory. Its `columns` are arrays by field, its `offsets` the row edges of the
            structures; `layouts.graph`, `layouts.padded` and the others make batches of it.

        Raises
        ------
        IndexError
            If an index is out of range or a mask is not as long as the dataset.
        TypeError
            If `indices` is anything else.

        Examples
        --------
        >>> import tempfile, ase.build, zstruct
        >>> path = tempfile.mkdtemp() + "/mixed.zarr"
        >>> molecules = [ase.build.molecule(name) for name in ("H2O", "CO2", "CH4")]
        >>> report = zstruct.build(molecules, path, progress=False)
        >>> batch = zstruct.StructureReader(path).take([2, 0])
        >>> batch.offsets, batch.columns["numbers"]
        (array([0, 5, 8]), array([6, 1, 1, 1, 1, 8, 1, 1]))
        """
        array = array_of("a list of indices", indices)
        return self._packed(array if is_plain(array) else positions_of(array, len(self)))

    def batches(
        self,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        seed: int = 0,
        epoch: int = 0,
        bucket_size: int | None = None,
        max_atoms: int | None = None,
        max_edges: int | None = None,
        drop_last: bool = False,
        layout: str | Callable[[PackedBatch], Any] | None = None,
        names: Names | None = None,
    ) -> Iterator[Any]:
        """Return all structures once, in batches: those of a loader with the same options.

        Parameters
        ----------
        batch_size
            Structures in a batch. With `max_atoms` or `max_edges` the most of them, and 1, the default,
            stands for any number.
        shuffle
            Whether in random order, which `seed` and `epoch` choose; else in theirs.
        seed, epoch
            See `shuffle`; `epoch` is also that of `set_epoch`.
        bucket_size
            Puts structures of similar size together: the order is taken in buckets of so many
            structures, each sorted by size, cut into batches, and these shuffled. A multiple of
            `batch_size`, such as 32 times.
        max_atoms, max_edges
            The most atoms and edges in a batch: it ends where the next structure would not fit. Edges
            are counted for a stored list of neighbours only.
        drop_last
            Whether to leave out a last batch that is smaller.
        layout
            Makes a batch of a `PackedBatch`: ``"graph"``, ``"padded"`` or ``"physnet"``, in NumPy, or a
            function such as ``functools.partial(layouts.physnet, as_numpy=True)``; by default it stays
            one.
        names
            For ``"graph"`` and ``"padded"``: names of the batch that are to be others, or the name of
            a project; see `layouts.graph`.

        Raises
        ------
        ValueError
            If a number is out of its range, if a structure alone has more than `max_atoms` or
            `max_edges`, or if no layout has that name.
        TypeError
            If an option is of another kind.
        """
        options = Batches(batch_size, shuffle, seed, epoch, bucket_size, max_atoms, max_edges, drop_last)
        join = layouts.in_numpy(layout, names)
        return self._batches(options.of(len(self), self._counts, self._edge_counts), options.epoch, join)

    def _batches(
        self, chosen: Iterator[NDArray[np.int64]], epoch: int, join: Callable[[PackedBatch], Any] | None
    ) -> Iterator[Any]:
        self.set_epoch(epoch)
        view = self.at_epoch(epoch) if self.varies else self  # whatever others do meanwhile
        for positions in chosen:
            batch = view._packed(positions)
            yield batch if join is None else join(batch)

    def prefetch(self, indices: Any) -> None:
        """Have what some structures need decoded by threads in the background; return at once.

        A loader does so by itself. Where the cache is too small for all of it, nothing happens.

        Parameters
        ----------
        indices
            As for `take`.

        Raises
        ------
        IndexError
            If an index is out of range or a mask is not as long as the dataset.
        TypeError
            If `indices` is anything else.
        """
        positions = positions_of(indices, len(self))
        structures = positions if self._rows is None else self._rows[positions]
        self._gather.prefetch(structures)
        if self._extras is not None:
            self._extras.prefetch(structures)

    def cache_warmup(self) -> None:
        """Decode everything, and compute what `cache_features` and `cache_neighbors` keep, now.

        Training then reads memory only; without, the first epoch does it as it goes. Structures that
        the caches have no room for are read for nothing.
        """
        for start in range(0, len(self), _WARM_UP):
            self._packed(np.arange(start, min(start + _WARM_UP, len(self))))

    def get_atoms(self, index: int) -> Any:
        """Return a structure as `ase.Atoms`, exactly as it was built into the store.

        All fields of the store are there, in full precision, whatever this reader loads.

        Raises
        ------
        IndexError
            If the index is out of range.
        """
        index = as_int(index)
        if not -len(self) <= index < len(self):
            raise out_of_range(index, len(self))
        position = index % len(self)
        return atoms_at(self.store, position if self._rows is None else int(self._rows[position]))

    def get_statistics(self, **options: Any) -> Any:
        """Return the statistics of these structures, as the store has them; see `zstruct.statistics`.

        Energies are referenced as those of this dataset are, unless other references are given;
        transforms do not count.
        """
        from zstruct.stats import statistics

        if self._energies_of_atoms is not None:
            options.setdefault("references", self._energies_of_atoms)
        return statistics(self, **options)

    @property
    def input_size(self) -> int:
        """How many features an atom has.

        Raises
        ------
        ValueError
            If there are no features, or no structure that could tell, or if they have no axis.
        """
        known = None if self._described is None else self._described.n_features
        if known is not None:
            return known
        shape = self.estimate_input_size()
        if not shape:
            raise ValueError("features are one number for each structure: atoms have none")
        return shape[-1]

    def estimate_input_size(self) -> tuple[int, ...]:
        """Return the shape of the features of the first structure.

        Raises
        ------
        ValueError
            If there are no features, or no structure that could tell.
        """
        if len(self) == 0:
            raise ValueError("there is no structure whose features could tell")
        first = self[0]
        if "features" not in first:
            raise ValueError("there are no features: give features= a name or a descriptor")
        return tuple(first["features"].shape)

    def _elements(self) -> list[int]:
        """Return the atomic numbers in the store, ascending."""
        species = self.store.attrs.get("species")
        if species is None:  # not built by zstruct
            return np.unique(self.store.read("numbers")).tolist()
        return [SYMBOLS.index(symbol) for symbol in species]

    def _counts(self) -> NDArray[np.int64]:
        """Return the atoms of every structure."""
        return self._lengths(self._gather.cache.offsets)

    def _edge_counts(self) -> NDArray[np.int64]:
        """Return the edges of every structure, which only a stored list tells."""
        offsets = None if self._described is None else self._described.edge_offsets
        if offsets is None:
            raise ValueError(
                "max_edges needs edges that are stored: run zstruct.featurize with a NeighborList, and "
                "give the dataset its name or cutoff as neighbors"
            )
        return self._lengths(offsets)

    def _lengths(self, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        rows = self._rows
        return np.diff(offsets) if rows is None else offsets[rows + 1] - offsets[rows]

    def _packed(self, positions: NDArray[np.int64]) -> PackedBatch:
        if self._plain:
            return self._gather(positions, self._rows)
        carrier = None
        if self._motion is not None and self._gather.everything:
            carrier = Carrying(self._motion, self.epoch)
        batch = self._gather(positions, self._rows, carrier)
        if self._references is not None:
            self._references(batch)
        if self._policy is not None:
            self._policy(batch, self.epoch)
        # What is computed has to see what transforms do, and what was stored has to change along.
        computes = self._extras is not None and self._extras.computes
        if self._extras is not None and not computes:
            batch = self._extras.complete(batch)
        if carrier is not None:
            batch = carrier.finish(batch)
        else:
            for step in self._before:
                batch = step.on_batch(batch, self.epoch)
        if self._extras is not None and computes:
            batch = self._extras.complete(batch)
        for name in self._hidden:
            batch.columns.pop(name, None)  # a function may have left it out
        for name, kind in self._casts.items():
            if name in batch.columns:
                batch.columns[name] = narrowed(name, batch.columns[name], kind)
        if self._hidden:
            batch.per_atom -= set(self._hidden)
        for step in self._after:
            batch = step.on_batch(batch, self.epoch)
        if self._featurizer is not None:
            self._featurizer(batch)
        if self._return_atoms:
            rows = positions if self._rows is None else self._rows[positions]
            n = self.store.n_structures
            batch.atoms = tuple(atoms_at(self.store, row % n) for row in rows.tolist())
        return batch

    def close(self) -> None:
        """Let go of decoded blocks; reading more is an error then. Views of this reader go on.

        Nothing else is open: files are not, and memory that is shared goes with the last who has it.
        Readers and datasets are context managers, too: ``with zstruct.StructureReader(path) as reader``.
        """
        self._gather, self._extras, self._described, self._featurizer = Closed(self), None, None, None
        self._plain = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _warm(self) -> None:
        """Load kernels and offsets, for workers to share; leave alone what is the user's own."""
        batch = self._gather(np.empty(0, np.int64), self._rows)
        if self._extras is not None:
            self._extras.complete(batch)

    def _copied(self, name: str) -> bool:
        """Return whether the gather copies a field as it is, per atom and in single precision."""
        return self._gather.dtypes.get(name) == np.float32 and self._gather.copies(name)

    def _new_epoch(self) -> Any:
        """Return memory for the number of the epoch, 0 at first."""
        return np.zeros((), np.int64)

    @property
    def _caches(self) -> list[BlockCache]:
        return [self._gather.cache, *(self._extras.caches if self._extras is not None else ())]

    def _subset(self, positions: NDArray[np.int64]) -> Self:
        subset = copy.copy(self)
        subset._rows = positions if self._rows is None else self._rows[positions]
        subset._epoch = self._new_epoch()
        subset.set_epoch(self.epoch)
        if self._policy is not None:
            subset._policy = self._policy.among(subset._rows)
        return subset


_WARM_UP = 1024  # structures at a time


class _Referenced:
    """Subtracts the energies of atoms from total energies."""

    def __init__(self, references: References, energies: list[str]):
        self.references, self._energies = references, energies

    def __repr__(self) -> str:
        return f"energies less those of {len(self.references)} elements, {self.references.method}"

    def __call__(self, batch: PackedBatch) -> None:
        for name in self._energies:
            batch.columns[name] = self.references.subtract(
                batch.columns["numbers"], batch.offsets, batch.columns[name]
            )


def _energy_only(store: Store, fields: Any, features: Any, derivatives: Any, neighbors: Any) -> list[str]:
    """Return the fields that training energies by features needs."""
    if features is None or not (fields is derivatives is neighbors is None):
        raise ValueError("features_only takes features, and neither fields, derivatives nor neighbors")
    return [name for name in ("numbers", "energy") if name in store.fields]
