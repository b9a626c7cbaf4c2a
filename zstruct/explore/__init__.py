"""Explore a store as an `xarray.Dataset`: open it lazily, cut it, reduce it, turn it into Atoms.

Importing this package registers the accessor ``Dataset.zs``. It knows stores and xarray; it knows
nothing of how stores are built or how training reads them.
"""

from __future__ import annotations

from zstruct.explore.accessor import StructureAccessor
from zstruct.explore.open_store import open
from zstruct.explore.summary import format_summary, summarize

__all__ = ["StructureAccessor", "format_summary", "open", "summarize"]
