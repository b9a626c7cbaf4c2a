"""Statistics of stores: computed in one pass, merged, shown, kept and read again."""

from __future__ import annotations

from zstruct.moments import Moments
from zstruct.stats.compute import statistics
from zstruct.stats.histogram import Magnitudes
from zstruct.stats.storage import open_statistics
from zstruct.stats.summary import Species, Statistics

__all__ = ["Magnitudes", "Moments", "Species", "Statistics", "open_statistics", "statistics"]
