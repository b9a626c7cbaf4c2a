"""What one call of `drop` asks for."""

from __future__ import annotations

import os
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from zstruct.building.build_request import identities
from zstruct.building.run_options import RunOptions
from zstruct.errors import InputError
from zstruct.keywords import set_fields
from zstruct.query import Selection, asked
from zstruct.store.spec import ENCODING_VERSION

__all__ = ["DropRequest"]


@dataclass(frozen=True)
class DropRequest(RunOptions):
    """A store, which of its structures go, and how all of this runs.

    Parameters
    ----------
    store
        The store, a local directory.
    select
        The structures to leave out: an expression, as on the page on selecting, a `zstruct.Selection`, or
        positions.
    out
        Where the store without them is made. By default it takes the place of the store, in one step.

    Raises
    ------
    InputError
        If an option can't be used.
    """

    store: str | os.PathLike[str]
    select: Any
    _: KW_ONLY
    out: str | os.PathLike[str] | None = None

    selection: Selection = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, selection=asked(self.select))
        if not self.selection:
            raise InputError(f"nothing says which structures of {self.store} to drop: pass select=...")

    def settings(self) -> dict[str, Any]:
        """Return what is asked for, as JSON: a call that was interrupted goes on if it is the same."""
        return {"format": ENCODING_VERSION, "did": "drop", "select": identities(self.selection)}
