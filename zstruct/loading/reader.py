"""`StructureReader`: structures of a store as packed NumPy batches, without torch.

It knows which structures it has, and turns any kind of index into a list of them; `pipeline` makes batches of
those, `recipe` says of what. Views share what was decoded. `dataset` makes it a dataset of torch.
"""

from __future__ import annotations

import copy
import os
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from zstruct.batch.packed import PackedBatch
from zstruct.elements import SYMBOLS
from zstruct.keywords import keywords, takes
from zstruct.loading.batch_reader import BatchReader
from zstruct.loading.cache.cache import BlockCache
from zstruct.loading.counts import edge_offsets, lengths, n_features
from zstruct.loading.dataset_options import Cache, Edges, Forces
from zstruct.loading.description import line_of, page_of
from zstruct.loading.fields import texts_of
from zstruct.loading.forces import ForcePolicy
from zstruct.loading.indices import position_of, positions_of
from zstruct.loading.lifetime import Closed
from zstruct.loading.moved_options import MOVED
from zstruct.loading.pipeline import Pipeline
from zstruct.loading.recipe import Recipe
from zstruct.query import Selection, narrowed
from zstruct.query.selection import asked
from zstruct.store.labelled import labelled
from zstruct.store.store import Store
from zstruct.to_ase import atoms_at

__all__ = ["StructureReader"]


