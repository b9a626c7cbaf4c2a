"""`ZarrStructureDataset`: a store as a torch dataset.

A `StructureReader` whose samples are tensors, and that makes loaders. What is read and what is done to
it is the reader's affair, how batches are laid out is `layouts`'s.
"""

from __future__ import annotations

import copy
from typing import Any, Literal, Self, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, from_numpy
from torch.utils.data import Dataset

from zstruct.arguments import array_of, count
from zstruct.batch.packed import NO_PAIRS, PackedBatch, Sample
from zstruct.keywords import as_options, keywords
from zstruct.layouts.registry import Layout, function_of
from zstruct.layouts.vocabulary import Names
from zstruct.loading.indices import is_plain, positions_of
from zstruct.loading.loader import StructureLoader, make_loader
from zstruct.loading.loader_options import Batches, Ranks, Shuffle, Threads
from zstruct.loading.losses import loss
from zstruct.loading.moved_options import MOVED
from zstruct.loading.reader import StructureReader

__all__ = ["ZarrStructureDataset"]


class ZarrStructureDataset(StructureReader, Dataset[Sample]):
    """The structures of a store as samples for torch.

    A sample is a dict of tensors, named and shaped as in the store: ``numbers`` (n_atoms,),
    ``positions`` (n_atoms, 3), ``cell`` (3, 3), ``pbc`` (3,), ``energy`` (), and so on, in the units
    of the field table (angstrom, eV). It is new memory, free to be changed.

    * Floating-point fields come as float32, but total energies as float64: in float32, one of
      -17660 eV is a step of a ladder with rungs of 2 meV. `dtype` says otherwise.
    * Integers come as int64, exactly, unless `dtype` names them; booleans as bool. (In stores of
      format 1.0, those that some structures lack are floats and come as float64.)
    * Categories come as int64 codes; `categories` returns their texts.
    * Every field that not all structures of the store have is accompanied by a boolean ``has_<field>``.
      A missing value is NaN, or -1 for a category. Integers and booleans have no value that says
      so: where their mask is false they are 0 or False, which means nothing.

    * Features, edges and derivatives come beside the fields if `features`, `neighbors` or
      `derivatives` ask for them.

    What is read is decoded once, in the dtype asked for, and kept where `cache` says; `repr` tells
    where that is. The dataset pickles and forks, also after it was read from: ``num_workers`` and
    start methods are free to choose.

    Parameters
    ----------
    path
        The store: a path, a URL that zarr can open, or a `Store`.
    fields, dtype, split, features, derivatives, neighbors, references, transform, cache, storage_options
        As for `zstruct.loading.Recipe`.

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
    >>> from zstruct.loading import Edges
    >>> data = ZarrStructureDataset(path, ["numbers"], neighbors=Edges(1.2, carry="edge_dist"))
    >>> data[0]["edge_index"], data[0]["edge_dist"]
    (tensor([[0, 0, 1, 2],
            [1, 2, 0, 0]]), tensor([0.9686, 0.9686, 0.9686, 0.9686]))
    """

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

    #: The weighted sum of the errors of predictions.
    loss = staticmethod(loss)

    @keywords(MOVED, batch_size=Batches, shuffle=Shuffle, ranks=Ranks, threads=Threads)
    def loader(
        self,
        batch_size: int | Batches = 1,
        shuffle: bool | Literal["full", "block"] | Shuffle = False,
        *,
        layout: Layout = "graph",
        names: Names | None = None,
        ranks: Ranks | tuple[int, int] | None = None,
        threads: int | Threads | None = None,
        device: str | torch.device | None = None,
        num_workers: int = 0,
        **options: Any,
    ) -> StructureLoader:
        """Return a torch ``DataLoader`` over the dataset, one that can also be resumed.

        Parameters
        ----------
        batch_size
            Structures in a batch, or `zstruct.loading.Batches`, which also cuts them by atoms and edges,
            and puts structures of similar size together. See `StructureLoader.padding_efficiency`.
        shuffle
            ``"full"``: all structures in random order. ``"block"``: blocks of consecutive structures
            in random order, shuffled inside a window of several blocks, for data that don't fit
            into the cache; see `zstruct.loading.order.BlockShuffleSampler`. True chooses between
            the two from the sizes, and the loader's repr says which. Every iteration has a new order. Or
            `zstruct.loading.Shuffle`, which has a seed, and weights to draw by.
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
        ranks
            This process and how many there are, or `zstruct.loading.Ranks`: each loads its own share. By
            default those of ``torch.distributed``, where that is initialized.
        threads
            Threads that make batches ahead, or `zstruct.loading.Threads`; 0: they are made when they are
            asked for. By default 2, or 1 on two cores, if batches take more than 0.1 ms. Only without
            worker processes.
        device
            Where to put the batches. To CUDA they are copied from pinned memory, without waiting.
            For ``"mps"``, which has no float64, what is in double precision becomes float32.
        num_workers
            Worker processes. With none, threads of this process make the batches, which is usually
            faster: moving a batch between processes takes longer than making it.
        **options
            As for ``torch.utils.data.DataLoader``: ``pin_memory``, a ``generator`` to draw seeds from,
            ``sampler`` or ``batch_sampler`` instead of a shuffle, and with worker processes
            ``prefetch_factor``, ``persistent_workers``, ``multiprocessing_context``, ``worker_init_fn``,
            ``timeout``.

        Raises
        ------
        InputError
            If `layout` or `shuffle` is unknown, if options contradict each other, if a structure alone
            has more than the most atoms or edges of a batch, or if weights make no sense.
        ArgumentTypeError
            If there is no such option, or if one is of a type that makes no sense there.
        """
        join = function_of(layout, names, elements=lambda: self.elements)
        if count("num_workers", num_workers):
            self._pipeline.warm()
        return make_loader(
            self,
            as_options(Batches, batch_size),
            Shuffle.asked(shuffle),
            join,
            Ranks.asked(ranks),
            options,
            threads=threads,
            device=device,
            num_workers=num_workers,
        )

    @keywords()
    def shared(self) -> Self:
        """Return a view with an epoch of its own, which worker processes see change."""
        view = copy.copy(self)
        view._epoch = self._new_epoch()
        return view

    def _new_epoch(self) -> Any:
        # Worker processes, also those that live on, have to see it where anything depends on it.
        epoch = torch.zeros((), dtype=torch.int64)
        return epoch.share_memory_() if self.varies else epoch
