"""What benchmarks find: how zstruct stands in each measure, against a peer or against what is asked for."""

from collections.abc import Sequence
from typing import NamedTuple

from tests.benchmarks.common import show


class Finding(NamedTuple):
    """How zstruct stands in one measure; a ratio above one is in its favour."""

    measure: str
    data: str
    ours: str
    theirs: str
    ratio: float
    target: float | None
    peer: bool = True  # whether `theirs` is a peer's, and not just what is asked for


def conclude(findings: Sequence[Finding]) -> None:
    """Print all findings, whether targets are met, and where a peer wins."""
    rows = []
    for f in findings:
        asked = (
            ["-", ""] if f.target is None else [f"{f.target:.2f}", "met" if f.ratio >= f.target else "missed"]
        )
        rows.append([f.measure, f.data, f.ours, f.theirs, f"{f.ratio:.2f}", *asked])
    header = ["measure", "", "zstruct", "against", "ratio", "target", ""]
    show("all measures, the ratio above one where zstruct is ahead", rows, header)
    if any(f.peer for f in findings):
        print("\nwhere a peer wins:")
    for f in findings:
        if f.peer and f.ratio < 1:
            print(f"* {f.measure}, {f.data}: {f.theirs}, zstruct {f.ours}")
