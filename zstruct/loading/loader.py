"""`StructureLoader`: batches of a dataset for a training loop, made by threads or by processes.

It joins what others do: a sampler says which structures, the dataset gathers them, a collate
function lays them out, `prefetch` runs that ahead of the loop.
"""

from __future__ import annotations

import inspect
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from zstruct.arguments import check, count, shown, whole
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.keywords import as_options, refuse
from zstruct.loading.devices import device_of, each_tensor, moved, pinned
from zstruct.loading.loader_options import Batches, Ranks, Shuffle, Threads
from zstruct.loading.moved_options import MOVED
from zstruct.loading.order.batch_samplers import BatchSampler
from zstruct.loading.order.epoch_order import batches_of, check_alone, order_of
from zstruct.loading.order.samplers import EpochPass, StructureSampler
from zstruct.loading.prefetch import Prefetcher
from zstruct.loading.worker_batches import WorkerBatches
from zstruct.parallel import cpu_count

__all__ = ["StructureLoader", "make_loader"]

_AHEAD = 4  # batches
# What the dataset's `loader` takes beside the options of torch, and of these what it says in other words.
_OWN = ("batch_size", "shuffle", "layout", "names", "ranks", "threads", "device", "num_workers")
_OBJECTS = {"batch_size": Batches, "shuffle": Shuffle, "ranks": Ranks, "threads": Threads}
_REPLACED = ("dataset", "collate_fn", "drop_last")
_MOST = 1 << 12  # of threads, processes or batches ahead: more would be a slip of the pen
_PATIENCE = 1e-4  # seconds; measured: batches that take less are made faster without threads
_MOST_THREADS = 2  # more only wait for each other; the loop that waits for a batch helps, too


