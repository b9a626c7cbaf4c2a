"""What one call of `build` asks for."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal

import numpy as np

from zstruct.arguments import check
from zstruct.building.encoding import Encoding
from zstruct.building.filters import Filters, Frame, code_of
from zstruct.building.input_options import InputOptions
from zstruct.building.run_options import RunOptions
from zstruct.keywords import as_options, set_fields
from zstruct.query import Selection, asked
from zstruct.sources.normalize.normalize import ReadOptions
from zstruct.sources.options import SourceOptions
from zstruct.store.spec import ENCODING_VERSION

__all__ = ["BuildRequest", "identities"]


@dataclass(frozen=True)
class BuildRequest(InputOptions, RunOptions):
    """Inputs to build a store of, where to, how they are read and stored, and how all of this runs.

    Parameters
    ----------
    paths
        A file, a store, a URL, a directory, a glob (``**`` too), each perhaps with frames behind it as in
        ``a.xyz@0:1000:10``; a list of these; an `ase.Atoms`, an iterable of
        them; or `zstruct.sources.Source` objects.
    out
        The store to make, a local directory (on a cluster: one that every worker can reach).
    select
        Which structures of the stores among the inputs to take: an expression, as on the page on selecting, a
        `zstruct.Selection`, or, of a single store, positions in any order and as often as they are there. By
        default all.
    filters
        Which structures to keep, as `Filters`; or its fields by name, ``{"max_force": 20}``; or a
        function that takes a `Frame`. By default all.
    encoding
        How to store them, as `Encoding`; or its fields by name, ``{"shuffle_seed": 1}``; or the dtype
        of per-atom floats, or ``"decimal"``: text-born float64 numbers in half the bytes, exactly.
    on_error
        What a bad frame does: end the build, or be left out and reported.
    skip_duplicates
        Whether to leave out structures that equal an earlier one in numbers, positions, cell and periodicity,
        bit for bit. Labels make no difference.

    Raises
    ------
    InputError
        If an option can't be used.
    """

    paths: Any
    out: str | os.PathLike[str]
    _: KW_ONLY
    select: Any = None
    filters: Filters | Mapping[str, Any] | Callable[[Frame], Any] | None = None
    encoding: Encoding | Mapping[str, Any] | Literal["float32", "float64", "decimal"] | None = None
    on_error: Literal["raise", "skip"] = "raise"
    skip_duplicates: bool = False

    selection: Selection = field(init=False)
    opening: SourceOptions = field(init=False)
    reading: ReadOptions = field(init=False)
    kept: Filters = field(init=False)
    stored: Encoding = field(init=False)

    def __post_init__(self) -> None:
        check(on_error=self.on_error, skip_duplicates=self.skip_duplicates)
        InputOptions.__post_init__(self)
        RunOptions.__post_init__(self)
        kept, stored = as_options(Filters, self.filters), as_options(Encoding, self.encoding)
        opening, reading = self.to_open(), self.to_read(stored.precision)
        selection = asked(self.select)
        set_fields(self, selection=selection, opening=opening, reading=reading, kept=kept, stored=stored)

    def settings(self) -> dict[str, Any]:
        """Return what is asked for, as JSON: a build that was interrupted goes on if it is the same."""
        return {
            "format": ENCODING_VERSION,
            "keys": dict(self.keys or {}),
            "units": dict(self.reading.choice.said),
            "exclude": sorted(self.reading.exclude),
            "elements": dict(self.reading.elements),
            "leave_out": sorted(self.kept.leave_out),
            "filters": self.kept.identity(),
            "dtype": self.stored.precision,
            "shuffle_seed": self.stored.shuffle_seed,
            "decimal": self.stored.decimal,
            "compression": self.stored.compression,
            "reader": self.reader,
            **({"select": identities(self.selection)} if self.selection else {}),
            **({"skip_duplicates": True} if self.skip_duplicates else {}),
        }


def identities(selection: Selection) -> list[list[str]]:
    """Return what tells a selection from any other."""
    found = []
    for choice in selection.choices:
        said = [str(choice)]
        for value in (choice.which, choice.where):
            if isinstance(value, np.ndarray):
                said.append(hashlib.sha256(f"{value.dtype} {value.tobytes().hex()}".encode()).hexdigest())
            elif callable(value):
                said.append(code_of(value))
        found.append(said)
    return found
