"""Reports: what is in a store, as a page of HTML that needs nothing else, with structures to turn.

One pass over the atoms finds what is drawn of all structures; a sample of them is in the page itself, for the
map and the viewer. It knows stores and what is computed of them, and nothing of xarray.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zstruct.lazy import lazy_names

if TYPE_CHECKING:
    from zstruct.reporting.live import LiveReport, live_report
    from zstruct.reporting.writing import Report, report

__all__ = ["LiveReport", "Report", "live_report", "report"]

_LIVE, _WRITING = "zstruct.reporting.live", "zstruct.reporting.writing"

__getattr__, __dir__ = lazy_names(
    __name__, {"LiveReport": _LIVE, "Report": _WRITING, "live_report": _LIVE, "report": _WRITING}
)
