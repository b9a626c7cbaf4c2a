"""Which structures of an order come together in a batch: policy only, no I/O.

Batches of so many structures, of so many atoms or edges, of structures of similar size. Their edges,
like the order they cut, follow from seed and epoch, so that an epoch can be resumed after any batch
and every rank knows its own. What is known of structures are their sizes, and nothing of stores.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zstruct.arguments import check, count, shown
from zstruct.errors import ArgumentTypeError
from zstruct.loading.loader_options import check_size
from zstruct.loading.order.cuts import alike, budget, cut, in_rows, sizes_of, stops_of
from zstruct.loading.order.samplers import EpochPass, StructureSampler

__all__ = ["BatchSampler", "BucketBatchSampler", "BudgetBatchSampler"]

Announce = Callable[[NDArray[np.int64]], object] | None


class BatchSampler:
    """Batches of a sampler's structures as NumPy arrays: a ``batch_sampler`` for a ``DataLoader``.

    Parameters
    ----------
    sampler
        The order.
    batch_size
        Structures in a batch.
    drop_last
        Whether to leave out a last batch that is smaller.

    Examples
    --------
    >>> from zstruct.loading.order.samplers import SequentialSampler
    >>> for batch in BatchSampler(SequentialSampler(5), 2):
    ...     print(batch)
    [0 1]
    [2 3]
    [4]
    """

    def __init__(self, sampler: StructureSampler, batch_size: int, drop_last: bool = False):
        check(drop_last=drop_last)
        self.sampler, self.batch_size = sampler, count("batch_size", batch_size, 1)
        self.drop_last = bool(drop_last)

    def __repr__(self) -> str:
        return f"<{len(self):,} batches of {self.batch_size:,}: {self.sampler!r}>"

    def __len__(self) -> int:
        n = len(self.sampler)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def recipe(self) -> str:
        """Return what the order of structures depends on, beside seed and epoch, for people."""
        return self.sampler.recipe()

    def batches(self, epoch: int, start: int = 0, announce: Announce = None) -> Iterator[NDArray[np.int64]]:
        """Return the batches of an epoch after the first `start` structures.

        Parameters
        ----------
        epoch
            The epoch.
        start
            How many structures to leave out at the beginning.
        announce
            Is told of structures, many at a time, well before the batches with them come.
        """
        # Asked for now, so that a change of weights while they are used does not change them.
        return self._cut(_announced(self.sampler.chunks(epoch, start), announce, self.sampler.ahead))

    def _cut(self, chunks: Iterator[NDArray[np.int64]]) -> Iterator[NDArray[np.int64]]:
        """Yield the batches of structures that come in pieces."""
        return cut(chunks, self._stops, self.drop_last)

    def _stops(self, structures: NDArray[np.int64]) -> Sequence[int]:
        """Return where batches end, but for a last one that would take what comes next as well."""
        return stops_of(structures, self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        # Not before the first batch is asked for: torch makes an iterator that it never uses.
        current = self.sampler.begin(self.recipe())
        for batch in self.batches(current.epoch, current.position):
            current.position += len(batch)
            yield batch

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration."""
        self.sampler.set_epoch(epoch)

    def state_of(self, at: EpochPass) -> dict[str, Any]:
        """Return the state of a pass."""
        return self.sampler.state_of(at, self.recipe())

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the sampler after the batches handed out."""
        return self.state_of(self.sampler.latest())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on after the batches that another sampler had handed out.

        Raises
        ------
        ValueError
            If the state is that of another order, dataset or number of ranks.
        """
        self.sampler.resume(state, self.recipe())


