"""What users say of how files are read, as far as a format asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zstruct.arguments import check
from zstruct.errors import InputError
from zstruct.schema import GEOMETRY

__all__ = ["PLACES", "SourceOptions"]

#: What formats of named arrays may have under other names: these are no labels, and say what a structure is.
PLACES = (*GEOMETRY, "n_atoms", "offsets")


@dataclass(frozen=True)
class SourceOptions:
    """Options of sources; each takes those that its format needs.

    Parameters
    ----------
    places
        Where a format of named arrays has what makes a structure: the input's name by that of `PLACES`.
    allow_pickle
        Whether formats that are pickles may be read. Only the classes that the format needs are made.
    storage_options
        Of URLs, for fsspec.
    """

    places: Mapping[str, str] = field(default_factory=dict)
    allow_pickle: bool = False
    storage_options: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        check(allow_pickle=self.allow_pickle, storage_options=self.storage_options)
        for name in self.places:
            if name not in PLACES:
                raise InputError(f"{name!r} is none of {', '.join(PLACES)}")

    def of(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Return some of the options by name, but for those that say nothing."""
        given = {name: getattr(self, name) for name in names}
        return {name: value for name, value in given.items() if value}