class StructureLoader(DataLoader[Any]):
    """A torch ``DataLoader`` that makes batches by threads, and that can be resumed.

    `ZarrStructureDataset.loader` makes them. Without worker processes, threads of this process
    prepare batches; with them, it is torch's loader in all respects. Several iterators may be in
    use at once, each on its own. Every iteration goes through the next epoch, unless `set_epoch`
    chooses one.

    Parameters
    ----------
    dataset
        Anything with ``__getitems__``, or whose items can be had one by one.
    batch_sampler
        Which structures are in each batch.
    collate_fn
        Makes a batch of what the dataset returns.
    num_workers
        Worker processes.
    threads
        Threads that make batches if there are no worker processes, or `zstruct.loading.Threads`; a
        training loop that has to wait helps them. With 0, a batch is made when it is asked for. By
        default 2, or 1 where there are only two cores, and those not before batches turn out to take
        more than 0.1 ms: taking turns with threads costs as much.
    device
        Where to put the batches; for CUDA they are copied from pinned memory, without waiting.
        ``"mps"`` has no float64: what is in double precision becomes float32 on the way.
    pin_memory
        Whether to put them into pinned memory; CUDA devices imply it.
    **options
        As for ``torch.utils.data.DataLoader``.

    Raises
    ------
    ValueError
        If options contradict each other.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        batch_sampler: Sampler[Any] | Iterable[Any],
        collate_fn: Callable[[Any], Any],
        *,
        num_workers: int = 0,
        threads: int | Threads | None = None,
        device: str | torch.device | None = None,
        pin_memory: bool = False,
        **options: Any,
    ):
        num_workers = count("num_workers", num_workers, most=_MOST)
        check(pin_memory=pin_memory)
        asked = as_options(Threads, threads)
        if num_workers > 0 and asked != Threads():
            raise InputError("threads are for num_workers=0; processes have prefetch_factor")
        if num_workers == 0:
            for name in ("timeout", "worker_init_fn"):
                if options.get(name):
                    raise InputError(f"{name} is for worker processes: it needs num_workers > 0")
        self.device = device_of(device)
        self.threads = 0 if num_workers else _default_threads() if asked.number is None else asked.number
        self.prefetch = _AHEAD if asked.ahead is None else asked.ahead
        self._patience = _PATIENCE if asked == Threads() else 0.0
        on_cuda = self.device is not None and self.device.type == "cuda"
        # A loader has an epoch of its own: others may be elsewhere with the same dataset. Workers that
        # live on see it change, and each that is forked for one iteration keeps that of its beginning.
        self._varies = bool(getattr(dataset, "varies", False))
        if self._varies:
            varying: Any = dataset
            dataset = varying.shared() if options.get("persistent_workers") else varying.at_epoch(0)
        super().__init__(
            dataset,
            batch_sampler=batch_sampler,
            collate_fn=collate_fn,
            num_workers=num_workers,
            pin_memory=pin_memory or on_cuda,
            **options,
        )
        # Torch takes a batch sampler only without these, but everyone asks a loader for them.
        for name in ("batch_size", "drop_last", "sampler"):
            if hasattr(batch_sampler, name):
                self.__dict__[name] = getattr(batch_sampler, name)
        self._run: EpochPass | None = None

    def __repr__(self) -> str:
        which = " for slow batches" if self._patience else ""
        made_by = f"{self.threads} threads{which}, prefetch {self.prefetch}" if self.threads else "no threads"
        if self.num_workers:
            made_by = f"{self.num_workers} worker processes"
        device = "" if self.device is None else f", device {self.device}"
        return f"StructureLoader({self.batch_sampler!r}, {made_by}{device})"

    def __iter__(self) -> Any:
        ours = self._ours_or_none()
        if ours is None:
            foreign: Any = self.batch_sampler
            batches = (
                self._from_workers() if self.num_workers else self._prefetcher(iter(foreign), self.dataset)
            )
            return _Received(batches, self.device, None, None)
        run = ours.sampler.pending()
        run.recipe = ours.recipe()
        announce = getattr(self.dataset, "prefetch", None) if self.threads else None
        tasks = ours.batches(run.epoch, run.position, announce)
        received: Iterator[int]
        dataset: Any = self.dataset
        if self.num_workers:
            # Torch goes through the batches on its own; these are only counted.
            if self._varies:
                dataset.set_epoch(run.epoch)
            batches, received = self._from_workers(), map(len, tasks)
        else:
            lengths: deque[int] = deque()
            if self._varies:
                dataset = dataset.at_epoch(run.epoch)
            batches = self._prefetcher(_noting(tasks, lengths), dataset)
            received = iter(lengths.popleft, None)
        ours.set_epoch(run.epoch + 1)
        self._run = run
        return _Received(batches, self.device, run, received)

    def _from_workers(self) -> Iterator[Any]:
        """Return torch's iterator, whose workers pack batches for the way."""
        collate = self.collate_fn
        self.collate_fn = WorkerBatches(collate, self.prefetch_factor or 1)
        try:
            return super().__iter__()
        finally:
            self.collate_fn = collate

    def _prefetcher(self, tasks: Iterator[Any], dataset: Any) -> Prefetcher:
        accelerator: Any = getattr(torch, "accelerator", torch.cuda)  # since torch 2.6
        pin = self.pin_memory and accelerator.is_available()
        if self.pin_memory and not pin:
            warnings.warn("pin_memory=True does nothing here: torch finds no accelerator", stacklevel=3)
        collate = self.collate_fn
        fetch = getattr(dataset, "__getitems__", None) or (lambda indices: [dataset[i] for i in indices])

        def make(indices: Any) -> Any:
            batch = collate(fetch(indices))
            return each_tensor(batch, pinned) if pin else batch

        return Prefetcher(tasks, make, self.threads, self.prefetch, self._patience)

    def padding_efficiency(self) -> float:
        """Return the share of real atoms in padded batches of the next epoch, between 0 and 1.

        Atoms of all structures over rows, those of a batch being its structures times the atoms of
        its largest one. Nothing is loaded for it; an epoch without batches has 1.

        Raises
        ------
        TypeError
            If the loader was given a sampler of another library.
        """
        ours, n_atoms = self._ours(), self.dataset.n_atoms  # type: ignore[attr-defined]
        atoms = rows = 0
        for structures in ours.batches(self.epoch):
            counts = n_atoms[structures]
            atoms += int(counts.sum())
            rows += len(counts) * int(counts.max())
        return atoms / rows if rows else 1.0

    @property
    def epoch(self) -> int:
        """The epoch that the next iteration goes through."""
        return self._ours().sampler.epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration; without, each goes through the next one.

        Right after `load_state_dict`, naming the epoch that was loaded keeps the place in it.

        Raises
        ------
        TypeError
            If the loader was given a sampler that has no epochs.
        """
        ours = self._ours_or_none()
        if ours is not None:
            epoch = whole("epoch", epoch)
            if epoch != ours.sampler.epoch:
                self._run = None
            ours.set_epoch(epoch)
            return
        foreign: Any
        for foreign in (self.batch_sampler, self.sampler):
            if hasattr(foreign, "set_epoch"):
                foreign.set_epoch(epoch)
                return
        raise TypeError(f"this loader's {type(self.sampler).__name__} has no epochs to choose")

    def state_dict(self) -> dict[str, Any]:
        """Return where the latest iteration is: what was received counts, not what is prefetched.

        Raises
        ------
        TypeError
            If the loader was given a sampler of another library.
        ValueError
            If batches come in any order (``in_order=False``).
        """
        ours = self._ours()
        if not getattr(self, "in_order", True):
            raise ValueError("with in_order=False there is no telling which structures were received")
        return ours.state_dict() if self._run is None else ours.state_of(self._run)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next iteration go on where `state_dict` was taken.

        Raises
        ------
        TypeError
            If the loader was given a sampler of another library.
        ValueError
            If the state is that of another kind of shuffle, dataset or number of ranks.
        """
        self._ours().load_state_dict(state)
        self._run = None

    def _ours(self) -> BatchSampler:
        ours = self._ours_or_none()
        if ours is None:
            raise TypeError(
                "only loaders with a sampler of zstruct have an epoch and can be resumed; this one has "
                f"{type(self.batch_sampler).__name__} of {type(self.sampler).__name__}"
            )
        return ours

    def _ours_or_none(self) -> BatchSampler | None:
        return self.batch_sampler if isinstance(self.batch_sampler, BatchSampler) else None


