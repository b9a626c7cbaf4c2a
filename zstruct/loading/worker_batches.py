"""Batches on their way from worker processes, in memory that is used again and again.

Torch moves every tensor in a file of its own, which is made, sent, mapped by both sides and filled page
by page, for each batch anew. Here a worker has a few slots of shared memory, which it sends for once.
The large arrays of a batch are copied into a slot; what goes through the pipe is where they lie, and a
pickle of the rest. The tensors on the other side are that memory. When the last of them is gone, the
slot is free again; where all are taken, because somebody keeps batches, torch moves them in its own way.
"""

from __future__ import annotations

import itertools
import os
import pickle
import weakref
from collections.abc import Callable, Sequence
from io import BytesIO
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import get_worker_info

__all__ = ["WorkerBatches"]

_LINE = 64  # bytes of a cache line: arrays begin on one of their own
# Bytes of an array that goes through the pipe: who keeps the energies of a batch keeps no slot for them.
_SMALL = 1 << 14
_SPARE = 1.25  # times the bytes of a batch, for larger ones that may follow
_IN_USE = 3  # batches that a training loop has at once, beyond those that are made ahead

_by_number: weakref.WeakValueDictionary[int, WorkerBatches] = weakref.WeakValueDictionary()
_numbers = itertools.count()


class _Slots:
    """Pieces of shared memory of equal length, and for each a byte that says whether it is taken.

    Parameters
    ----------
    memory
        Shared by both sides: the bytes that say it, then the pieces.
    n
        How many.
    """

    def __init__(self, memory: torch.Tensor, n: int):
        self.memory, self.n = memory, n
        whole = memory.numpy()
        self.taken: NDArray[np.uint8] = whole[:n]
        self.rows: NDArray[np.uint8] = whole[_padded(n) :].reshape(n, -1)

    @classmethod
    def new(cls, n: int, size: int) -> _Slots:
        """Return slots that are free; pages that nobody writes to take no memory."""
        storage = torch.UntypedStorage._new_shared(_padded(n) + n * _padded(size))
        return cls(torch.empty(0, dtype=torch.uint8).set_(storage), n)

    def free(self) -> int | None:
        """Return a slot that is free; None: there is none."""
        slot = int(self.taken.argmin())
        return None if self.taken[slot] else slot

    def lent(self, slot: int) -> memoryview:
        """Return the memory of a slot, which is given back when nothing refers to it any more."""
        memory = self.rows[slot]
        weakref.finalize(memory, _give_back, self.taken, slot, os.getpid()).atexit = False
        return memoryview(memory)


def _give_back(taken: NDArray[np.uint8], slot: int, owner: int) -> None:
    if os.getpid() == owner:  # not if a forked child forgets what its parent still has
        taken[slot] = 0


class WorkerBatches:
    """Makes batches in worker processes, and has them cross to the one that trains.

    There is one for each iteration: workers have copies of it, and what they send finds the one that stayed.

    Parameters
    ----------
    collate
        Makes a batch.
    ahead
        Batches that a worker makes ahead.
    """

    def __init__(self, collate: Callable[[Any], Any], ahead: int):
        self._collate, self._n = collate, ahead + _IN_USE
        self._number = next(_numbers)
        self._own: _Slots | None = None  # in a worker
        self._received: dict[int, _Slots] = {}  # by worker
        _by_number[self._number] = self

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_own": None, "_received": {}}

    def __call__(self, samples: Any) -> Any:
        """Return a batch, in a worker as a message that becomes the batch where it arrives."""
        batch, worker = self._collate(samples), get_worker_info()
        if worker is None or (self._own is not None and self._own.free() is None):
            return batch
        rest, arrays = _taken_apart(batch)
        ends = list(itertools.accumulate((_padded(array.nbytes) for array in arrays), initial=0))
        slots, sent = self._own, None
        if slots is None or ends[-1] > slots.rows.shape[1]:
            slots = self._own = _Slots.new(self._n, int(_SPARE * ends[-1]) + _LINE)
            sent = slots.memory
        slot = slots.free()
        assert slot is not None
        slots.taken[slot], memory, places = 1, slots.rows[slot], []
        for array, begin in zip(arrays, ends, strict=False):
            places.append((begin, begin + array.nbytes))
            memory[slice(*places[-1])] = np.frombuffer(array, np.uint8)
        return _Message(self._number, worker.id, sent, self._n, slot, places, rest)

    def opened(
        self,
        worker: int,
        memory: torch.Tensor | None,
        n: int,
        slot: int,
        places: Sequence[tuple[int, int]],
        rest: bytes,
    ) -> Any:
        """Return the batch that a worker has put into a slot.

        Parameters
        ----------
        worker
            Which one.
        memory, n
            That of its slots, if they are new, and how many there are.
        slot
            Which of them.
        places
            Where in it arrays begin and end.
        rest
            All but these.
        """
        if memory is not None:
            self._received[worker] = _Slots(memory, n)
        lent = self._received[worker].lent(slot)
        return pickle.loads(rest, buffers=[lent[begin:end] for begin, end in places])


class _Message:
    """What is pickled in place of a batch, and becomes it when it is unpickled."""

    def __init__(self, number: int, *content: Any):
        self._number, self._content = number, content

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _open, (self._number, *self._content)


def _open(number: int, *content: Any) -> Any:
    receiver = _by_number.get(number)
    return None if receiver is None else receiver.opened(*content)  # the iteration is over


class _Pickler(ForkingPickler):
    """Leaves the numbers of tensors and arrays to others; what else torch knows to move, it moves."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is not torch.Tensor or value.requires_grad or not value.is_contiguous():
            return NotImplemented
        try:
            return torch.from_numpy, (value.numpy(),)
        except (TypeError, RuntimeError):  # bfloat16, sparse, on another device
            return NotImplemented


def _taken_apart(batch: Any) -> tuple[bytes, list[memoryview]]:
    """Return the pickle of all but the large arrays of a batch, and these."""
    file, arrays = BytesIO(), []

    def keep(buffer: pickle.PickleBuffer) -> bool:
        array = buffer.raw()
        if array.nbytes > _SMALL:
            arrays.append(array)
        return array.nbytes <= _SMALL  # whether it goes into the pickle

    _Pickler(file, pickle.HIGHEST_PROTOCOL, True, keep).dump(batch)
    return file.getvalue(), arrays


def _padded(nbytes: int) -> int:
    return -(-nbytes // _LINE) * _LINE
