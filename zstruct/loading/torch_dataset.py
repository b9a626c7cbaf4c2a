"""`TorchDataset`: what datasets of one store and of several are to torch: samples of tensors, and loaders.

It makes a dataset of a `BatchReader`. Which structures there are and what is read of them is that one's
affair.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Literal, Self

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from zstruct.arguments import array_of, count
from zstruct.batch.packed import PackedBatch, Sample
from zstruct.docstrings import documented
from zstruct.keywords import as_options, keywords
from zstruct.layouts.registry import Layout, function_of
from zstruct.layouts.vocabulary import Names
from zstruct.loading.batch_reader import BatchReader
from zstruct.loading.indices import is_plain, positions_of
from zstruct.loading.loader import StructureLoader, make_loader
from zstruct.loading.loader_options import Batches, Ranks, Shuffle, Threads
from zstruct.loading.losses import ObservationModel, as_predicted, loss
from zstruct.loading.moved_options import MOVED

__all__ = ["TorchDataset"]


class TorchDataset(BatchReader, Dataset[Sample]):
    """A reader that torch takes as a dataset, and that makes loaders."""

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

    @keywords()
    @documented(loss)
    def loss(
        self,
        predictions: Mapping[str, Tensor],
        batch: Mapping[str, Tensor],
        weights: Mapping[str, float] | None = None,
        *,
        error: Callable[[Tensor, Tensor], Tensor] = torch.nn.functional.mse_loss,
        observation_model: ObservationModel = as_predicted,
    ) -> Tensor:
        """Return the weighted sum of the errors of several predictions.

        Energies are compared per atom, those of other labels as well. A structure without a label
        (``has_<field>``, or NaN where there is no such mask), and forces that are not used (``use_forces``),
        do not count; where nothing counts, an error is zero.
        """
        known = self._pipeline.origin.fields
        extensive = frozenset(name for name, row in known.items() if row.extensive)
        how: dict[str, Any] = {"error": error, "observation_model": observation_model}
        return loss(predictions, batch, weights, extensive=extensive, **how)

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
            self._warm()
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
