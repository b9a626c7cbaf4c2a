"""What a look at inputs finds: who reads them, what is in them, and what would be taken for what."""

from __future__ import annotations

import html
from dataclasses import dataclass, field

from zstruct.text import counted, html_list, html_table, sized

__all__ = ["PeekReport", "PeekedField", "PeekedInput"]

_LABELS = ("energy", "forces", "stress")


@dataclass(frozen=True)
class PeekedField:
    """A field that an input has.

    Parameters
    ----------
    name
        The field.
    taken_from
        What the input calls it.
    unit
        Of the store.
    source_unit
        Of the input, where something says so.
    level
        Whether it belongs to an ``"atom"`` or to a ``"structure"``.
    shape
        Of one value.
    share
        Of the structures looked at, those that have it.
    """

    name: str
    taken_from: tuple[str, ...]
    unit: str
    source_unit: str
    level: str
    shape: tuple[int, ...]
    share: float

    def __str__(self) -> str:
        names = [name for name in self.taken_from if name != self.name]
        said = f" from {', '.join(map(repr, names))}" if names else ""
        unit = "" if self.unit in ("", "1") else f" in {self.unit}"
        if self.source_unit and self.source_unit != self.unit:
            unit += f" (converted from {self.source_unit})"
        part = "" if self.share == 1.0 else f", in {self.share:.0%}"
        return f"{self.name}{said}{unit}{part}"


@dataclass(frozen=True)
class PeekedInput:
    """What a look at one input finds.

    Parameters
    ----------
    label
        The input.
    reader
        What ``reader=`` calls its reader.
    nbytes
        Its size; None if that can't be told.
    n_frames
        Its frames, or as many as there are at least.
    exact
        Whether these are all.
    n_bad
        Frames that could not be used, of those looked at.
    fields
        What structures would have.
    remarks
        What was not taken for a label though it looks like one, and what else would be told.
    first
        The first structure in words, such as ``"H2O, energy -14.2 eV"``; empty if there is none.
    problem
        Why nothing more can be said, or why the first bad frame is bad; empty if all is well.
    properties
        What the input calls its properties.
    """

    label: str
    reader: str = ""
    nbytes: int | None = None
    n_frames: int = 0
    exact: bool = False
    n_bad: int = 0
    fields: tuple[PeekedField, ...] = ()
    remarks: tuple[str, ...] = ()
    first: str = ""
    problem: str = ""
    properties: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        """What there is to say, line by line."""
        size = "" if self.nbytes is None else f", {sized(self.nbytes)}"
        least = "" if self.exact else "at least "
        frames = f", {least}{counted(self.n_frames, 'frame')}" if self.n_frames else ""
        lines = [f"{self.label}: " + (f"read by {self.reader!r}{size}{frames}" if self.reader else "")]
        if self.problem:
            bad = f"{counted(self.n_bad, 'bad frame')}, the first: " if self.n_bad else ""
            lines.append(f"problem: {bad}{self.problem}")
        if self.first:
            lines.append(f"first: {self.first}")
        if self.fields:
            for name in _LABELS:
                found = next((one for one in self.fields if one.name == name), None)
                lines.append(f"no {name}" if found is None else str(found))
            others = [str(one) for one in self.fields if one.name not in _LABELS]
            lines.append("also: " + ", ".join(others))
        elif self.properties:
            lines.append("it has " + ", ".join(self.properties))
        return lines + list(self.remarks)


@dataclass(frozen=True)
class PeekReport:
    """Result of `zstruct.peek`; printing it gives a summary.

    Parameters
    ----------
    inputs
        Those that were looked into.
    n_inputs
        How many there are.
    ignored
        What a build would leave out of directories and globs.
    remarks
        What a build of all of them would say.
    """

    inputs: tuple[PeekedInput, ...]
    n_inputs: int
    ignored: tuple[str, ...] = ()
    remarks: tuple[str, ...] = field(default=())

    def _rest(self) -> list[str]:
        more = self.n_inputs - len(self.inputs)
        rest = [f"and {counted(more, 'more input')}; limit={self.n_inputs} looks into all"] if more else []
        if self.ignored:
            rest.append(f"ignored {counted(len(self.ignored), 'file')} that no source reads (see .ignored)")
        return rest + list(self.remarks)

    def __str__(self) -> str:
        lines = []
        for one in self.inputs:
            head, *said = one.lines
            lines += [head, *(f"  {line}" for line in said)]
        return "\n".join([*lines, *self._rest()])

    def _repr_html_(self) -> str:
        made = []
        for one in self.inputs:
            head, *said = one.lines
            rows = [
                (f.name, ", ".join(f.taken_from), f.unit, f.source_unit, f.level, f"{f.share:.0%}")
                for f in one.fields
            ]
            table = html_table(rows, ("field", "from", "unit", "was in", "of", "share")) if rows else ""
            told = [line for line in said if not line.startswith("also: ")]
            made.append(f"<p><b>{html.escape(head)}</b></p>{html_list(told)}{table}")
        return "".join(made) + html_list(self._rest())
