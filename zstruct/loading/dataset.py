"""`ZarrStructureDataset`: a store as a torch dataset.

A `StructureReader` whose samples are tensors, and that makes loaders. What is read and what is done to
it is the reader's affair, how batches are laid out is `layouts`'s.
"""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, from_numpy
from torch.utils.data import Dataset

from zstruct import layouts
from zstruct.arguments import array_of, count
from zstruct.batch.packed import NO_PAIRS, PackedBatch, Sample
from zstruct.features.descriptor import Descriptor
from zstruct.layouts.vocabulary import Names
from zstruct.loading.derived.featurizer import Featurizer
from zstruct.loading.forces import ForceSampling
from zstruct.loading.loader import StructureLoader, make_loader
from zstruct.loading.losses import ObservationModel, as_predicted, weighted_loss
from zstruct.loading.order.choose import Shuffle
from zstruct.loading.order.samplers import Even
from zstruct.loading.reader import StructureReader
from zstruct.loading.selection import Where, is_plain, positions_of
from zstruct.stats.references import References
from zstruct.store.store import Store

__all__ = ["ZarrStructureDataset"]


class ZarrStructureDataset(StructureReader, Dataset[Sample]):
    """The structures of a store as samples for torch.

    A sample is a dict of tensors, named and shaped as in the store: ``numbers`` (n_atoms,),
    ``positions`` (n_atoms, 3), ``cell`` (3, 3), ``pbc`` (3,), ``energy`` (), and so on, in the units
    of the field table (angstrom, eV). It is new memory, free to be changed.

    * Floating-point fields come as float32, but total energies as float64: in float32, one of
      -17660 eV is a step of a ladder with rungs of 2 meV. `dtype` says otherwise.
    * Integers come as int64, exactly, booleans as bool. (In stores of format 1.0, those that some
      structures lack are floats and come as float64.)
    * Categories come as int64 codes; `categories` returns their texts.
    * Every field that not all structures of the store have is accompanied by a boolean ``has_<field>``.
      A missing value is NaN, or -1 for a category. Integers and booleans have no value that says
      so: where their mask is false they are 0 or False, which means nothing.

    * Features, edges and derivatives come beside the fields if `features`, `neighbors` or
      `derivatives` ask for them: see below.

    What is read is decoded once, in the dtype asked for, and kept where `cache` says; `repr` tells
    where that is. The dataset pickles and forks, also after it was read from: ``num_workers`` and
    start methods are free to choose.

    Parameters
    ----------
    path
        The store: a path, a URL that zarr can open, or a `Store`.
    fields
        The fields of a sample; by default all but the provenance, ``source`` and ``frame``.
    dtype
        ``torch.float32`` or ``torch.float64``, or NumPy's, for all floating-point fields, or a mapping
        of names to these; it may also name ``features``, ``edge_shift``, ``edge_vec``, ``edge_dist`` and
        ``deriv_values``. What nobody names comes as float32, but for ``energy``, ``free_energy`` and
        numbers of structures that the field table does not know, which may be energies, too: these
        come as float64. Layouts of other libraries make them what those libraries expect.
    split
        The part of the store to load: a label of the split that `zstruct.split` stored as ``"default"``,
        such as ``"train"``, or the name of a split and a label. By default all of the store.
    max_energy
        Leaves structures aside whose energy per atom, less that of free atoms, is larger, in eV. These
        are those of `energy_reference`, or else the ``atomic_energies`` that the store was built with,
        as in `zstruct.build`; with ``energy_reference=False`` nothing is taken off. A limit on a label
        does not apply to a structure without that label.
    max_force
        Leaves structures aside with a larger norm of the force on any atom, in eV/angstrom.
    max_force_component
        Leaves structures aside with a larger component of any force, by its absolute value.
    where
        The structures to load: a boolean for every structure of the store, or a function of the `Store`
        that returns that.
    energy_reference
        Energies of free atoms to subtract from ``energy`` and ``free_energy``, in double precision:
        True for those that `zstruct.fit_references` or the like stored, the name of others, a mapping
        of symbols to eV, or `References`. None and False: nothing is subtracted.
    transform
        What is done to structures as they are loaded: a `zstruct.transforms.Transform`, a function of
        a sample that returns one, or a list of these. What is computed for a batch (features, edges,
        derivatives) sees the outcome of transforms; a function of samples, and what comes after it in a
        list, takes finished ones, and so does a change of the unit of length.
    force_fraction
        Adds ``use_forces`` (), true for this part of the structures with forces, from 0.0, none, to 1.0;
        `derivatives` come for these only. The others have energies to train on.
    force_sampling
        ``"random"``: other structures every `force_resample_epochs` epochs (see `set_epoch`; a loader
        calls it). ``"fixed"``: always the same.
    force_resample_epochs
        See `force_sampling`.
    force_min_structures
        The least number of structures whose forces are used, whatever the fraction. By default one,
        unless the fraction is 0.0.
    force_seed
        Chooses which structures these are.
    features
        Adds ``features`` (n_atoms, F). The name of features that `zstruct.featurize` stored, or a
        descriptor: where the store has its features with as many digits, they are read, else computed
        for each batch in the thread that makes it (also with a `transform` or `cache_features`).
    features_only
        Loads what training energies by features takes, ``features``, ``numbers`` and ``energy``, and
        reads nothing else.
    featurizer
        A function of a sample that returns its features, an array that becomes ``features`` or a
        mapping of names to arrays: per atom where they have a row for each, else per structure.
    derivatives
        Adds ``deriv_values`` (P, F, 3), the derivatives of the features of the centre by the position
        of the neighbour, for pairs ``deriv_index`` (2, P), as in ``edge_index``. Those by the
        centre's own position are minus the sum over its pairs. A name or a descriptor, as above.
    neighbors
        Adds ``edge_index`` (2, E), the rows of centre (first) and neighbour (second) of each pair of
        atoms within a distance; every pair comes from both of its ends. A cutoff in angstrom: a
        stored list if there is one with this cutoff, else a list computed for each batch, which is
        the same. Or the name of a stored list.
    edges
        What edges carry, by default only ``edge_shift`` (E, 3), cell vectors to add to the
        neighbour's position, as floating-point numbers; there are also ``edge_vec`` (E, 3), from
        centre to neighbour, and ``edge_dist`` (E,), both in angstrom.
    cache_features, cache_neighbors
        Of how many structures to keep the features (of a descriptor or a featurizer) and neighbours
        that are computed; True for all. Worth its memory where they do not change and were not
        stored, which is faster still. Every worker process keeps its own.
    return_atoms
        Adds ``atoms``, an `ase.Atoms` as `get_atoms` returns it, to samples, and a list of these to
        batches of the layouts ``"graph"``, ``"padded"`` and ``"list"``. Transforms leave it as it was
        built. This reads each structure on its own, some milliseconds each.
    observation_model
        A function of predictions and batch that returns what was observed; `loss` applies it.
    cache
        Where decoded fields are kept.

        * ``"memory"``: in the memory of this process; forked workers share what was there before.
        * ``"shared"``: once for all processes of the node that read this store with these fields
          and dtypes, in shared memory (``/dev/shm``) if there is room and else in the directory
          for temporary files. The last process to leave removes it.
        * a directory: as ``"shared"``, but there, say on a fast local disk.
        * None: only what the last request needed is kept.
        * ``"auto"``: in memory if all of it is small (up to 64 MiB) or does not fit into
          `cache_bytes`, shared if it fits and takes at most half of what is free in shared memory.
    cache_bytes
        Bytes of decoded fields to keep in each process; by default half of the memory that is
        available. Where not everything fits, the blocks used last are kept. A single read keeps
        all it needs for as long as it takes. A shared cache holds everything, so it refuses a
        smaller number.
    storage_options
        Of a store that is given as a URL, for fsspec: keys, endpoints and the like.

    Raises
    ------
    StoreFormatError
        If `path` is no finished store of a known version.
    KeyError
        If a field is not in the store.
    InputError
        If a split, features, derivatives or a list are not in the store, or a cutoff is not above zero.
    StaleGroupError
        If they were computed from other content than the store has now.
    ValueError
        If a field has a name that batches need for themselves, if `cache` or `edges` is none of those
        above, if there are `edges` without `neighbors`, or if `cache_bytes` is negative or too small
        for a shared cache, or if other options make no sense or contradict each other.
    TypeError
        If `dtype`, `split`, `features` or `derivatives` is none of those above.

    Examples
    --------
    >>> import tempfile, ase.build, zstruct
    >>> path = tempfile.mkdtemp() + "/water.zarr"
    >>> report = zstruct.build([ase.build.molecule("H2O")] * 4, path, progress=False)
    >>> data = ZarrStructureDataset(path, fields=["numbers", "positions"])
    >>> data[0]["positions"].shape
    torch.Size([3, 3])
    >>> for batch in data.loader(batch_size=2):
    ...     print(batch["batch"])
    tensor([0, 0, 0, 1, 1, 1])
    tensor([0, 0, 0, 1, 1, 1])
    >>> data = ZarrStructureDataset(path, ["numbers"], neighbors=1.2, edges=["edge_dist"])
    >>> data[0]["edge_index"], data[0]["edge_dist"]
    (tensor([[0, 0, 1, 2],
            [1, 2, 0, 0]]), tensor([0.9686, 0.9686, 0.9686, 0.9686]))
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | Store,
        fields: Iterable[str] | None = None,
        dtype: torch.dtype | Mapping[str, torch.dtype] | None = None,
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
        featurizer: Callable[[Sample], Any] | None = None,
        derivatives: str | Descriptor | None = None,
        neighbors: str | float | None = None,
        edges: Iterable[str] | None = None,
        cache_features: bool | int = False,
        cache_neighbors: bool | int = False,
        return_atoms: bool = False,
        observation_model: ObservationModel | None = None,
        cache: str | os.PathLike[str] | None = "auto",
        cache_bytes: int | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ):
        if featurizer is not None and features is not None:
            raise ValueError("features and featurizer both make features: give one of them")
        if featurizer is not None and cache_features and transform is not None:
            raise ValueError("what a transform changes can't be kept: leave out cache_features")
        super().__init__(
            Store.of(path, storage_options),
            fields,
            dtype,
            split=split,
            max_energy=max_energy,
            max_force=max_force,
            max_force_component=max_force_component,
            where=where,
            energy_reference=energy_reference,
            transform=transform,
            force_fraction=force_fraction,
            force_sampling=force_sampling,
            force_resample_epochs=force_resample_epochs,
            force_min_structures=force_min_structures,
            force_seed=force_seed,
            features=features,
            features_only=features_only,
            derivatives=derivatives,
            neighbors=neighbors,
            edges=edges,
            cache_features=cache_features if featurizer is None else False,
            cache_neighbors=cache_neighbors,
            return_atoms=return_atoms,
            cache=cache,
            cache_bytes=cache_bytes,
        )
        self._featurizer = None if featurizer is None else Featurizer(featurizer, cache_features)
        self.observation_model = as_predicted if observation_model is None else observation_model
        self._plain = self._plain and featurizer is None

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice | list[int] | NDArray[Any] | Tensor) -> ZarrStructureDataset: ...
    def __getitem__(self, index: Any) -> Sample | ZarrStructureDataset:
        """Return a sample, or a view of several structures.

        Parameters
        ----------
        index
            An integer (of Python, NumPy or torch) for a sample. A slice, or a list, array or tensor
            of integers, or a boolean mask, for a dataset of these structures in this order, which
            shares this one's decoded blocks.

        Raises
        ------
        IndexError
            If an index is out of range or a mask is not as long as the dataset.
        TypeError
            If it is anything else.
        """
        index = self._position_or_view(index)
        if not isinstance(index, int):
            return index
        one = None
        if self._plain:
            one = self._gather.one(index if self._rows is None else self._rows.item(index))
        if one is None:
            return self._packed(np.array([index]))[0]
        structure, arrays, n_atoms = one
        gather = self._gather
        sample = Sample((), structure, n_atoms, gather.per_atom, NO_PAIRS, gather.wide)
        for name in arrays:
            sample[name] = from_numpy(arrays[name])
        return sample

    def __getitems__(self, indices: list[int] | NDArray[Any] | Tensor) -> PackedBatch:
        """Return several samples in one gather; a torch ``DataLoader`` calls this by itself.

        Raises
        ------
        IndexError
            If an index is out of range.
        """
        # As `take`, for which a call would cost as much as a tensor.
        array = array_of("a list of indices", indices)
        return self._packed(array if is_plain(array) else positions_of(array, len(self)))

    def loss(
        self,
        predictions: Mapping[str, Tensor],
        batch: Mapping[str, Tensor],
        weights: Mapping[str, float] | None = None,
        *,
        error: Callable[[Tensor, Tensor], Tensor] = torch.nn.functional.mse_loss,
    ) -> Tensor:
        """Return the weighted sum of the errors of predictions, after the observation model.

        See `zstruct.loading.losses.weighted_loss`, which takes the same arguments.
        """
        model = self.observation_model
        return weighted_loss(predictions, batch, weights, error=error, observation_model=model)

    def as_dataloader(self, batch_size: int = 1, shuffle: Shuffle = False, **options: Any) -> StructureLoader:
        """Return a loader, asked for in the words of torch's ``DataLoader``.

        Parameters
        ----------
        batch_size, shuffle
            As for `loader`.
        **options
            Those of torch's ``DataLoader``, ``collate_fn`` included, and those of `loader`.
        """
        if "collate_fn" in options:
            options["layout"] = options.pop("collate_fn")
        return self.loader(batch_size, shuffle, **options)

    def loader(
        self,
        batch_size: int = 1,
        shuffle: Shuffle = False,
        *,
        layout: layouts.Layout | Callable[[PackedBatch], Any] = "graph",
        names: Names | None = None,
        max_atoms: int | None = None,
        max_edges: int | None = None,
        bucket_size: int | None = None,
        drop_last: bool = False,
        weights: ArrayLike | None = None,
        seed: int | None = None,
        generator: torch.Generator | None = None,
        rank: int | None = None,
        world_size: int | None = None,
        even: Even = None,
        threads: int | None = None,
        prefetch: int | None = None,
        device: str | torch.device | None = None,
        pin_memory: bool = False,
        num_workers: int = 0,
        **options: Any,
    ) -> StructureLoader:
        """Return a torch ``DataLoader`` over the dataset, one that can also be resumed.

        Parameters
        ----------
        batch_size
            Structures in a batch. With `max_atoms` or `max_edges` the most of them, and 1, the default,
            stands for any number.
        shuffle
            ``"full"``: all structures in random order. ``"block"``: blocks of consecutive structures
            in random order, shuffled inside a window of several blocks, for data that don't fit
            into the cache; see `zstruct.loading.order.samplers.BlockShuffleSampler`. True chooses between
            the two from the sizes, and the loader's repr says which. Every iteration has a new order.
        layout
            ``"graph"``: atoms end to end (`layouts.graph`); ``"padded"``: rectangular tensors
            (`layouts.padded`); ``"list"``: a sequence of samples; what other libraries train on:
            ``"physnet"``, ``"pyg"``, ``"schnetpack"``, ``"mace"`` (with the elements of the store),
            ``"fairchem"`` (see `layouts`); or a function that takes a `PackedBatch`, such as
            ``functools.partial(layouts.padded, num_atoms=64)``.
        names
            Names of the batch that are to be others, ``{"numbers": "species"}``; for ``"graph"`` and
            ``"padded"`` also the name of a project, ``"mlff-distiller"`` or ``"mmml"``: see
            `layouts.graph`.
        max_atoms, max_edges
            The most atoms and edges in a batch: it ends where the next structure would not fit. Edges
            are counted for a stored list of neighbours only.
        bucket_size
            Puts structures of similar size together, for padded batches that are full: the order is
            taken in buckets of so many structures, each sorted by size, cut into batches, and these
            shuffled. A multiple of `batch_size`; 32 times is a good choice: more waste less, fewer mix
            sizes sooner. See `StructureLoader.padding_efficiency`.
        drop_last
            Whether to leave out a last batch that is smaller.
        weights
            Of the structures, shape (n,): as many as there are will be drawn in an epoch, with
            replacement, with probabilities in proportion to these. ``loader.sampler.update(weights)``
            brings others for the next epoch. For other numbers, or no replacement, give a
            `zstruct.loading.order.weighted_sampler.WeightedSampler` as ``sampler``.
        seed
            Chooses the orders of what is random. By default it is drawn from `generator`; on several
            ranks without one it is 0, so that they agree.
        generator
            A torch generator to draw the seed from, by default torch's own.
        rank, world_size
            This process and how many there are: each loads its own share of the structures, or, with
            `max_atoms`, `max_edges` or `bucket_size`, of the batches. By default those of
            ``torch.distributed``, where that is initialized.
        even
            What to do where shares differ by one structure or batch: ``"pad"`` repeats some,
            ``"drop"`` leaves some out, so that all ranks have the same number of batches; None, nothing.
        threads
            Threads that make batches ahead; 0: they are made when they are asked for. By default 2,
            or 1 on two cores, if batches take more than 0.1 ms. Only without worker processes.
        prefetch
            Batches that the threads make ahead, by default 4.
        device
            Where to put the batches. To CUDA they are copied from pinned memory, without waiting.
            For ``"mps"``, which has no float64, what is in double precision becomes float32.
        pin_memory
            Whether to put batches into pinned memory.
        num_workers
            Worker processes. With none, threads of this process make the batches, which is usually
            faster: moving a batch between processes takes longer than making it.
        **options
            As for ``torch.utils.data.DataLoader``: ``sampler`` or ``batch_sampler`` instead of a
            shuffle, and with worker processes ``prefetch_factor``, ``persistent_workers``,
            ``multiprocessing_context``, ``worker_init_fn``, ``timeout``.

        Raises
        ------
        ValueError
            If `layout` or `shuffle` is unknown, if options contradict each other, if a structure alone
            has more than `max_atoms` or `max_edges`, or if weights make no sense.
        TypeError
            If `options` has a ``collate_fn``, which `layout` is here, or if a whole number is none.
        """
        if "collate_fn" in options:
            raise TypeError("loader() takes the collate function as layout=, not as collate_fn=")
        join: Callable[[Any], Any] | None = layout if callable(layout) else None
        if isinstance(layout, str):
            join = layouts.LAYOUTS.get(layout)
        if join is None:
            raise ValueError(
                f"layout is {', '.join(map(repr, layouts.LAYOUTS))} or a function, not {layout!r}"
            )
        if layout == "mace":  # the parts of a store have the same table of elements
            join = functools.partial(layouts.mace, elements=self._elements())
        join = layouts.renaming(layout, join, names)
        if count("num_workers", num_workers):
            self._warm()
        return make_loader(
            self,
            batch_size,
            shuffle,
            join,
            max_atoms=max_atoms,
            max_edges=max_edges,
            bucket_size=bucket_size,
            drop_last=drop_last,
            weights=weights,
            seed=seed,
            generator=generator,
            rank=rank,
            world_size=world_size,
            even=even,
            threads=threads,
            prefetch=prefetch,
            device=device,
            pin_memory=pin_memory,
            num_workers=num_workers,
            **options,
        )

    def shared(self) -> Self:
        """Return a view with an epoch of its own, which worker processes see change."""
        view = copy.copy(self)
        view._epoch = self._new_epoch()
        return view

    def _new_epoch(self) -> Any:
        # Worker processes, also those that live on, have to see it where anything depends on it.
        epoch = torch.zeros((), dtype=torch.int64)
        return epoch.share_memory_() if self.varies else epoch
