"""Ask what makes labels for those of some structures; where it raises, find out for which of them.

A batch that fails is halved until what fails is one structure: that has no labels, but a reason. So is a
batch that was too large for a memory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zstruct.batch.packed import PackedBatch
from zstruct.errors import InputError
from zstruct.labels.calculators import calculated
from zstruct.labels.labeller import reason_of
from zstruct.labels.outcome import Expected, Outcome, outcome_of
from zstruct.labels.virials import volumes, volumes_of
from zstruct.store.store import Store

__all__ = ["Asked", "Call", "StructureFailedError"]

_ALONE = threading.Lock()  # nobody knows whether a function may be called twice at a time


class _Reader(Protocol):
    """Has all structures of a store as batches."""

    store: Store

    def take(self, indices: Any) -> PackedBatch:
        """Return some of them."""


class StructureFailedError(InputError):
    """Labels of a structure can't be made, and that is to end it all."""


@dataclass(frozen=True, eq=False)
class Call:
    """What is asked, and how.

    Parameters
    ----------
    how
        A function of a batch, or what makes a calculator.
    factory
        Whether it is the second.
    expected
        What labels may be.
    raises
        Whether a structure that fails ends it all.
    """

    how: Callable[..., Any]
    factory: bool
    expected: Expected
    raises: bool


@dataclass(frozen=True, eq=False)
class Asked:
    """Structures that labels are asked for.

    Parameters
    ----------
    reader
        Has all structures of the store as batches.
    structures
        Which of them, ascending, shape (n,).
    """

    reader: _Reader
    structures: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.structures)

    def _volumes(self, cells: NDArray[Any] | None) -> NDArray[np.float64]:
        """Return their volumes, shape (n,); zero where there is none."""
        if cells is not None:
            return volumes_of(cells)
        first, last = int(self.structures[0]), int(self.structures[-1])
        return volumes(self.reader.store, first, last + 1)[self.structures - first]

    def halves(self) -> Sequence[Asked]:
        """Return the first and the second half of them."""
        middle = len(self) // 2
        return [Asked(self.reader, part) for part in (self.structures[:middle], self.structures[middle:])]

    def outcomes(self, call: Call) -> list[tuple[Asked, Outcome]]:
        """Return their labels, of all together or of parts of them.

        Raises
        ------
        InputError
            If what came back can't be labels.
        StructureFailedError
            If a structure failed and that is to end it all.
        """
        batch = self.reader.take(self.structures)
        # Of a batch that may be changed.
        offsets, cells = batch.offsets.copy(), batch.columns.get("cell")
        volume = partial(self._volumes, None if cells is None else cells.copy())
        if call.factory:
            result, reasons = calculated(call.how, batch, volume(), call.expected.fields)
        else:
            try:
                with _ALONE:
                    result = call.how(batch)
            except Exception as error:  # noqa: BLE001 (whatever it is, the others go on)
                return self._after(error, call)
            reasons = {}
        try:
            found = outcome_of(result, offsets, volume, call.expected)
        except InputError as error:
            raise InputError(f"{error.reason} (structures {self._said()})") from error
        found.reasons |= reasons
        if call.raises and found.reasons:
            k = min(found.reasons)
            raise StructureFailedError(f"structure {int(self.structures[k])}: {found.reasons[k]}")
        return [(self, found)]

    def _after(self, error: Exception, call: Call) -> list[tuple[Asked, Outcome]]:
        """Return the labels of those that did not fail."""
        if len(self) > 1:
            return [pair for half in self.halves() for pair in half.outcomes(call)]
        reason = reason_of(error)
        if call.raises:
            raise StructureFailedError(f"structure {int(self.structures[0])}: {reason}") from error
        return [(self, Outcome(reasons={0: reason}))]

    def _said(self) -> str:
        few = ", ".join(map(str, self.structures[:3].tolist()))
        return few if len(self) <= 3 else f"{few} and {len(self) - 3:,} more"
