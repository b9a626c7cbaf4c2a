"""Statistics of stores: computed in one pass, merged, shown, kept and read again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zstruct.lazy import lazy_names

if TYPE_CHECKING:
    from zstruct.moments import Moments
    from zstruct.stats.compute import statistics
    from zstruct.stats.histogram import Magnitudes
    from zstruct.stats.storage import open_statistics
    from zstruct.stats.summary import Species, Statistics

__all__ = ["Magnitudes", "Moments", "Species", "Statistics", "open_statistics", "statistics"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Magnitudes": "zstruct.stats.histogram",
        "Moments": "zstruct.moments",
        "Species": "zstruct.stats.summary",
        "Statistics": "zstruct.stats.summary",
        "open_statistics": "zstruct.stats.storage",
        "statistics": "zstruct.stats.compute",
    },
)
