"""What users say of the parts of a split: sizes, labels, or the structures themselves, also in a file.

Here that becomes numbers of structures, or a code for each structure; nothing is drawn.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zstruct.arguments import names, shown
from zstruct.errors import InputError
from zstruct.splits.allocation import rounded

__all__ = ["codes_of", "counts_of", "is_row", "labels_of", "parts_of_file"]


def labels_of(labels: Sequence[str] | None, n: int) -> tuple[str, ...]:
    """Return the labels of so many parts, by default those that everybody uses.

    Raises
    ------
    InputError
        If there is not one different name for each part.
    """
    if n == 0:
        raise InputError("a split has at least one part")
    if labels is None and n > 3:
        raise InputError(f"{n} parts need labels=[...], a name for each")
    chosen = ("train", "val", "test")[:n] if labels is None else tuple(names("labels", labels))
    if not all(chosen):
        raise InputError(f"labels are names, not {shown(chosen)}")
    if len(chosen) != n or len(set(chosen)) < n or n > 127:
        raise InputError(f"labels are 1 to 127 different names, one for each part, not {chosen!r} for {n}")
    return chosen


def is_row(sizes: Any) -> bool:
    """Return whether something is a list of numbers, or what can become one."""
    try:
        return np.ndim(sizes) == 1
    except ValueError:  # lists of different lengths
        return False


def parts_of_file(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Return the parts that a file holds."""
    where = os.fspath(path)
    wanted = "an .npz file of indices, as np.savez(file, train=..., val=...) writes it"
    try:
        with open(path, "rb") as opened:
            if opened.read(2) != b"PK":
                raise InputError(f"{where}: it is not {wanted}")
            opened.seek(0)
            with np.load(opened, allow_pickle=False) as file:
                names = [name for name in file.files if _part(name) != name] or file.files
                found = {name: file[name] for name in names}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{where}: it can't be read as {wanted}: {error}") from error
    parts = {_part(name): index for name, index in found.items()}
    if len(parts) < len(found):
        raise InputError(f"{where}: two of {', '.join(found)} are one part: rename one, or leave it out")
    return parts


def _part(name: str) -> str:
    """Return the label that an array of a file has."""
    return name.removeprefix("idx_").removesuffix("_idx")


def counts_of(sizes: Sequence[float], n: int) -> NDArray[np.int64]:
    """Return how many structures each part gets."""
    if not all(isinstance(x, Real) and not isinstance(x, bool) and 0 <= x < np.inf for x in sizes):
        raise InputError(f"sizes are fractions or whole numbers, none below zero, not {sizes!r}")
    if all(isinstance(x, Integral) for x in sizes):
        if sum(sizes) != n:
            raise InputError(
                f"whole numbers as sizes sum to the {n:,} structures there are, not {sum(sizes):,}"
            )
        return np.array(sizes, dtype=np.int64)
    if abs(sum(sizes) - 1) > 1e-6:
        raise InputError(f"fractions sum to 1, not {sum(sizes):g}; give what is left a label of its own")
    return rounded(np.array(sizes, dtype=np.float64), n)


def codes_of(parts: Mapping[str, ArrayLike], n: int) -> NDArray[np.int64]:
    """Return the code of each of `n` structures, -1 for none, for parts given by indices or masks.

    Raises
    ------
    InputError
        If a part is neither, or a structure is in two parts or in one part twice.
    """
    codes = np.full(n, -1, dtype=np.int64)
    for k, (label, chosen) in enumerate(parts.items()):
        index = np.asarray(chosen)
        if index.dtype == bool and index.shape == (n,):
            index = np.flatnonzero(index)
        elif index.size == 0 and index.ndim == 1:
            continue
        if index.dtype.kind not in "iu" or index.ndim != 1:
            raise InputError(
                f"the part {label!r} is neither a list of indices nor a mask of {n:,} structures"
            )
        if index.min() < 0 or index.max() >= n:
            raise InputError(f"the part {label!r} has an index outside 0 to {n - 1:,}")
        taken = index[codes[index] >= 0]
        if len(taken) or len(np.unique(index)) < len(index):
            where = f"structure {taken[0]}, which is in another part" if len(taken) else "a structure twice"
            raise InputError(f"the part {label!r} has {where}")
        codes[index] = k
    return codes