class BudgetBatchSampler(BatchSampler):
    """Batches of as many structures as have no more than so many atoms or edges together.

    Structures come in the order of the sampler; a batch ends where the next one would not fit. On
    several ranks, batches are those of a single one: each rank takes a range of them, so that their
    numbers differ by one batch at most, and by none if the sampler has an `even`, which counts
    batches here: ``"pad"`` repeats the first ones, ``"drop"`` leaves out the last ones.

    Parameters
    ----------
    sampler
        The order.
    n_atoms
        Atoms of every structure of the dataset, shape (n,).
    batch_size
        The most structures in a batch; None: any number.
    max_atoms
        The most atoms in a batch; None: any number.
    max_edges
        The most edges in a batch; None: any number.
    n_edges
        Edges of every structure, shape (n,), for `max_edges`.
    drop_last
        Whether to leave out a last batch that could have taken more.

    Raises
    ------
    ValueError
        If one structure alone is too large for a batch, if nothing bounds batches, if sizes are not
        those of the sampler's structures, or if a number is out of its range.

    Examples
    --------
    >>> from zstruct.loading.order.samplers import SequentialSampler
    >>> for batch in BudgetBatchSampler(SequentialSampler(5), [3, 3, 8, 1, 1], max_atoms=9):
    ...     print(batch)
    [0 1]
    [2 3]
    [4]
    """

    def __init__(
        self,
        sampler: StructureSampler,
        n_atoms: ArrayLike,
        batch_size: int | None = None,
        *,
        max_atoms: int | None = None,
        max_edges: int | None = None,
        n_edges: ArrayLike | None = None,
        drop_last: bool = False,
    ):
        if not isinstance(sampler, StructureSampler):
            raise ArgumentTypeError(f"sampler is one of zstruct's own, not {shown(sampler)}")
        check(drop_last=drop_last)
        self.sampler, self.drop_last = sampler, bool(drop_last)
        self.batch_size = batch_size  # type: ignore[assignment] # torch has no batches of any size
        self.max_atoms, self.max_edges = max_atoms, max_edges
        check_size(batch_size, None, max_atoms is not None or max_edges is not None)
        if max_edges is not None and n_edges is None:
            raise ValueError("max_edges needs n_edges, the number of edges of every structure")
        self.n_atoms = sizes_of(n_atoms, "n_atoms", sampler.n)
        self._all_atoms = int(self.n_atoms.sum())
        self._budgets = [] if max_atoms is None else [budget(self.n_atoms, max_atoms, "atoms")]
        if max_edges is not None and n_edges is not None:
            self._budgets.append(budget(sizes_of(n_edges, "n_edges", sampler.n), max_edges, "edges"))
        self._planned: tuple[object, NDArray[np.int64]] | None = None

    def __repr__(self) -> str:
        return f"<batches of {self._bounds()}: {self.sampler!r}>"

    def _bounds(self) -> str:
        """Return what bounds a batch, for people."""
        bounds = {"structures": self.batch_size, "atoms": self.max_atoms, "edges": self.max_edges}
        return ", ".join(f"at most {most:,} {what}" for what, most in bounds.items() if most is not None)

    def recipe(self) -> str:
        """Return what the order depends on, beside seed and epoch, for people."""
        return (
            f"{type(self).__name__}: {self._bounds()}, of {self._all_atoms:,} atoms; {self.sampler.recipe()}"
        )

    def __len__(self) -> int:
        """Return the number of batches that this rank takes of the next epoch.

        Unless batches are of one size, it is counted by going through the epoch's order.
        """
        sampler = self.sampler
        if self._budgets:
            n_batches = len(self._plan(sampler.epoch, sampler.of_all_ranks())) - 1
        else:
            n_batches = sampler.length // self.batch_size
            if not self.drop_last and sampler.length % self.batch_size:
                n_batches += 1
        return sampler.share(n_batches)[1]

    def batches(self, epoch: int, start: int = 0, announce: Announce = None) -> Iterator[NDArray[np.int64]]:
        """Return the batches of an epoch after those with the first `start` structures.

        Parameters
        ----------
        epoch
            The epoch.
        start
            How many structures to leave out at the beginning.
        announce
            Is told of structures, many at a time, well before the batches with them come.
        """
        order = self.sampler.of_all_ranks()  # as it is now, whatever becomes of the sampler
        if self.sampler.world_size == 1:
            return self._of_all(order, epoch, start, announce)
        return self._of_this_rank(order, epoch, start, announce)

    def _of_this_rank(
        self, order: StructureSampler, epoch: int, start: int, announce: Announce
    ) -> Iterator[NDArray[np.int64]]:
        plan = self._plan(epoch, order)
        n_batches = len(plan) - 1
        begin, count = self.sampler.share(n_batches)
        # A padded share may pass the end and go on at the beginning.
        for first, last in ((begin, min(begin + count, n_batches)), (0, max(0, begin + count - n_batches))):
            position, end = int(plan[first]) + start, int(plan[last])
            start = max(0, position - end)
            if position >= end:
                continue
            for batch in self._of_all(order, epoch, position, announce):
                yield batch
                position += len(batch)
                if position >= end:
                    break

    def _plan(self, epoch: int, order: StructureSampler) -> NDArray[np.int64]:
        """Return how many structures come before every batch of all ranks, and how many do in all."""
        key = (epoch, order.seed, order.recipe())
        if self._planned is None or self._planned[0] != key:
            lengths = [0, *map(len, self._of_all(order, epoch, 0, None))]
            self._planned = key, np.cumsum(lengths, dtype=np.int64)
        return self._planned[1]

    def _of_all(
        self, order: StructureSampler, epoch: int, start: int, announce: Announce
    ) -> Iterator[NDArray[np.int64]]:
        """Yield the batches of all ranks after those with the first `start` structures."""
        return self._cut(_announced(order.chunks(epoch, start), announce, order.ahead))

    def _stops(self, structures: NDArray[np.int64]) -> Sequence[int]:
        """Return where batches end, but for a last one that would take what comes next as well."""
        return stops_of(structures, self.batch_size, self._budgets)


