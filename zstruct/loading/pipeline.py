"""`Pipeline`: what a recipe comes to with a store, from decoded blocks to finished batches.

It is put together once and shared by all views of a dataset. Structures are gathered; references,
transforms, features, edges and derivatives follow, in the order that each of them needs. Which structures
come, in which epoch, and whose forces are used is said with each batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from zstruct.batch.origin import Origin
from zstruct.batch.packed import ATOMS, PackedBatch
from zstruct.batch.union import Column, Columns
from zstruct.errors import InputError
from zstruct.loading.cache.cache import BlockCache
from zstruct.loading.completion import Completion
from zstruct.loading.dataset_options import Cache
from zstruct.loading.fields import check_names, chosen_dtypes, chosen_fields, dtype_of_features, mask_name
from zstruct.loading.gather.field_steps import kept_dtype
from zstruct.loading.gather.gather import Gather
from zstruct.loading.recipe import Recipe
from zstruct.schema import Field
from zstruct.store.labelled import LabelledStore, as_read
from zstruct.store.store import Store
from zstruct.to_ase import atoms_at

if TYPE_CHECKING:
    from zstruct.loading.derived.extras import Extras
    from zstruct.loading.derived.featurizer import Featurizer
    from zstruct.stats.references import References
    from zstruct.transforms.transform import Transform

__all__ = ["Pipeline"]

_ENERGIES = ("energy", "free_energy")

#: Marks in a batch, of an epoch, the structures whose forces are used.
Policy = Callable[[PackedBatch, int], None] | None


class Pipeline:
    """Makes batches of structures of a store, as a recipe says.

    Parameters
    ----------
    store
        The store.
    recipe
        What batches have.

    Attributes
    ----------
    gather
        Brings what is stored.
    fields
        The fields of a sample, without their masks.
    extras
        What there is beside fields; None: nothing.
    references
        Energies of free atoms that are subtracted; None: none.
    limited
        Those less which limits on energies are; None: those of the build, False: none.
    completion
        What is left to do once structures are gathered, and references subtracted.
    plain
        Whether a batch is done when it is gathered.
    """

    def __init__(self, store: Store, recipe: Recipe):
        cache = recipe.cache
        assert isinstance(cache, Cache)
        self.store = store
        names, self._atoms = chosen_fields(store, recipe.fields)  # type: ignore[arg-type] # named ones
        self.references = _references(store, recipe)
        self.limited: References | Literal[False] | None = self.references
        if self.references is None and recipe.references is not None:
            self.limited = False
        self._featurizer = _featurizer(recipe, cache)
        _check_kept(recipe, cache)
        self.extras = _extras(store, recipe, cache)
        extras = self.extras
        dtypes, beside, wide = chosen_dtypes(
            store,
            names,
            recipe.dtype,
            () if extras is None else extras.floats,
            {} if extras is None else extras.whole,
        )
        self.fields, self._dtypes = tuple(dtypes), dtypes
        # Whole numbers and booleans have no missing value: who has them is stored, under the mask's name.
        stored_masks = {n: store.presence[n] for n in names if n in store.presence}
        partial = [n for n in names if store.coverage(n) < store.n_structures]
        masks = {n: mask_name(n) for n in partial if n not in stored_masks}
        self._masked = frozenset({*masks, *stored_masks})
        others = [*(self.extras.taken if self.extras else ()), *([ATOMS] if self._atoms else ())]
        check_names([*names, *masks.values(), *stored_masks.values(), *others])
        # What references need is gathered, too, and put right when the batch is done.
        self._energies = [name for name in _ENERGIES if name in names] if self.references is not None else []
        gathered = dtypes | dict.fromkeys(self._energies, np.dtype(np.float64))
        if self._energies:
            gathered.setdefault("numbers", np.dtype(np.int64))
        self._stored_masks = frozenset(stored_masks.values())
        gathered |= dict.fromkeys(self._stored_masks, np.dtype(np.bool_))
        casts = {name: dtypes[name] for name in self._energies}
        said = {*dtypes, *self._stored_masks}
        self._hidden = tuple(name for name in gathered if name not in said)
        if self.extras is None:
            stored = {name: kept_dtype(store.dtype(name), kind) for name, kind in gathered.items()}
            blocks = BlockCache(as_read(store, stored), stored, cache.where, cache.bytes)
            self.gather = Gather(blocks, gathered, masks, wide)
        else:
            self.gather = self.extras.gather(gathered, beside, masks, cache, wide)
        self.transform: Transform | None = None
        if recipe.transform is not None:
            from zstruct.transforms.compose import as_transform

            self.transform = as_transform(recipe.transform)
            self._check_energies({name: store.fields[name] for name in names})
        self.completion = Completion.of(
            self.transform,
            {name: store.fields[name] for name in names},
            self.extras,
            self._hidden,
            casts,
            self.copies_float32,
        )
        done = (self.completion.extras, self._energies or None, self.transform, self._featurizer)
        self.plain = all(step is None for step in done) and not self._atoms

    def _check_energies(self, known: dict[str, Field]) -> None:
        """Raise if energies are taken off energies twice."""
        from zstruct.transforms.compose import steps_of
        from zstruct.transforms.delta import Delta

        steps = [] if self.transform is None else steps_of(self.transform)
        if self.references is not None and any(
            isinstance(step, Delta) and step.takes_energies(known) for step in steps
        ):
            raise InputError(
                "references are taken off energies, and not off those that Delta takes off: leave references "
                "out, of which differences need none"
            )

    def copies_float32(self, name: str) -> bool:
        """Return whether the gather copies a field as it is, per atom and in single precision."""
        return self.gather.dtypes.get(name) == np.float32 and self.gather.copies(name)

    def __call__(
        self, positions: NDArray[np.int64], rows: NDArray[np.int64] | None, epoch: int, policy: Policy
    ) -> PackedBatch:
        """Return a batch.

        Parameters
        ----------
        positions
            Which structures, shape (n,).
        rows
            What the positions count: structures of the store; None: all of them.
        epoch
            What random transforms and the choice of forces depend on.
        policy
            Marks the structures whose forces are used.
        """
        writer = self.completion.writer(self.gather, epoch)
        batch = self.gather(positions, rows, writer)
        if self.references is not None:
            for name in self._energies:
                batch.columns[name] = self.references.subtract(
                    batch.columns["numbers"], batch.offsets, batch.columns[name]
                )
        if policy is not None:
            policy(batch, epoch)
        batch = self.completion(batch, epoch, writer)
        if self._featurizer is not None:
            self._featurizer(batch)
        if self._atoms:
            n = self.store.n_structures
            structures = (positions if rows is None else rows[positions]).tolist()
            batch.atoms = tuple(atoms_at(self.store, structure % n) for structure in structures)
        return batch

    def columns(self) -> Columns:
        """Return the columns of batches, as far as functions and transforms leave them as they are."""
        known = self.store.fields
        found = {name: replace(_column(known[name]), dtype=self._dtypes[name]) for name in self.fields}
        found |= {} if self.extras is None else self.extras.columns
        wide = self.gather.wide & found.keys()
        return Columns(self.store.path, found, self._masked, wide, self.gather.origin.texts)

    def gathered(self) -> Columns:
        """Return the columns of what is gathered, the hidden ones and those that become others included."""
        known, columns = self.store.fields, self.columns()
        found = {
            name: replace(columns.columns.get(name) or _column(known[name]), dtype=dtype)
            for name, dtype in self.gather.dtypes.items()
            if name not in self._stored_masks
        }
        return replace(columns, columns=found, wide=self.gather.wide & found.keys())

    @property
    def origin(self) -> Origin:
        """Where the structures come from."""
        return self.gather.origin

    @property
    def changes(self) -> bool:
        """Whether functions of users' or transforms may add columns, or leave some out."""
        return self.transform is not None or self._featurizer is not None

    @property
    def calls(self) -> bool:
        """Whether something is done to batches after `completion`."""
        return self._featurizer is not None or self._atoms

    @property
    def referenced(self) -> tuple[str, ...]:
        """The fields that references are subtracted from."""
        return tuple(self._energies)

    @property
    def with_atoms(self) -> bool:
        """Whether batches have their structures as `ase.Atoms`, too."""
        return self._atoms

    @property
    def all_steps(self) -> list[Transform]:
        """The transforms, one after the other."""
        return [*self.completion.before, *self.completion.after]

    @property
    def caches(self) -> list[BlockCache]:
        """All caches of decoded blocks."""
        extras = self.completion.extras
        return [self.gather.cache, *(extras.caches if extras is not None else ())]

    def describe(self) -> list[str]:
        """Return what is done beside reading fields, for people."""
        said = [] if self.extras is None else [self.extras.describe()]
        if isinstance(self.store, LabelledStore):
            of = self.store.labels
            named = (
                of if isinstance(of, str) else ", ".join(f"{prefix}: {name}" for prefix, name in of.items())
            )
            said.append(f"labels: {named}")
        if self.references is not None and self._energies:
            said.append(f"energies less those of {len(self.references)} elements, {self.references.method}")
        return said

    def steps(self) -> list[str]:
        """Return what is done last, for people."""
        return [repr(step) for step in (self.transform, self._featurizer) if step is not None]

    def prefetch(self, structures: NDArray[np.int64]) -> None:
        """Have what some structures need decoded by threads; return at once."""
        self.gather.prefetch(structures)
        if self.completion.extras is not None:
            self.completion.extras.prefetch(structures)

    def warm(self) -> None:
        """Load kernels and offsets, for workers to share; leave alone what is the user's own."""
        batch = self.gather(np.empty(0, np.int64), None)
        if self.completion.extras is not None:
            self.completion.extras.complete(batch)


