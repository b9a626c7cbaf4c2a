"""What one call of `append` asks for."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal

from zstruct.arguments import check
from zstruct.building.build_request import identities
from zstruct.building.filters import Filters, Frame
from zstruct.building.input_options import InputOptions
from zstruct.building.run_options import RunOptions
from zstruct.keywords import as_options, set_fields
from zstruct.query import Selection, asked
from zstruct.sources.normalize.normalize import ReadOptions
from zstruct.sources.options import SourceOptions
from zstruct.store.spec import ENCODING_VERSION

__all__ = ["AppendRequest"]


@dataclass(frozen=True)
class AppendRequest(InputOptions, RunOptions):
    """A store to extend, inputs to append to it, how they are read, and how all of this runs.

    Parameters
    ----------
    store
        The store, a local directory.
    paths
        What to append: files, stores, Atoms and so on, as `zstruct.build` takes them.
    out
        Where the extended store is made. By default it takes the place of the store, in one step.
    select
        Which structures of stores among the inputs to take, as for `zstruct.build`.
    filters
        Which structures of the inputs to keep, as for `zstruct.build`.
    on_error
        What a bad frame does: end the call, or be left out and reported.
    split
        To which part of a split the new structures go: a label of the split "default", or fractions by which
        they are dealt out to its parts; or these by the names of splits, ``{"default": "train"}``. By default
        to none; the old structures stay where they are.
    repeat
        Whether inputs may come in whose content came in before, under whatever name. By default they are
        refused, and of those that have grown since, what is new is appended.
    skip_duplicates
        Whether to leave out structures that are there already, or are new twice: those with the same numbers,
        positions, cell and periodicity, bit for bit. Labels make no difference.
    reencode
        Whether arrays into which something does not fit may be written anew, in another form. By default they
        keep their dtypes and codecs, and what does not fit is refused.

    Raises
    ------
    InputError
        If an option can't be used.
    """

    store: str | os.PathLike[str]
    paths: Any
    _: KW_ONLY
    out: str | os.PathLike[str] | None = None
    select: Any = None
    filters: Filters | Mapping[str, Any] | Callable[[Frame], Any] | None = None
    on_error: Literal["raise", "skip"] = "raise"
    split: Any = None
    repeat: bool = False
    skip_duplicates: bool = False
    reencode: bool = False

    selection: Selection = field(init=False)
    opening: SourceOptions = field(init=False)
    kept: Filters = field(init=False)

    def __post_init__(self) -> None:
        check(on_error=self.on_error, repeat=self.repeat, skip_duplicates=self.skip_duplicates)
        check(reencode=self.reencode)
        InputOptions.__post_init__(self)
        RunOptions.__post_init__(self)
        self.to_read()
        set_fields(
            self, selection=asked(self.select), opening=self.to_open(), kept=as_options(Filters, self.filters)
        )

    def settings(self, reading: ReadOptions, labels: list[str]) -> dict[str, Any]:
        """Return what is asked for, as JSON: a call that was interrupted goes on if it is the same.

        Parameters
        ----------
        reading
            How the inputs are read, for the precision of the store.
        labels
            What the inputs are called.
        """
        return {
            "format": ENCODING_VERSION,
            "did": "append",
            "keys": dict(self.keys or {}),
            "units": dict(reading.choice.said),
            "exclude": sorted(reading.exclude),
            "elements": dict(reading.elements),
            "leave_out": sorted(self.kept.leave_out),
            "filters": self.kept.identity(),
            "reader": self.reader,
            "repeat": self.repeat,
            "skip_duplicates": self.skip_duplicates,
            "reencode": self.reencode,
            "split": None if self.split is None else repr(self.split),
            "labels": labels,
            "select": identities(self.selection),
        }