class BucketBatchSampler(BudgetBatchSampler):
    """Batches of structures of similar size, so that padded ones are full.

    Takes the order of the sampler in buckets of consecutive structures, sorts each by the number of
    atoms, cuts it into batches, and shuffles these. Structures that share a batch are alike in size
    and come from anywhere in the bucket; in which batch of its bucket one comes tells nothing of its
    size. On several ranks, each takes a range of all batches, as with `BudgetBatchSampler`.

    Parameters
    ----------
    sampler
        The order.
    n_atoms
        Atoms of every structure of the dataset, shape (n,).
    batch_size
        Structures in a batch; with a budget the most of them, or None for any number.
    bucket_size
        Structures in a bucket, a multiple of `batch_size` unless there is a budget. The more batches
        to a bucket, the less padding: structures of 5 to 29 atoms, all as likely, in batches of 256
        waste 41 % of the rows as they come, and 8 %, 4 % and 2 % with 8, 16 and 32 batches.
    max_atoms, max_edges, n_edges
        As for `BudgetBatchSampler`; the last batch of every bucket has what is left.
    drop_last
        Whether to leave out the structures that come last in the order and make no full batch.

    Raises
    ------
    ValueError
        As for `BudgetBatchSampler`, and if `bucket_size` makes no sense.

    Examples
    --------
    >>> from zstruct.loading.order.samplers import SequentialSampler
    >>> n_atoms = [9, 2, 8, 3, 2, 9, 3, 8]
    >>> batches = BucketBatchSampler(SequentialSampler(8), n_atoms, batch_size=2, bucket_size=8)
    >>> sorted(batch.tolist() for batch in batches)
    [[0, 5], [1, 4], [2, 7], [3, 6]]
    """

    def __init__(
        self,
        sampler: StructureSampler,
        n_atoms: ArrayLike,
        batch_size: int | None,
        bucket_size: int,
        *,
        max_atoms: int | None = None,
        max_edges: int | None = None,
        n_edges: ArrayLike | None = None,
        drop_last: bool = False,
    ):
        super().__init__(
            sampler,
            n_atoms,
            batch_size,
            max_atoms=max_atoms,
            max_edges=max_edges,
            n_edges=n_edges,
            drop_last=drop_last,
        )
        check_size(batch_size, bucket_size, bool(self._budgets))
        self.bucket_size = bucket_size

    def _bounds(self) -> str:
        return f"{super()._bounds()}, alike in buckets of {self.bucket_size:,}"

    def _of_all(
        self, order: StructureSampler, epoch: int, start: int, announce: Announce
    ) -> Iterator[NDArray[np.int64]]:
        """Yield the batches of all ranks after those with the first `start` structures."""
        bucket = start // self.bucket_size
        skipped = start - bucket * self.bucket_size
        buckets = _announced(
            in_rows(order.chunks(epoch, bucket * self.bucket_size), self.bucket_size), announce, 1
        )
        last = (order.length - 1) // self.bucket_size
        for batch in alike(
            buckets, self.n_atoms, self._stops, self.drop_last, order.seed, epoch, begin=bucket, last=last
        ):
            if skipped > 0:
                skipped -= len(batch)
            else:
                yield batch


def _announced(
    chunks: Iterator[NDArray[np.int64]], announce: Announce, ahead: int
) -> Iterator[NDArray[np.int64]]:
    """Yield chunks; those that come up to `ahead` later are announced before, after the first few."""
    if announce is None:
        yield from chunks
        return
    coming: deque[NDArray[np.int64]] = deque()
    new: list[NDArray[np.int64]] = []
    most = 1  # the first one does not wait for many others to be known
    for chunk in chunks:
        coming.append(chunk)
        new.append(chunk)
        # Several at a time, as soon as there is time: to look up the blocks of few takes as long.
        if most < ahead or len(new) >= ahead // 2:
            announce(new[0] if len(new) == 1 else np.concatenate(new))
            new.clear()
        if len(coming) > most:
            yield coming.popleft()
            most = min(most + 1, ahead)
    if new:
        announce(np.concatenate(new))
    yield from coming
