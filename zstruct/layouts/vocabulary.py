"""What other projects call the things in a batch: our layouts under their names, and in their dtypes.

A mapping of names, or the name of a project. This module knows the layouts by name only.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import shown
from zstruct.batch.pack import Batch
from zstruct.batch.packed import PackedBatch
from zstruct.batch.tensors import converter
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.layouts.conversion import assembled, in_single

__all__ = ["PROJECTS", "Names", "Vocabulary", "vocabulary_of"]

#: New names by our own, or the name of a project.
Names = str | Mapping[str, str]


@dataclass(frozen=True)
class Vocabulary:
    """How a project speaks of a batch.

    Parameters
    ----------
    names
        Its names by ours.
    strict
        Whether all of these have to be there.
    single
        Whether energies that nobody asked for in double precision are in that of the positions.
    int32
        What is given as 32-bit integers, by our names.
    zero
        Fields of structures that are zero where nobody gave them, by our names; there in any case.
    sizes
        Whether ``batch_size``, ``max_atoms`` and ``total_atoms`` come along, as numbers of Python.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    strict: bool = False
    single: bool = False
    int32: Collection[str] = ()
    zero: Collection[str] = ()
    sizes: bool = False

    def prepared(self, packed: PackedBatch) -> PackedBatch:
        """Return structures in the precision of the project."""
        return in_single(packed) if self.single else packed

    def said(self, layout: str, batch: Mapping[str, Any], as_numpy: bool) -> Batch:
        """Return a batch, of arrays, in the words of the project.

        Raises
        ------
        InputError
            If two things would have one name, or a name to be changed is not there.
        """
        arrays: dict[str, Any] = dict(batch)
        counts = arrays["n_atoms"]
        for name in self.zero:
            arrays[name] = _zero(arrays.pop(name, None), len(counts), arrays.get("positions"))
            arrays.pop(f"has_{name}", None)
        for name in self.int32:
            if name in arrays:
                arrays[name] = arrays[name].astype(np.int32)
        made = converter(as_numpy)
        values = {n: made(v) if isinstance(v, np.ndarray) else v for n, v in arrays.items()}
        own = {}
        if self.sizes:
            own = {"batch_size": len(counts), "max_atoms": int(counts.max(initial=0))}
            own["total_atoms"] = int(counts.sum())
        names = {n: new for n, new in self.names.items() if self.strict or n in values}
        return assembled(layout, values, {}, own, names)


def _zero(column: NDArray[Any] | None, n: int, like: NDArray[Any] | None) -> NDArray[Any]:
    """Return the values of structures, zero where there are none."""
    if column is None:
        return np.zeros(n, np.float32 if like is None else like.dtype)
    return np.where(np.isnan(column), column.dtype.type(0), column)


#: Projects whose words a layout can use.
PROJECTS: Mapping[str, Vocabulary] = {
    "mlff-distiller": Vocabulary({"numbers": "species", "n_atoms": "natoms"}, sizes=True),
    "mmml": Vocabulary(
        {
            "numbers": "Z",
            "positions": "R",
            "forces": "F",
            "energy": "E",
            "total_charge": "Qtot",
            "dipole": "D",
            "n_atoms": "N",
        },
        single=True,
        int32=("numbers", "n_atoms", "batch", "ptr"),
        zero=("total_charge",),
    ),
}


def vocabulary_of(names: Names) -> Vocabulary:
    """Return what `names` of a layout stands for.

    Raises
    ------
    ArgumentTypeError
        If it is neither a name nor a mapping of names.
    InputError
        If it is the name of no project.
    """
    if isinstance(names, str):
        known = PROJECTS.get(names.lower())
        if known is None:
            raise InputError(
                f"names is a dict of new names by ours, or {' or '.join(map(repr, PROJECTS))}, not {names!r}"
            )
        return known
    if not isinstance(names, Mapping):
        raise ArgumentTypeError(
            f"names is a dict of new names by ours, or the name of a project, not {shown(names)}"
        )
    return Vocabulary(names, strict=True)
