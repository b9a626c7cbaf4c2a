"""What a page is of, what it shows, and where to write it, as the user asks for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

from zstruct.arguments import check, count, shown
from zstruct.errors import ArgumentTypeError
from zstruct.keywords import set_fields
from zstruct.parallel import chosen_workers
from zstruct.query import Selection
from zstruct.similarity.duplicates import TOLERANCE
from zstruct.store.datasets import Dataset
from zstruct.store.store import Store

if TYPE_CHECKING:
    from zstruct.parallel import Client

__all__ = ["PageOptions", "ReportRequest"]

_MOST = 20_000


@dataclass(frozen=True, kw_only=True)
class PageOptions:
    """What a page shows.

    Parameters
    ----------
    by
        The field of texts that makes groups. By default the author's group label, else another field with a
        few different texts.
    references
        Reference energies to subtract, as for `zstruct.statistics`; False: none. By default those that the
        store has, else some that are fitted.
    features
        Name of stored features of structures, two each, that are the map. By default the first that there
        are.
    most
        How many structures are in the page at most, up to 20,000.
    tolerance
        The largest displacement of an atom, in angstrom, for `zstruct.duplicates`; None: these are not looked
        for.
    workers
        Number of threads, by default one per processor. Or a `distributed.Client` to run on, by default
        the active one.
    progress
        Whether to show a progress bar.

    Raises
    ------
    ArgumentTypeError, InputError
        If a value can't be used.
    """

    by: str | None = None
    references: bool | str | Mapping[str, float] | None = None
    features: str | None = None
    most: int = _MOST
    tolerance: float | None = TOLERANCE
    workers: int | Client | None = None
    progress: bool = False

    def __post_init__(self) -> None:
        for name in ("by", "features"):
            if not (getattr(self, name) is None or isinstance(getattr(self, name), str)):
                raise ArgumentTypeError(f"{name} is a name, or None, not {shown(getattr(self, name))}")
        check(progress=self.progress)
        if self.tolerance is not None:
            check(tolerance=self.tolerance)
        most = count("most", self.most, 1, _MOST)
        set_fields(self, most=most, workers=chosen_workers(self.workers))


@dataclass(frozen=True)
class ReportRequest(PageOptions):
    """What a report is of, and where it is written.

    Parameters
    ----------
    store
        A store or its path; or a dataset, also one that is a part of a store.
    out
        The file to write, as ``report.html``; None: none, the page is in what is returned.
    select
        An expression that holds for the structures to take, as on the page on selecting, or a `Selection`.
    overwrite
        Whether a file that is there may be replaced.
    storage_options
        Of a URL, for fsspec: keys, endpoints and the like.

    Raises
    ------
    ArgumentTypeError, InputError
        If a value can't be used.
    """

    store: str | os.PathLike[str] | Store | Dataset
    out: str | os.PathLike[str] | None = None
    _: KW_ONLY
    select: str | Selection | None = None
    overwrite: bool = False
    storage_options: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check(overwrite=self.overwrite)
