"""What is said of what was dropped or skipped, in reports and where nothing is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from zstruct.text import counted

__all__ = ["dropped_line", "nothing_left", "skipped_lines"]

_LISTED = 5  # told one by one


def nothing_left(summaries: Iterable[Mapping[str, Any]]) -> str:
    """Return what is said where inputs leave no structure: how many there were, and why none is taken.

    Parameters
    ----------
    summaries
        Those of the parts.
    """
    dropped: Counter[str] = Counter()
    skipped: list[tuple[str, int | None, str]] = []
    n_skipped = 0
    for summary in summaries:
        dropped.update(summary["dropped"])
        n_skipped += int(summary["n_skipped"])
        skipped += [(label, frame, reason) for label, frame, reason in summary["skipped"]]
    lines = ["no structure is left to store:"]
    if dropped:
        lines.append(dropped_line(dropped))
    if n_skipped:
        lines += skipped_lines(n_skipped, skipped)
    return "\n".join(lines)


def dropped_line(dropped: Mapping[str, int]) -> str:
    """Return a line on how many structures each filter has left out."""
    return "dropped: " + ", ".join(f"{count:,} by {name}" for name, count in dropped.items())


def skipped_lines(n: int, skipped: Sequence[tuple[str, int | None, str]], see: str = "") -> list[str]:
    """Return lines on what was skipped, the first of it one by one.

    Parameters
    ----------
    n
        How many frames and inputs that is.
    skipped
        Input, frame and reason of each, or of the first of them.
    see
        Where the others are.
    """
    lines = [f"skipped {counted(n, 'bad frame or input', 'bad frames or inputs')}:"]
    for label, frame, reason in skipped[:_LISTED]:
        where = label if frame is None else f"{label}, frame {frame}"
        lines.append(f"  {where}: {reason}")
    if n > _LISTED:
        lines.append(f"  ... and {n - _LISTED:,} more{see}")
    return lines
