"""What rewriting a store hands back: bytes before and after, and what is stored as decimals."""

from __future__ import annotations

import os
from dataclasses import dataclass

from zstruct.building.rewrite_plan import Given
from zstruct.store.savings import is_decimal
from zstruct.store.store import Store
from zstruct.text import sized

__all__ = ["RewriteReport"]


@dataclass(frozen=True)
class RewriteReport:
    """Result of `zstruct.rewrite`; printing it gives a summary.

    Parameters
    ----------
    path
        The new store.
    nbytes
        Bytes of it on disk.
    nbytes_before
        Bytes of the given store, of one that is no directory those of its arrays; None if nothing says so.
    seconds
        How long this call took.
    decimals
        The arrays that are stored as decimals.
    kept
        Arrays that are not, though they were asked for, and why.
    groups
        The groups that came along: features, neighbours, splits and so on.
    left_out
        Groups in the root of the given store that are none of zstruct's, which did not.
    """

    path: str
    nbytes: int
    nbytes_before: int | None
    seconds: float
    decimals: list[str]
    kept: dict[str, str]
    groups: list[str]
    left_out: list[str]

    @classmethod
    def of(cls, path: str, given: Given, kept: dict[str, str], seconds: float) -> RewriteReport:
        """Return the report of a finished store, made of a given one."""
        store = Store(path)
        return cls(
            path=path,
            nbytes=store.nbytes_stored(),
            nbytes_before=_nbytes(given),
            seconds=seconds,
            decimals=[name for name in store.fields if is_decimal(store, name)],
            kept=kept,
            groups=given.groups,
            left_out=given.left_out,
        )

    def __str__(self) -> str:
        before = "" if self.nbytes_before is None else f", {sized(self.nbytes_before)} before"
        lines = [f"{self.path}: {sized(self.nbytes)}{before}, rewritten in {self.seconds:.2f} s"]
        if self.decimals:
            lines.append(f"stored as decimals: {', '.join(self.decimals)}")
        for reason in sorted({*self.kept.values()}):
            names = [name for name, said in self.kept.items() if said == reason]
            lines.append(f"no decimals, as {reason}: {', '.join(names)}")
        if self.groups:
            lines.append(f"with {', '.join(self.groups)}")
        if self.left_out:
            lines.append(f"left out, as no groups of zstruct: {', '.join(self.left_out)}")
        return "\n".join(lines)


def _nbytes(given: Given) -> int | None:
    """Return the bytes of a store; of one that is elsewhere those of its arrays, if anything says so."""
    if os.path.isdir(given.store.path):
        return given.store.nbytes_stored()
    sizes = [
        given.store.nbytes_of_files(name) for group in ("", *given.groups) for name in given.arrays(group)
    ]
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None
