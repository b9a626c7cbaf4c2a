"""`ZarrStructureDataset`: a store as a torch dataset.

It turns what users ask for (fields, dtypes, any kind of index) into lists of structures, has them
gathered, and makes samples, batches and loaders of them. How blocks are decoded and kept is
`cache`'s affair, how batches are laid out is `collate`'s.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import from_numpy
from torch.utils.data import Dataset

from zstruct.features.base import Descriptor
from zstruct.loading import collate
from zstruct.loading.batch import PackedBatch, Sample
from zstruct.loading.cache import BlockCache
from zstruct.loading.choosing import (
    check_names,
    chosen_dtypes,
    chosen_fields,
    chosen_structures,
    mask_name,
)
from zstruct.loading.extras import Extras
from zstruct.loading.gather import Gather, kept_dtype, out_of_range
from zstruct.loading.indexing import as_int, is_plain, positions_of
from zstruct.loading.loader import Shuffle, StructureLoader, make_loader
from zstruct.loading.samplers import Even
from zstruct.schema import ATOM
from zstruct.store import Store

__all__ = ["ZarrStructureDataset"]

Layout = Literal["graph", "padded", "list"]


def _apart(samples: PackedBatch) -> PackedBatch:
    """Leave a batch as the sequence of samples that it is.

    A list of samples would cross from a worker process as one shared-memory file per tensor, and
    a few large batches of those exhaust the files a process may have open.
    """
    return samples


_LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "graph": collate.graph,
    "padded": collate.padded,
    "list": _apart,
}


class ZarrStructureDataset(Dataset[Sample]):
    """The structures of a store as samples for torch.

    A sample is a dict of tensors, named and shaped as in the store: ``numbers`` (n_atoms,),
    ``positions`` (n_atoms, 3), ``cell`` (3, 3), ``pbc`` (3,), ``energy`` (), and so on, in the units
    of the field table (angstrom, eV). It is new memory, free to be changed.

    * Floating-point fields come in `dtype`, all of them: a total energy of -19517.094 eV keeps
      about 1e-3 eV in float32, so ask for ``dtype={"energy": torch.float64}`` where that matters.
    * Integers come as int64, booleans as bool. Integers and booleans that some structures lack are
      stored as floats and come as float64.
    * Categories come as int64 codes; `categories` returns their texts.
    * A missing value is NaN, or -1 for a category, never zero. Every field that not all structures
      of the store have is accompanied by a boolean ``has_<field>``.

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
        ``torch.float32`` or ``torch.float64`` for all floating-point fields, or a mapping of names
        to these; fields it does not name come as ``torch.float32``. It may also name ``features``,
        ``edge_shift``, ``edge_vec``, ``edge_dist`` and ``deriv_values``.
    split
        The part of the store to load: a label of the split that `zstruct.split` stored as ``"default"``,
        such as ``"train"``, or the name of a split and a label. By default all of the store.
    features
        Adds ``features`` (n_atoms, F). The name of features that `zstruct.featurize` stored, or a
        descriptor, which computes them for each batch in the thread that makes it.
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
        for a shared cache.
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
        dtype: torch.dtype | Mapping[str, torch.dtype] = torch.float32,
        *,
        split: str | tuple[str, str] | None = None,
        features: str | Descriptor | None = None,
        derivatives: str | Descriptor | None = None,
        neighbors: str | float | None = None,
        edges: Iterable[str] | None = None,
        cache: str | os.PathLike[str] | None = "auto",
        cache_bytes: int | None = None,
    ):
        self.store = path if isinstance(path, Store) else Store(path)
        # Structures of a subset; None: all.
        self._rows: NDArray[np.int64] | None = chosen_structures(self.store, split)
        names = chosen_fields(self.store, fields)
        extras = None
        if edges is not None and neighbors is None:
            raise ValueError("edges say what neighbors carry: give neighbors a cutoff or a name, too")
        if not (features is derivatives is neighbors is None):
            extras = Extras(self.store, features, derivatives, neighbors, edges)
        self._dtypes, beside = chosen_dtypes(self.store, names, dtype, extras.floats if extras else ())
        self._per_atom = frozenset(n for n in names if self.store.fields[n].level == ATOM)
        masks = {n: mask_name(n) for n in names if self.store.coverage(n) < self.store.n_structures}
        check_names([*names, *masks.values(), *(extras.names if extras else ())])
        if extras is None:
            kept = {n: kept_dtype(np.dtype(self.store.fields[n].dtype), self._dtypes[n]) for n in names}
            self._gather = Gather(BlockCache(self.store, kept, cache, cache_bytes), self._dtypes, masks)
        else:
            self._gather = extras.gather(self._dtypes, beside, masks, cache, cache_bytes)
            self._per_atom |= extras.per_atom
        self._described = extras
        # What is left to do once everything is gathered.
        self._extras = None if extras is None or extras.is_gathered else extras

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
        if field not in found:
            raise KeyError(
                f"{field!r} is no category field of {self.store.path}; those are {', '.join(found) or 'none'}"
            )
        return self.store.categories(field)

    def __len__(self) -> int:
        return self.store.n_structures if self._rows is None else len(self._rows)

    def __repr__(self) -> str:
        extras = "" if self._described is None else f"; {self._described.describe()}"
        return (
            f"ZarrStructureDataset({self.store.path!r}, {len(self):,} structures: "
            f"{', '.join(self.fields)}{extras}; cache: {self._gather.cache.describe()})"
        )

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice | list[int] | NDArray | torch.Tensor) -> ZarrStructureDataset: ...
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
        if type(index) is not int:
            if isinstance(index, slice):
                return self._subset(np.arange(len(self), dtype=np.int64)[index])
            if isinstance(index, list | range) or getattr(index, "ndim", 0) > 0:
                return self._subset(positions_of(index, len(self)))
            index = as_int(index)
        n = len(self)
        if not -n <= index < n:
            raise out_of_range(index, n)
        one = None
        if self._extras is None:
            one = self._gather.one(index if self._rows is None else self._rows.item(index))
        if one is None:
            return self._packed(np.array([index]))[0]
        structure, arrays, n_atoms = one
        sample = Sample((), structure, n_atoms, self._per_atom)
        for name in arrays:
            sample[name] = from_numpy(arrays[name])
        return sample

    def __getitems__(self, indices: list[int] | NDArray | torch.Tensor) -> PackedBatch:
        """Return several samples in one gather; a torch ``DataLoader`` calls this by itself.

        Raises
        ------
        IndexError
            If an index is out of range.
        """
        array = np.asarray(indices)
        return self._packed(array if is_plain(array) else positions_of(array, len(self)))

    def take(self, indices: list[int] | NDArray | torch.Tensor) -> PackedBatch:
        """Return several structures, packed end to end, in the order of the indices.

        Parameters
        ----------
        indices
            Integers, negative ones counting from the end and repeats allowed, or a boolean mask.

        Returns
        -------
        PackedBatch
            New memory. Its `columns` are arrays by field, its `offsets` the row edges of the
            structures; `collate.graph` and `collate.padded` make tensors of it, and as a sequence
            it has one `Sample` for each structure.

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
        >>> batch = ZarrStructureDataset(path).take([2, 0])
        >>> batch.offsets, batch.columns["numbers"]
        (array([0, 5, 8]), array([6, 1, 1, 1, 1, 8, 1, 1]))
        """
        return self.__getitems__(indices)

    def prefetch(self, indices: list[int] | NDArray | torch.Tensor) -> None:
        """Have what some structures need decoded by threads in the background; return at once.

        `loader` does so by itself. Where the cache is too small for all of it, nothing happens.

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

    def _packed(self, positions: NDArray[np.int64]) -> PackedBatch:
        gathered = self._gather(positions, self._rows)
        return gathered if self._extras is None else self._extras.complete(gathered)

    @property
    def _caches(self) -> list[BlockCache]:
        return [self._gather.cache, *(self._extras.caches if self._extras is not None else ())]

    def loader(
        self,
        batch_size: int = 1,
        shuffle: Shuffle = False,
        *,
        layout: Layout | Callable[[PackedBatch], Any] = "graph",
        drop_last: bool = False,
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
            Structures in a batch.
        shuffle
            ``"full"``: all structures in random order. ``"block"``: blocks of consecutive structures
            in random order, shuffled inside a window of several blocks, for data that don't fit
            into the cache; see `zstruct.loading.samplers.BlockShuffleSampler`. True chooses between
            the two from the sizes, and the loader's repr says which. Every iteration has a new order.
        layout
            ``"graph"``: atoms end to end (`collate.graph`); ``"padded"``: rectangular tensors
            (`collate.padded`); ``"list"``: a sequence of samples; or a function that takes a
            `PackedBatch`, such as ``functools.partial(collate.padded, num_atoms=64)``.
        drop_last
            Whether to leave out a last batch that is smaller.
        seed
            Chooses the orders of the shuffle. By default it is drawn from `generator`; on several
            ranks without one it is 0, so that they agree.
        generator
            A torch generator to draw the seed from, by default torch's own.
        rank, world_size
            This process and how many there are: each loads its own share of the structures. By
            default those of ``torch.distributed``, where that is initialized.
        even
            What to do where shares differ by one structure: ``"pad"`` repeats some, ``"drop"``
            leaves some out, so that all ranks have the same number of batches; None, nothing.
        threads
            Threads that make batches ahead; 0: they are made when they are asked for. By default 2,
            or 1 on two cores, if batches take more than 0.1 ms. Only without worker processes.
        prefetch
            Batches that the threads make ahead, by default 4.
        device
            Where to put the batches. To CUDA they are copied from pinned memory, without waiting.
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
            If `layout` or `shuffle` is unknown, or if options contradict each other.
        TypeError
            If `options` has a ``collate_fn``, which `layout` is here.
        """
        if "collate_fn" in options:
            raise TypeError("loader() takes the collate function as layout=, not as collate_fn=")
        join: Callable[[Any], Any] | None = layout if callable(layout) else _LAYOUTS.get(layout)
        if join is None:
            raise ValueError(f"layout is {', '.join(map(repr, _LAYOUTS))} or a function, not {layout!r}")
        if num_workers:
            self.take([])  # loads the kernels, and the offsets: forked workers share them
        return make_loader(
            self,
            batch_size,
            shuffle,
            join,
            drop_last=drop_last,
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

    def _subset(self, positions: NDArray[np.int64]) -> ZarrStructureDataset:
        subset = copy.copy(self)
        subset._rows = positions if self._rows is None else self._rows[positions]
        return subset
