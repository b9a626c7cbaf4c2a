"""The page itself: one file with its style, its script and its data, that asks for nothing from anywhere.

Words that come from data are escaped or are JSON whose brackets are; and the page says which script it has by
its hash, so that a browser would run no other even if there were one.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os

from zstruct.reporting.findings import Findings
from zstruct.reporting.points import MOST_ATOMS
from zstruct.reporting.scripts import STYLE, asset, report_script
from zstruct.reporting.sections import sections
from zstruct.reporting.tables import paragraph, section
from zstruct.text import counted

__all__ = ["page_of"]

_NAV = {
    "look": "Structures",
    "summary": "Summary",
    "fields": "Fields",
    "composition": "Composition",
    "sizes": "Sizes",
    "energies": "Energies",
    "forces": "Forces",
    "stress": "Stress",
    "distances": "Shortest distances",
    "splits": "Splits",
    "duplicates": "Duplicates",
    "outliers": "Outliers",
}


def page_of(found: Findings) -> str:
    """Return a page about structures.

    Parameters
    ----------
    found
        What was found out about them.
    """
    style, script = asset(STYLE), report_script()
    title = os.path.basename(found.part.store.path.rstrip("/")) or found.part.store.path
    allowed = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    )
    allowed += f"script-src 'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
    look = _look(found)
    body = sections(found)
    nav = "".join(
        f'<a href="#{key}">{words}</a>'
        for key, words in _NAV.items()
        if f'<section id="{key}"' in look + body
    )
    data = "".join(
        f'<script type="application/octet-stream" id="data-{name}">{text}</script>\n'
        for name, text in found.points.encoded().items()
    )
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{allowed}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{style}</style></head>\n<body>"
        f"<header><h1>{html.escape(title)}: {counted(len(found.survey), 'structure')}</h1>"
        '<button id="theme">dark or light</button></header>'
        f"<nav>{nav}</nav>{look}{body}\n"
        f'<script type="application/json" id="about">{_json(found.points.about)}</script>\n{data}'
        f"<script>{script}</script></body></html>\n"
    )


def _look(found: Findings) -> str:
    """Return the section with the map and the viewer."""
    if not found.points.about["n"]:
        said = f"None can be shown: a page has room for {MOST_ATOMS:,} atoms, and each has more."
        return section("look", "Structures", paragraph(said))
    told = found.sample.told
    return asset("look.html").format(told=html.escape(told[:1].upper() + told[1:]))


def _json(value: object) -> str:
    """Return JSON that ends no script and begins no comment, whatever texts are in it."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
