"""How `build` and `rewrite` run: what they may replace and go on with, where they run, and what they show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zstruct.arguments import check
from zstruct.keywords import set_fields
from zstruct.parallel import chosen_workers
from zstruct.progress import Runner

if TYPE_CHECKING:
    from zstruct.parallel import Client

__all__ = ["RunOptions"]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a store is made, whatever it is made of.

    Parameters
    ----------
    overwrite
        Whether a store at `out` may be replaced; it stays until the new one is complete.
    resume
        Whether to go on with an interrupted call for the same inputs and options.
    workers
        Number of workers of this machine, by default one per processor. Or a `distributed.Client` to
        run on, by default the active one.
    progress
        Whether to show a progress bar.

    Raises
    ------
    InputError
        If one of them can't be used.
    """

    overwrite: bool = False
    resume: bool = True
    workers: int | Client | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        check(overwrite=self.overwrite, resume=self.resume, progress=self.progress)
        set_fields(self, workers=chosen_workers(self.workers))

    def runner(self) -> Runner:
        """Return what runs the tasks."""
        return Runner(self.workers, self.progress)
