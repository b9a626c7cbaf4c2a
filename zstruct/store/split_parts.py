"""`Split`: the parts of a store or dataset, a code for each structure and a label for each part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import shown
from zstruct.errors import UnknownNameError
from zstruct.keywords import keywords
from zstruct.text import html_list, html_table

__all__ = ["Split"]


@keywords()
@dataclass(frozen=True, eq=False)
class Split:
    """The parts of a store or dataset, by label.

    ``parts["train"]`` are the indices of that part, ascending, int64; iterating goes over the parts in
    the order of their labels, so ``train, val, test = parts`` works. All else is as of a dict. Indices
    count the structures of what was split: those of a dataset that is a subset are positions in it.

    Parameters
    ----------
    labels
        Names of the parts.
    codes
        The place of its label in `labels` for every structure, int8; -1 for those in no part.
    recipe
        How it was drawn: ``method``, ``sizes``, ``seed``, ``stratify`` and the number of
        ``structures`` that were split; and, of a selection, how that came about.
    """

    labels: tuple[str, ...]
    codes: NDArray[np.int8]
    recipe: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, label: str) -> NDArray[np.int64]:
        if not isinstance(label, str) or label not in self.labels:
            raise UnknownNameError(f"the split has no part {shown(label)}; it has {', '.join(self.labels)}")
        return np.flatnonzero(self.codes == self.labels.index(label)).astype(np.int64, copy=False)

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        return (self[label] for label in self.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __contains__(self, label: object) -> bool:
        return label in self.labels

    def keys(self) -> tuple[str, ...]:
        """Return the labels: ``dict(parts)`` and ``np.savez(file, **parts)`` work."""
        return self.labels

    def values(self) -> tuple[NDArray[np.int64], ...]:
        """Return the parts, in the order of their labels."""
        return tuple(self)

    def items(self) -> tuple[tuple[str, NDArray[np.int64]], ...]:
        """Return each label with its part."""
        return tuple(zip(self.labels, self, strict=True))

    @keywords()
    def get(self, label: str, default: Any = None) -> Any:
        """Return the part of a label, or a default where there is no such part."""
        if label not in self.labels:
            return default
        return self[label]

    def __repr__(self) -> str:
        parts = ", ".join(f"{label}: {len(self[label]):,}" for label in self.labels)
        return f"Split({parts})"

    def _repr_html_(self) -> str:
        parts = [(label, len(self[label])) for label in self.labels]
        left = int(np.count_nonzero(self.codes < 0))
        counts = [(label, f"{n:,}") for label, n in [*parts, *([("in no part", left)] if left else [])]]
        recipe = [f"{key}: {value}" for key, value in self.recipe.items() if value is not None]
        return html_table(counts, ("part", "structures")) + html_list(recipe)