def _noting(tasks: Iterator[Any], lengths: deque[int]) -> Iterator[Any]:
    """Yield batches of indices and note how many are in each."""
    for indices in tasks:
        lengths.append(len(indices))
        yield indices


class _Received(Iterator[Any]):
    """Hands batches to the training loop: puts them on the device and counts their structures."""

    def __init__(
        self,
        batches: Iterator[Any],
        device: torch.device | None,
        run: EpochPass | None,
        lengths: Iterator[int] | None,
    ) -> None:
        self._batches, self._run, self._lengths = batches, run, lengths
        self._device = None if device is None or device.type == "cpu" else device

    def __iter__(self) -> _Received:
        return self

    def __next__(self) -> Any:
        try:
            batch = next(self._batches)
        except StopIteration:
            if self._run is not None and self._lengths is not None:
                # Whatever the sampler is by then says what comes in the next epoch.
                self._run.epoch, self._run.position, self._run.recipe = self._run.epoch + 1, 0, None
                self._lengths = None
            raise
        if self._run is not None and self._lengths is not None:
            self._run.position += next(self._lengths)
        device = self._device
        return batch if device is None else each_tensor(batch, lambda data: moved(data, device))


def _default_threads() -> int:
    return max(1, min(_MOST_THREADS, cpu_count() - 1))


def make_loader(
    dataset: Any,
    batches: Batches,
    shuffle: Shuffle | None,
    collate_fn: Callable[[Any], Any],
    ranks: Ranks,
    options: Mapping[str, Any],
    **own: Any,
) -> StructureLoader:
    """Return a loader over a dataset.

    Parameters
    ----------
    dataset
        A `zstruct.loading.order.epoch_order.Loadable`.
    batches, shuffle, ranks
        Which structures come when.
    collate_fn, own
        As for `StructureLoader`.
    options
        Those of torch. A seed is drawn from the ``generator`` where one is needed and none is given; a
        ``sampler`` or ``batch_sampler`` stands in place of what the others say.

    Raises
    ------
    InputError
        If options contradict each other or the dataset.
    ArgumentTypeError
        If one is none of torch's.
    """
    refuse("loader", options, _taken(), _OBJECTS, MOVED)
    rest = dict(options)
    sampler, batch_sampler = rest.pop("sampler", None), rest.pop("batch_sampler", None)
    generator = rest.get("generator")
    if generator is not None and not isinstance(generator, torch.Generator):
        raise ArgumentTypeError(f"generator is a torch.Generator, not {shown(generator)}")
    if generator is not None and shuffle is not None and shuffle.seed is not None:
        raise InputError("seed and generator both choose the order: give one of them")
    check_alone(batches, shuffle, ranks, sampler, batch_sampler)
    if batch_sampler is None:
        if sampler is None:
            ranks = _known(ranks)
            sampler = order_of(dataset, shuffle, _seed(shuffle, generator, ranks), ranks)
        if isinstance(sampler, StructureSampler):
            batch_sampler = batches_of(dataset, sampler, batches)
        else:
            batch_sampler = _foreign(sampler, batches)
    return StructureLoader(dataset, batch_sampler, collate_fn, **own, **rest)


def _taken() -> list[str]:
    """Return the keywords that a dataset's `loader` takes."""
    torchs = [name for name in inspect.signature(DataLoader).parameters if name not in _REPLACED]
    return [*dict.fromkeys([*_OWN, *torchs])]


def _known(ranks: Ranks) -> Ranks:
    """Return ranks in numbers: those of torch if none were given."""
    if ranks.rank is not None:
        return ranks
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return Ranks(distributed.get_rank(), distributed.get_world_size(), ranks.even)
    return Ranks(0, 1, ranks.even)


def _seed(shuffle: Shuffle | None, generator: torch.Generator | None, ranks: Ranks) -> int:
    """Return the seed of an order, drawn where none was given."""
    if shuffle is None:
        return 0
    if shuffle.seed is not None:
        return shuffle.seed
    if generator is None and ranks.world_size != 1:
        return 0  # all ranks must agree
    return int(torch.empty((), dtype=torch.int64).random_(generator=generator).item())


def _foreign(sampler: Any, batches: Batches) -> Sampler[Any]:
    """Return batches of the structures of a sampler that is not ours."""
    if batches.bounded or batches.bucket is not None or batches.size is None:
        raise InputError(f"batches by size need a sampler of zstruct, not {type(sampler).__name__}")
    return torch.utils.data.BatchSampler(sampler, batches.size, batches.drop_last)
