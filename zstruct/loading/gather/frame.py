"""`Frame`: how the two pieces of memory of a batch are cut into arrays, whoever fills them in."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy import ndarray
from numpy.typing import NDArray

from zstruct.batch.origin import Origin
from zstruct.batch.packed import Interest, PackedBatch
from zstruct.loading.gather.batch_memory import LINE, HeadPlan, head_plan, room_for

__all__ = ["Frame"]

_INT64, _UINT8 = np.dtype(np.int64), np.dtype(np.uint8)
_MOST_PLANS = 100

#: A field: its name, its dtype in batches, and the shape of a row.
FieldOfBatch = tuple[str, np.dtype, tuple[int, ...]]


class Frame:
    """What batches of some columns have in common; what can be known beforehand, it works out once.

    The arrays of a batch are two pieces of new memory, one for what is per atom and one for what
    is per structure: who keeps the energies of a batch does not keep its forces.

    Parameters
    ----------
    atom, structure
        The fields of each dimension.
    masks
        Names of the columns, shape (n,), that say for which structures a field is given.
    names
        All columns but these, in the order in which batches have them.
    wide, origin
        As for `PackedBatch`.
    """

    def __init__(
        self,
        atom: Sequence[FieldOfBatch],
        structure: Sequence[FieldOfBatch],
        masks: Mapping[str, str],
        names: Iterable[str],
        wide: frozenset[str],
        origin: Origin,
    ):
        self.masks, self.wide, self.origin = dict(masks), wide, origin
        # The bytes that an atom has before each of its fields, and before its structure.
        before = list(itertools.accumulate((_row_bytes(field) for field in atom), initial=0))
        self._atom = [(*field, place) for field, place in zip(atom, before, strict=False)]
        self._structure = [(*field, _row_bytes(field)) for field in structure]
        self._atom_bytes, self._interest = before[-1], Interest()
        self.per_atom = frozenset(name for name, *_ in atom)
        self._mask_order = [self.masks[f[0]] for f in [*atom, *structure] if f[0] in self.masks]
        self._n_atom_masks = sum(name in self.masks for name, *_ in atom)
        # What every batch of some size has in common.
        self._plans: dict[int, HeadPlan] = {}
        self._names = [*names, *self.masks.values()]

    def _plan(self, n: int) -> HeadPlan:
        """Lay out the memory for what is per structure."""
        plan = head_plan(n, self._mask_order, self._structure)
        if len(self._plans) < _MOST_PLANS:
            self._plans[n] = plan
        return plan

    def _body(self, rows: int) -> tuple[NDArray[np.uint8], bool]:
        """Return memory for what is per atom, and whether it has some for their structures."""
        interest = self._interest
        numbered = interest.left > 0
        interest.left -= numbered
        each = self._atom_bytes + 8 * numbered
        return np.empty(room_for(rows) * each + LINE, _UINT8), numbered

    def _views(
        self, plan: HeadPlan, head: NDArray[np.int64], body: NDArray[np.uint8], numbered: bool
    ) -> PackedBatch:
        """Cut the two pieces of memory into arrays."""
        n = plan.n
        rows = head.item(2 * n)
        room, begin = room_for(rows), head.item(4 * n + 1)
        columns = dict.fromkeys(self._names, head)  # in the order that was asked for
        for name, dtype, shape, before in self._atom:
            columns[name] = ndarray((rows, *shape), dtype, body, begin + room * before)
        for name, shape, dtype, position in plan.fields:
            columns[name] = ndarray(shape, dtype, head, position)
        packed = PackedBatch(
            head[:n],
            head[n : 2 * n + 1],
            head[2 * n + 1 : 3 * n + 1],
            columns,
            self.per_atom,
            (),
            self.wide,
            (),
            self._interest,
            (),
            self.origin,
        )
        if not numbered:
            return packed
        return packed.numbered(ndarray((rows,), _INT64, body, begin + room * self._atom_bytes))


def _row_bytes(field: FieldOfBatch) -> int:
    _, dtype, shape = field
    return dtype.itemsize * math.prod(shape)
