"""What dropping structures of a store hands back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zstruct.building.followed_groups import Followed
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
    nbytes_shared
        Those of them that it has in common with the version before: what stands before the first structure
        that went.
    seconds
        How long this call took.
    groups
        What became of groups: which follow the structures, which are those of the store as it was, and stale,
        and which were left out, and why.
    """

    path: str
    n_dropped: int
    n_atoms_dropped: int
    n_structures: int
    n_atoms: int
    nbytes: int
    nbytes_shared: int
    seconds: float
    groups: Followed

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
            **{**said, "groups": Followed(**said["groups"])},
        )

    def __str__(self) -> str:
        there = f"{counted(self.n_structures, 'structure')}, {counted(self.n_atoms, 'atom')}"
        lines = [
            f"{self.path}: {counted(self.n_dropped, 'structure')} dropped in {self.seconds:.2f} s; {there}, "
            f"{sized(self.nbytes)}, of which {sized(self.nbytes_shared)} shared with the version before"
        ]
        return "\n".join(lines + self.groups.lines())