def _extras(store: Store, recipe: Recipe, cache: Cache) -> Extras | None:
    """Return what there is beside fields."""
    features = recipe.features if recipe.function is None else None
    if features is recipe.derivatives is recipe.neighbors is None:
        return None
    from zstruct.loading.derived.extras import Extras

    kept = cache.features if recipe.function is None else False
    # What a transform changes has to be computed, and so has what is to be kept.
    computed = recipe.transform is not None or kept or isinstance(features, str)
    read = None if computed else dtype_of_features(recipe.dtype)
    return Extras(
        store,
        features,  # type: ignore[arg-type] # no function
        recipe.derivatives,
        recipe.neighbors,  # type: ignore[arg-type] # of a recipe, edges
        kept,
        cache.neighbors,
        read,
    )


def _column(field: Field) -> Column:
    """Return the column of a field, in the dtype of the store."""
    return Column(field.level, np.dtype(field.dtype), field.shape, field)


def _featurizer(recipe: Recipe, cache: Cache) -> Featurizer | None:
    """Return what calls the user's function, if there is one."""
    if recipe.function is None:
        return None
    from zstruct.loading.derived.featurizer import Featurizer

    return Featurizer(recipe.function, cache.features)


def _check_kept(recipe: Recipe, cache: Cache) -> None:
    """Raise if what is to be kept is not computed, or changes."""
    if cache.features and recipe.features is None:
        raise InputError("a cache keeps features that are computed: give features a descriptor or a function")
    if cache.neighbors and recipe.neighbors is recipe.derivatives is None:
        raise InputError("a cache keeps neighbours that are computed: give neighbors a cutoff")
    if recipe.transform is not None and (cache.features or cache.neighbors):
        raise InputError(
            "what a transform changes can't be kept: leave features and neighbors of the cache out"
        )


def _references(store: Store, recipe: Recipe) -> References | None:
    """Return the references that a recipe asks for."""
    if recipe.references is None or recipe.references is False:
        return None
    from zstruct.stats.references import chosen_references

    return chosen_references(store, recipe.references)
