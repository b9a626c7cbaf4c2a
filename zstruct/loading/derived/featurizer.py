"""Features by the user's own function, beside the descriptors of zstruct.

The function takes a sample and returns its features; this puts them into batches and, if asked to,
keeps them for the next epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.batch.packed import PackedBatch, Sample
from zstruct.loading.derived.memo import Memo

__all__ = ["Featurizer"]

_NAME = "features"


class Featurizer:
    """Adds to batches what a function returns for each sample.

    Parameters
    ----------
    function
        Takes a `Sample` and returns an array or tensor, which becomes ``features``, or a mapping of
        names to these. What has as many rows as the sample has atoms, and more than one axis, is per
        atom; everything else is per structure and has the same shape in all.
    kept
        Of how many structures to keep what it returned; True for all, False for none.
    """

    def __init__(self, function: Callable[[Sample], Any], kept: bool | int):
        self.function = function
        self._memo = Memo(kept) if kept else None

    def __repr__(self) -> str:
        return f"features by {getattr(self.function, '__name__', repr(self.function))}"

    def of(self, sample: Sample) -> dict[str, NDArray[Any]]:
        """Return the features of a sample, by name.

        Raises
        ------
        ValueError
            If the function returned a name that the sample has already.
        """
        found = self.function(sample)
        named = found if isinstance(found, Mapping) else {_NAME: found}
        if taken := [name for name in named if name in sample]:
            raise ValueError(
                f"the function of features returned {', '.join(taken)}, which the sample has already"
            )
        return {name: _array(value) for name, value in named.items()}

    def __call__(self, batch: PackedBatch) -> None:
        """Add features to a batch.

        Raises
        ------
        ValueError
            If the samples of a batch got features of other names or shapes.
        """
        made: list[dict[str, NDArray[Any]]] = []
        if self._memo is None or batch.structures is None:
            made = [self.of(sample) for sample in batch]
        else:

            def compute(missing: NDArray[np.int64]) -> list[tuple[Any, ...]]:
                return [(self.of(batch[int(i)]),) for i in missing]

            made = [found for (found,) in self._memo.through(batch.structures, compute)]
        if not made:
            return
        for i, found in enumerate(made):
            if found.keys() != made[0].keys():
                raise ValueError(
                    f"the function of features returned {', '.join(found)} for sample {i} of a batch, but "
                    f"{', '.join(made[0])} for sample 0"
                )
        for name in made[0]:
            parts = [found[name] for found in made]
            per_atom = all(p.ndim > 1 and len(p) == n for p, n in zip(parts, batch.n_atoms, strict=True))
            try:
                batch.columns[name] = np.concatenate(parts) if per_atom else np.stack(parts)
            except ValueError as error:
                shapes = ", ".join(map(str, dict.fromkeys(part.shape for part in parts)))
                raise ValueError(
                    f"the function of features returned {name} in shapes that do not join: {shapes}"
                ) from error
            if per_atom:
                batch.per_atom |= {name}


def _array(value: Any) -> NDArray[Any]:
    return value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)
