"""What dropping structures of a store hands back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zstruct.store.store import Store
from zstruct.text import counted, sized

__all__ = ["DropReport"]


@dataclass(frozen=True)
class DropReport:
    """Result of `zstruct.drop`; printing it gives a summary.

    Parameters
    ----------
    path
        The store without them.
    n_dropped, n_atoms_dropped
        Structures that were left out, and their atoms.
    n_structures, n_atoms
        What is in the store now.
    nbytes
        Bytes of it on disk.
    seconds
        How long this call took.
    waiting
        Groups that were made for the store as it was, and are stale until they are made again.
    left_out
        Groups in the root of the store that are none of zstruct's, which did not come along.
    """

    path: str
    n_dropped: int
    n_atoms_dropped: int
    n_structures: int
    n_atoms: int
    nbytes: int
    seconds: float
    waiting: list[str]
    left_out: list[str]

    @classmethod
    def of(cls, path: str, said: Mapping[str, Any], seconds: float) -> DropReport:
        """Return the report of a finished store.

        Parameters
        ----------
        path
            The store.
        said
            What was only known while it was made.
        seconds
            How long it took.
        """
        store = Store(path)
        return cls(
            path=path,
            n_structures=store.n_structures,
            n_atoms=store.n_atoms,
            nbytes=store.nbytes_stored(),
            seconds=seconds,
            **said,
        )

    def __str__(self) -> str:
        there = f"{counted(self.n_structures, 'structure')}, {counted(self.n_atoms, 'atom')}"
        lines = [
            f"{self.path}: {counted(self.n_dropped, 'structure')} dropped in {self.seconds:.2f} s; {there}, "
            f"{sized(self.nbytes)}"
        ]
        if self.waiting:
            lines.append(f"of the store as it was, and stale: {', '.join(self.waiting)}")
        if self.left_out:
            lines.append(f"left out, as no groups of zstruct: {', '.join(self.left_out)}")
        return "\n".join(lines)
