"""`Delta`: differences between two truths, for models that learn what another one lacks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from zstruct.arguments import OPTIONS, names, require, shown
from zstruct.batch.packed import PackedBatch
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.keywords import keywords
from zstruct.schema import Field
from zstruct.transforms.transform import Transform, column_of

__all__ = ["Delta"]


@keywords()
@dataclass(frozen=True, eq=False)
class Delta(Transform):
    """Takes labels that are beside others off these: what is left is what they differ in.

    Of ``energy`` and ``teacher_energy`` remains ``energy``, less the other. Where one of the two is missing,
    so is the difference, and its mask says so. A model that is trained on differences adds its predictions to
    the labels that were taken off.

    Parameters
    ----------
    prefix
        That of the labels to take off, as a dataset has them with ``labels={"teacher": ...}``.
    fields
        What to take them off; by default all fields of floats that come with and without the prefix.
    keep
        Whether the labels that were taken off stay in the batch.

    Raises
    ------
    InputError
        If batches have no such fields.

    Examples
    --------
    >>> water = {"energy": np.array(-14.0), "teacher_energy": np.array(-13.5), "numbers": np.array([8, 1, 1])}
    >>> Delta("teacher")(water)
    {'energy': array(-0.5), 'numbers': array([8, 1, 1])}
    """

    prefix: str
    fields: Iterable[str] | None = None
    keep: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.prefix, str):
            raise ArgumentTypeError(f"prefix is that of fields, a text, not {shown(self.prefix)}")
        require("keep", OPTIONS["overwrite"], self.keep)
        if self.fields is not None:
            object.__setattr__(self, "fields", tuple(names("fields", self.fields)))

    def on_batch(self, batch: PackedBatch, epoch: int = 0) -> PackedBatch:
        """Take the others off; see `Transform.on_batch`."""
        columns = batch.columns
        shapes = {n: c.shape for n, c in columns.items() if c.dtype.kind == "f"}
        for name in self._differing(shapes) if self.fields is None else self.fields:
            other = self._other(name)
            columns[name] = column_of(self, batch, name) - column_of(self, batch, other)
            masks = [columns[mask] for mask in (f"has_{name}", f"has_{other}") if mask in columns]
            if masks:
                columns[f"has_{name}"] = np.logical_and.reduce(masks)
            for gone in () if self.keep else (other, f"has_{other}"):
                columns.pop(gone, None)
        batch.per_atom = batch.per_atom & columns.keys()
        batch.wide = batch.wide & columns.keys()
        return batch

    def _other(self, name: str) -> str:
        return f"{self.prefix}_{name}"

    def _differing(self, shapes: Mapping[str, Any]) -> list[str]:
        """Return the fields that come with and without the prefix, in one shape."""
        return [name for name, shape in shapes.items() if shapes.get(self._other(name)) == shape]

    def _check(self, fields: Mapping[str, Field], extras: Collection[str]) -> None:
        shapes = {name: row.dims for name, row in fields.items() if row.kind == "float"}
        found = self._differing(shapes)
        lost = [name for name in self.fields or () if name not in found]
        if lost or not found:
            what = ", ".join(lost) or "field of floats"
            raise InputError(
                f"Delta({self.prefix!r}): batches have no {what} with and without the prefix "
                f"{self.prefix}_, but {', '.join(fields)}; labels come beside others with "
                f"labels={{{self.prefix!r}: ...}}"
            )

    def takes_energies(self, fields: Mapping[str, Field]) -> bool:
        """Return whether total energies of batches are among what is taken off."""
        wanted = fields if self.fields is None else self.fields
        energies = [name for name, row in fields.items() if row.extensive and name in wanted]
        return any(self._other(name) in fields for name in energies)
