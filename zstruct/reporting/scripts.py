"""The files that both pages have in common, and the scripts that are put together of them."""

from __future__ import annotations

from functools import cache
from importlib import resources

__all__ = ["STYLE", "asset", "look_module", "report_script"]

#: The style of both pages.
STYLE = "report.css"
# What draws, for both; the page of a report has its data before them, and what is done with them after.
_LOOK = ("drawing.js", "scatter.js", "viewer.js")
_NAMES = (
    "Scatter", "Viewer", "changeShades", "hint", "legend", "offerRepeats", "undrawn", "written",
)  # fmt: skip


@cache
def asset(name: str) -> str:
    """Return the text of a file that pages are made of."""
    return resources.files("zstruct").joinpath("reporting", "assets", name).read_text(encoding="utf-8")


@cache
def report_script() -> str:
    """Return the one script of a report: a function, so that it leaves no names behind."""
    return f'(() => {{\n"use strict";\n{_joined("data.js", *_LOOK, "main.js")}\n}})();'


@cache
def look_module() -> str:
    """Return what draws, as a module for the page that reads a store."""
    return f"{_joined(*_LOOK)}\nexport {{ {', '.join(_NAMES)} }};\n"


def _joined(*names: str) -> str:
    return "\n".join(map(asset, names))
