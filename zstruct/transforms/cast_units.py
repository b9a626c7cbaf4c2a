"""`CastUnits`: batches in other units than the store's.

The unit of a field follows from those that it is made of, as the field table writes it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from zstruct.batch.packed import PackedBatch
from zstruct.keywords import keywords
from zstruct.schema import Field
from zstruct.transforms.transform import Transform
from zstruct.units import Conversion

__all__ = ["CastUnits"]


_GEOMETRY = frozenset({"positions", "cell"})


@keywords()
@dataclass(frozen=True, eq=False)
class CastUnits(Transform):
    """Gives values in other units than eV, angstrom and what is made of these.

    Parameters
    ----------
    units
        The unit of ``"energy"`` and of ``"length"``, such as ``"kcal/mol"`` and ``"bohr"``: every field whose
        unit is made of these follows, forces, stress and dipole among them. A field by its name
        has a unit of its own: ``{"stress": "GPa", "dipole": "debye"}``. Values are those of `ase.units`.
        Fields whose unit nobody knows stay as they are.

    Raises
    ------
    InputError
        If a unit is unknown, or of another kind than the field.
    TypeError
        If `units` is no dict.
    ValueError
        If a field is named that batches don't have.

    Examples
    --------
    >>> import numpy as np
    >>> cast = CastUnits({"energy": "meV", "length": "nm"})
    >>> cast({"positions": np.ones((1, 3)), "forces": np.ones((1, 3))})
    {'positions': array([[0.1, 0.1, 0.1]]), 'forces': array([[10000., 10000., 10000.]])}
    """

    units: Mapping[str, str]

    _conversion: Conversion = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.units, Mapping):
            raise TypeError(f"units is a dict of units by quantity or field, not {self.units!r}")
        object.__setattr__(self, "_conversion", Conversion.to(self.units))

    def _waits(self, computes: bool) -> bool:
        # What is computed is so in angstrom: cutoffs and descriptors are.
        return computes and ("length" in self.units or not _GEOMETRY.isdisjoint(self.units))

    def on_batch(self, batch: PackedBatch, epoch: int = 0) -> PackedBatch:
        """Convert all that has a unit; see `Transform.on_batch`."""
        for name, column in batch.columns.items():
            self._cast(name, column)
        for pairs in batch.pairs:
            for name, column in pairs.columns.items():
                self._cast(name, column)
        return batch

    def _cast(self, name: str, column: NDArray[Any]) -> None:
        scale = self._conversion.scale(name, self._fields.get(name))
        if scale != 1.0:
            column *= scale

    def _check(self, fields: Mapping[str, Field], extras: Collection[str]) -> None:
        if absent := [name for name in self._conversion.own if name not in fields]:
            raise ValueError(
                f"CastUnits names {', '.join(absent)}, but batches have only {', '.join(fields)}; "
                "beside fields, it takes 'energy' and 'length'"
            )
