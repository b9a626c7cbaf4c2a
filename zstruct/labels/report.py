"""What `zstruct.label` and `zstruct.labels.add` return: which labels there are now, and of how many."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from zstruct.disk import bytes_within
from zstruct.store.labels import open_labels
from zstruct.text import counted, sized

__all__ = ["LabelReport"]

_SHOWN = 5  # reasons of failures


@dataclass(frozen=True)
class LabelReport:
    """Result of `zstruct.label` and of `zstruct.labels.add`; printing it gives a summary.

    Parameters
    ----------
    path
        The store.
    group
        Path of the group in it.
    n_structures
        Structures of the store.
    coverage
        How many of them have each field, by field.
    failures
        How many have no labels, though somebody tried to make them, by reason.
    written
        Whether this call wrote them; they may have been there.
    nbytes
        Bytes of the group on disk.
    seconds
        How long this call took.
    """

    path: str
    group: str
    n_structures: int
    coverage: Mapping[str, int]
    failures: Mapping[str, int]
    written: bool
    nbytes: int
    seconds: float

    @classmethod
    def of(cls, path: str, name: str, written: bool, began: float) -> LabelReport:
        """Return the report on a group of labels that is there.

        Parameters
        ----------
        path, name
            The store, and the labels.
        written
            Whether they were written just now.
        began
            When, by `time.perf_counter`.
        """
        labels = open_labels(path, name)
        return cls(
            path,
            labels.path,
            labels.store.n_structures,
            {field: labels.coverage(field) for field in labels.fields},
            dict(Counter(labels.failures().values()).most_common()),
            written,
            bytes_within(os.path.join(path, labels.path)),
            time.perf_counter() - began,
        )

    @property
    def n_failed(self) -> int:
        """Structures that nobody could label."""
        return sum(self.failures.values())

    def __str__(self) -> str:
        did = f"written in {self.seconds:.2f} s" if self.written else "there already, nothing to do"
        n = self.n_structures
        fields = [name if k == n else f"{name} of {k:,}" for name, k in self.coverage.items()]
        of = counted(n, "structure")
        lines = [f"{self.path}: {self.group}: {', '.join(fields)}, {of}, {sized(self.nbytes)}, {did}"]
        reasons = list(self.failures.items())
        lines += [f"no labels for {counted(k, 'structure')}: {why}" for why, k in reasons[:_SHOWN]]
        rest = sum(k for _, k in reasons[_SHOWN:])
        return "\n".join([*lines, *([f"... and for {rest:,} more"] if rest else [])])
