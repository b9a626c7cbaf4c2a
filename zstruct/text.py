"""How counts and sizes are written for people. Knows nothing of what is counted."""

from __future__ import annotations

__all__ = ["counted", "sized"]


def counted(n: int, noun: str) -> str:
    """Return a count with its noun.

    Examples
    --------
    >>> counted(1, "frame"), counted(2000, "frame")
    ('1 frame', '2,000 frames')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def sized(nbytes: float) -> str:
    """Return a size in the largest decimal unit that leaves at least one.

    Examples
    --------
    >>> sized(999), sized(1_234_567)
    ('999 B', '1.23 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if nbytes < 1000:
            return f"{nbytes:,.3g} {unit}" if unit != "B" else f"{nbytes:,.0f} B"
        nbytes /= 1000
    return f"{nbytes:,.3g} TB"