class StructureReader(BatchReader):
    """Structures of a store as NumPy arrays: for JAX, for analysis, for any code without torch.

    `ZarrStructureDataset` is the same for torch, and explains samples and missing values.

    Parameters
    ----------
    path
        The store: a path, a URL that zarr can open, or a `Store`.
    fields, dtype, split, features, derivatives, neighbors, labels, references, transform, cache
        As for `zstruct.loading.Recipe`.
    storage_options
        As for `zstruct.loading.Recipe`.

    Examples
    --------
    >>> import tempfile, ase.build, zstruct
    >>> path = tempfile.mkdtemp() + "/molecules.zarr"
    >>> molecules = [ase.build.molecule(name) for name in ("H2O", "CO2", "CO", "CH4")]
    >>> report = zstruct.build(molecules, path, progress=False)
    >>> reader = zstruct.StructureReader(path, ["numbers", "positions"])
    >>> reader[0]["numbers"]
    array([8, 1, 1])
    >>> batch = reader.take([3, 0])
    >>> batch.offsets, batch.columns["numbers"]
    (array([0, 5, 8]), array([6, 1, 1, 1, 1, 8, 1, 1]))
    >>> [len(batch) for batch in reader.batches(3, shuffle=True)]
    [3, 1]
    >>> reader.select("O == 1")[1:].structures
    array([2])
    """

    @takes(Recipe, MOVED, neighbors=Edges, cache=Cache)
    def __init__(self, path: str | os.PathLike[str] | Store, recipe: Recipe):
        """Open a store.

        Parameters
        ----------
        path
            The store: a path, a URL that zarr can open, or a `Store`.

        Raises
        ------
        StoreFormatError
            If `path` is no finished store of a known version.
        StaleGroupError
            If features, derivatives, a list or a split are those of other content than the store has now.
        InputError, UnknownNameError, ArgumentTypeError
            If the store has not what is asked for, or if options make no sense or contradict each other.
        """
        self.store = labelled(Store.of(path, recipe.storage_options), recipe.labels)
        self._pipeline: Any = Pipeline(self.store, recipe)
        self._gather: Any = self._pipeline.gather
        self._plain = self._pipeline.plain
        self._policy: ForcePolicy | None = None
        # Structures of a part; None: all.
        self._rows = narrowed(recipe.selection, self.store, None, self._pipeline.limited)
        self.recipe = recipe
        self._epoch: Any = self._new_epoch()

    @takes(asked)
    def select(self, selection: Selection) -> Self:
        """Return a view of the structures for which all of some conditions hold.

        In place of an expression there may be a `zstruct.Selection`, such as that of another view. What is
        returned shares decoded blocks with this reader, and can be selected from in turn.

        Raises
        ------
        InputError, UnknownNameError, IndexError, StaleGroupError
            As for `zstruct.Selection.structures`.
        """
        rows = narrowed(selection, self.store, self._rows, self._pipeline.limited)
        return self._view(rows, self.recipe.selected(selection))

    @takes(Forces)
    def with_forces(self, forces: Forces) -> Self:
        """Return a view that uses the forces of some structures only, to train on.

        Adds ``use_forces`` (), which is true for these; `derivatives` come for them only. The others have
        energies to train on. Which these are depends on the epoch (see `set_epoch`; a loader calls it).

        Raises
        ------
        InputError
            If the store has no forces.
        """
        view = copy.copy(self)
        view.recipe = self.recipe.with_forces(forces)
        view._policy, view._plain = ForcePolicy(self.store, self._rows, forces), False
        return view._in_its_own_epoch(self.epoch)

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a sample, without their masks."""
        return self._pipeline.fields

    @property
    def structures(self) -> NDArray[np.int64]:
        """Which structures of the store these are, shape (n,)."""
        return np.arange(self.store.n_structures) if self._rows is None else self._rows.copy()

    @property
    def selection(self) -> Selection:
        """How they were chosen: a split that is made of them says so."""
        return self.recipe.selection

    @keywords()
    def categories(self, field: str) -> list[str]:
        """Return the texts that the codes of a category field stand for.

        Raises
        ------
        KeyError
            If the store has no such category field.
        """
        return texts_of(self.store, field)

    @property
    def varies(self) -> bool:
        """Whether batches depend on the epoch."""
        return self._policy is not None or self._pipeline.transform is not None

    def __len__(self) -> int:
        return self.store.n_structures if self._rows is None else len(self._rows)

    def __repr__(self) -> str:
        return line_of(self, self._pipeline, self._policy)

    def _repr_html_(self) -> str:
        return page_of(self, self._pipeline, self._policy)

    @keywords()
    def prefetch(self, indices: Any) -> None:
        """Have what some structures need decoded by threads in the background; return at once.

        A loader does so by itself. Where the cache is too small for all of it, nothing happens. Indices,
        and errors in them, are as for `take`.
        """
        positions = positions_of(indices, len(self))
        self._pipeline.prefetch(positions if self._rows is None else self._rows[positions])

    @keywords()
    def get_atoms(self, index: int) -> Any:
        """Return a structure as `ase.Atoms`, exactly as it was built into the store.

        All fields of the store are there, in full precision, whatever this reader loads. With `labels`, these
        are what the calculator has, or stand in ``info`` and ``arrays`` beside the store's own.

        Raises
        ------
        IndexError
            If the index is out of range.
        """
        position = position_of(index, len(self)) % len(self)
        return atoms_at(self.store, position if self._rows is None else int(self._rows[position]))

    @keywords()
    def get_statistics(self, **options: Any) -> Any:
        """Return the statistics of these structures, as the store has them; see `zstruct.statistics`.

        Energies are referenced as those of this dataset are, unless other references are given;
        transforms do not count.
        """
        from zstruct.stats import statistics

        if self._pipeline.references is not None:
            options.setdefault("references", self._pipeline.references)
        return statistics(self, **options)

    @property
    def input_size(self) -> int:
        """How many features an atom has.

        Raises
        ------
        InputError
            If there are no features, or no structure that could tell, or if they have no axis.
        """
        return n_features(self._pipeline.extras, self)

    @property
    def elements(self) -> list[int]:
        """The atomic numbers in the store, ascending."""
        species = self.store.attrs.get("species")
        if species is None:  # not built by zstruct
            return np.unique(self.store.read("numbers")).tolist()
        return [SYMBOLS.index(symbol) for symbol in species]

    @property
    def n_atoms(self) -> NDArray[np.int64]:
        """How many atoms each structure has, shape (n,)."""
        return lengths(self._gather.cache.offsets, self._rows)

    @property
    def n_edges(self) -> NDArray[np.int64]:
        """How many edges each structure has, shape (n,), where a stored list tells.

        Raises
        ------
        InputError
            If there is none.
        """
        return lengths(edge_offsets(self._pipeline.extras), self._rows)

    @property
    def rows(self) -> NDArray[np.int64] | None:
        """As `structures`, but None for all of a store, and not to be changed."""
        return self._rows

    @property
    def pipeline(self) -> Pipeline:
        """What makes its batches; shared by all views."""
        return self._pipeline

    @keywords()
    def made_by(self, pipeline: Pipeline) -> Self:
        """Return a view whose batches another pipeline makes, one of the same store."""
        view = copy.copy(self)
        view._pipeline, view._gather = pipeline, pipeline.gather
        view._plain = pipeline.plain and self._policy is None
        return view

    @property
    def policy(self) -> ForcePolicy | None:
        """Whose forces are used; None: those of all."""
        return self._policy

    @property
    def caches(self) -> list[BlockCache]:
        """Where decoded blocks are kept."""
        return self._pipeline.caches

    def _warm(self) -> None:
        self._pipeline.warm()

    def _packed(self, positions: NDArray[np.int64]) -> PackedBatch:
        if self._plain:
            return self._gather(positions, self._rows)
        return self._pipeline(positions, self._rows, self.epoch, self._policy)

    @keywords()
    def close(self) -> None:
        """Let go of decoded blocks; reading more is an error then. Views of this reader go on.

        Nothing else is open: files are not, and memory that is shared goes with the last who has it.
        Readers and datasets are context managers, too: ``with zstruct.StructureReader(path) as reader``.
        """
        self._gather = self._pipeline = Closed(self)
        self._plain = True

    def _of_positions(self, asked_for: Any, positions: NDArray[np.int64]) -> Self:
        rows = positions if self._rows is None else self._rows[positions]
        return self._view(rows, self.recipe.selected(asked(asked_for)))

    def _view(self, rows: NDArray[np.int64] | None, recipe: Recipe) -> Self:
        """Return a view of some structures of the store."""
        view = copy.copy(self)
        view._rows, view.recipe = rows, recipe
        if self._policy is not None and rows is not None and rows is not self._rows:
            view._policy = self._policy.among(rows)
        return view._in_its_own_epoch(self.epoch)
