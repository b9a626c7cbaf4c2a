"""What appending to a store hands back: what was added, what was left out and why, what is shared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zstruct.building.followed_groups import Followed
from zstruct.building.repeats import Repeats
from zstruct.building.skipped import dropped_line, skipped_lines
from zstruct.store.store import Store
from zstruct.store.usage import Usage
from zstruct.text import counted, sized

__all__ = ["AppendReport"]


@dataclass(frozen=True)
class AppendReport:
    """Result of `zstruct.append`; printing it gives a summary.

    Parameters
    ----------
    path
        The extended store.
    n_added, n_atoms_added
        Structures that were appended, and their atoms.
    n_structures, n_atoms
        What is in the store now.
    nbytes
        Bytes of it on disk.
    nbytes_shared
        Those of them that it has in common with the version before, and that take no room of their own while
        that is there.
    seconds
        How long this call took.
    dropped
        Structures of the inputs left out by each filter.
    n_skipped
        Frames (or whole inputs) left out because they could not be used.
    skipped
        The first hundred of those: input, frame (None for a whole input) and reason.
    remarks
        Structures in which something was understood otherwise than it is written, or was not taken for a
        label though it looks like one, by the sentence that says what.
    n_duplicates
        Structures left out, as they are there already.
    duplicates
        The first hundred of those: input and frame.
    continued
        How many of the first structures of inputs that have grown came in before, by input.
    new_fields
        Fields that the store did not have before; they are missing in its old structures.
    ignored
        What is left out of directories, globs and archives.
    groups
        What became of groups: which have the new structures, too, which are those of the old ones, and stale
        until they are made again, and which were left out, and why.
    """

    path: str
    n_added: int
    n_atoms_added: int
    n_structures: int
    n_atoms: int
    nbytes: int
    nbytes_shared: int
    seconds: float
    dropped: dict[str, int]
    n_skipped: int
    skipped: list[tuple[str, int | None, str]]
    remarks: dict[str, int]
    n_duplicates: int
    duplicates: list[tuple[str, int]]
    continued: dict[str, int]
    new_fields: list[str]
    ignored: list[str]
    groups: Followed

    @staticmethod
    def figures(made: Path, before: Store, repeats: Repeats) -> dict[str, Any]:
        """Return what is only known when the store is made, as JSON.

        Parameters
        ----------
        made
            The new store, before it is published.
        before
            The version before.
        repeats
            What was left out because it is there already.
        """
        now = Store(made)
        build, old = now.attrs["build"], before.attrs.get("build", {})

        def more(key: str) -> dict[str, int]:
            known = old.get(key, {})
            counts = {name: count - known.get(name, 0) for name, count in build[key].items()}
            return {name: count for name, count in counts.items() if count}

        return {
            "n_added": now.n_structures - before.n_structures,
            "n_atoms_added": now.n_atoms - before.n_atoms,
            "nbytes_shared": Usage.of(made).nbytes_shared,
            "dropped": more("dropped"),
            "remarks": more("remarks"),
            "n_skipped": build["n_skipped"] - old.get("n_skipped", 0),
            "skipped": build["skipped"][len(old.get("skipped", [])) :],
            "n_duplicates": repeats.n_duplicates,
            "duplicates": [*repeats.duplicates],
            "continued": dict(repeats.continued),
            "new_fields": [name for name in now.fields if name not in before.fields],
            "ignored": build.get("ignored", [])[len(old.get("ignored", [])) :],
        }

    @classmethod
    def of(cls, path: str, said: Mapping[str, Any], seconds: float, ignored: list[str]) -> AppendReport:
        """Return the report of a finished store.

        Parameters
        ----------
        path
            The store.
        said
            Its `figures`.
        seconds
            How long it took.
        ignored
            What was left out of directories and globs.
        """
        store = Store(path)
        skipped = [(label, frame, reason) for label, frame, reason in said["skipped"]]
        return cls(
            path=path,
            n_structures=store.n_structures,
            n_atoms=store.n_atoms,
            nbytes=store.nbytes_stored(),
            seconds=seconds,
            **{
                **said,
                "skipped": skipped,
                "ignored": ignored + said["ignored"],
                "duplicates": [(label, frame) for label, frame in said["duplicates"]],
                "groups": Followed(**said["groups"]),
            },
        )

    def __str__(self) -> str:
        there = f"{counted(self.n_structures, 'structure')}, {counted(self.n_atoms, 'atom')}"
        lines = [
            f"{self.path}: {counted(self.n_added, 'structure')} added in {self.seconds:.2f} s; {there}, "
            f"{sized(self.nbytes)}, of which {sized(self.nbytes_shared)} shared with the version before"
        ]
        if self.new_fields:
            lines.append(f"new, and missing in the structures from before: {', '.join(self.new_fields)}")
        for label, n in self.continued.items():
            lines.append(f"{label}: its first {counted(n, 'structure')} came in before, and were left out")
        if self.n_duplicates:
            duplicates = counted(self.n_duplicates, "structure")
            lines.append(f"there already, and left out: {duplicates} (see .duplicates)")
        if self.dropped:
            lines.append(dropped_line(self.dropped))
        lines += [f"{counted(count, 'structure')}: {remark}" for remark, count in self.remarks.items()]
        if self.n_skipped:
            lines += skipped_lines(self.n_skipped, self.skipped, " (see .skipped)")
        lines += self.groups.lines()
        if self.ignored:
            lines.append(f"ignored {counted(len(self.ignored), 'file')} that no source reads (see .ignored)")
        return "\n".join(lines)
