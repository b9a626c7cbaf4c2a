"""What a build hands back: counts, species, coverage, and what was left out and why."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from zstruct.building.followed_groups import Followed
from zstruct.building.skipped import dropped_line, skipped_lines
from zstruct.schema import FIELDS
from zstruct.sources.source import NOTES
from zstruct.store.savings import DecimalSavings
from zstruct.store.store import Store
from zstruct.text import counted, html_list, html_table, sized

__all__ = ["BuildReport"]


@dataclass(frozen=True)
class BuildReport:
    """Result of `zstruct.build`; printing it gives a summary.

    Parameters
    ----------
    path
        The store.
    n_structures, n_atoms
        What is in it.
    species
        Number of atoms by chemical symbol.
    coverage
        Number of structures that have each field.
    nbytes
        Bytes on disk.
    seconds
        How long this run of the build took.
    dropped
        Structures left out by each filter.
    noted
        Structures in the store that are ``"unconverged"``, from an input that is ``"cut"`` off, or
        ``"predicted"`` by a force field.
    source_units
        Units that the inputs were in, by field, where the user or an input said so; several are separated
        by commas. The store has its own.
    remarks
        Structures in which something was understood otherwise than it is written, or was not taken for a
        label though it looks like one, by the sentence that says what.
    n_skipped
        Frames (or whole inputs) left out because they could not be used.
    skipped
        The first hundred of those: input, frame (None for a whole input) and reason.
    n_duplicates
        Structures left out, as they equal earlier ones.
    duplicates
        The first hundred of those: input and frame.
    ignored
        What is left out of directories, globs and archives: files that no source reads, or that repeat what
        a better one has, stores, pipes, links; of archives the first hundred.
    decimals
        What the decimal encoding saves, or would save.
    n_ignored
        How many were left out, of archives, too.
    groups
        What became of groups of stores among the inputs: which of them follow the structures, which are
        stale, and which were left out, and why.
    """

    path: str
    n_structures: int
    n_atoms: int
    species: dict[str, int]
    coverage: dict[str, int]
    nbytes: int
    seconds: float
    dropped: dict[str, int]
    noted: dict[str, int]
    source_units: dict[str, str]
    remarks: dict[str, int]
    n_skipped: int
    skipped: list[tuple[str, int | None, str]]
    ignored: list[str]
    decimals: DecimalSavings | None = None
    n_ignored: int = 0
    n_duplicates: int = 0
    duplicates: Sequence[tuple[str, int]] = ()
    groups: Followed = field(default_factory=Followed)

    @classmethod
    def of(cls, path: str, seconds: float, ignored: list[str], groups: Followed) -> BuildReport:
        """Return the report of a finished store."""
        store = Store(path)
        build: dict[str, Any] = store.attrs["build"]
        decimals = DecimalSavings.of(store)
        return cls(
            path=path,
            n_structures=store.n_structures,
            n_atoms=store.n_atoms,
            species=dict(store.attrs["species"]),
            coverage={name: store.coverage(name) for name in store.fields},
            nbytes=store.nbytes_stored() if decimals is None else decimals.nbytes,
            seconds=seconds,
            dropped=dict(build["dropped"]),
            noted=dict(build.get("noted", {})),
            source_units={
                name: units
                for name in store.fields
                if name in FIELDS and (units := store.array_attrs(name).get("source_units"))
            },
            remarks=dict(build.get("remarks", {})),
            n_skipped=int(build["n_skipped"]),
            skipped=[(label, frame, reason) for label, frame, reason in build["skipped"]],
            ignored=ignored + build.get("ignored", []),
            decimals=decimals,
            n_ignored=len(ignored) + int(build.get("n_ignored", 0)),
            n_duplicates=int(build.get("n_duplicates", 0)),
            duplicates=[(label, frame) for label, frame in build.get("duplicates", [])],
            groups=groups,
        )

    def __str__(self) -> str:
        n = self.n_structures
        lines = [
            f"{self.path}: {counted(n, 'structure')}, {counted(self.n_atoms, 'atom')}, "
            f"{sized(self.nbytes)}, built in {self.seconds:.2f} s",
            "species: " + ", ".join(f"{s} {c:,}" for s, c in self.species.items()),
        ]
        whole = [name for name, count in self.coverage.items() if count == n]
        lines.append("fields: " + ", ".join(whole))
        part: dict[str, list[str]] = {}
        for name, count in sorted(self.coverage.items(), key=lambda item: -item[1]):
            if count < n:
                part.setdefault(f"{count / n:.1%}", []).append(name)
        if part:
            groups = [f"{', '.join(names)} ({share})" for share, names in part.items()]
            lines.append("in some structures: " + "; ".join(groups))
        absent = [
            name
            for name in ("energy", "forces")
            if name not in self.coverage and not any(f"keys={{{name!r}" in said for said in self.remarks)
        ]
        if absent:
            lines.append(
                f"no {' and no '.join(absent)} recognised; if the input has any, name it: "
                f"keys={{{absent[0]!r}: ...}}"
            )
        if self.source_units:
            said = ", ".join(f"{name} from {units}" for name, units in self.source_units.items())
            lines.append(f"converted to the units of the store: {said}")
        if self.decimals is not None and (said := str(self.decimals)):
            lines.append(said)
        lines += self.groups.lines()
        if self.dropped:
            lines.append(dropped_line(self.dropped))
        if self.n_duplicates:
            n_duplicates = counted(self.n_duplicates, "structure")
            lines.append(f"equal to earlier ones, and left out: {n_duplicates} (see .duplicates)")
        for note, count in self.noted.items():
            lines.append(
                f"{note}: {counted(count, 'structure')} ({NOTES[note]}); "
                f"filters={{'leave_out': [{note!r}]}} leaves them out"
            )
        lines += [f"{counted(count, 'structure')}: {remark}" for remark, count in self.remarks.items()]
        if self.n_skipped:
            lines += skipped_lines(self.n_skipped, self.skipped, " (see .skipped)")
        if self.ignored:
            n = max(self.n_ignored, len(self.ignored))
            lines.append(f"ignored {counted(n, 'file')} that no source reads (see .ignored)")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        said = str(self).splitlines()
        n = self.n_structures
        rows = [(name, f"{count:,}", f"{count / n:.1%}") for name, count in self.coverage.items() if n]
        told = [
            line.strip() for line in said[1:] if not line.startswith(("fields: ", "in some structures: "))
        ]
        table = html_table(rows, ("field", "structures", "share"))
        return f"<p><b>{html.escape(said[0])}</b></p>{html_list(told)}{table}"
