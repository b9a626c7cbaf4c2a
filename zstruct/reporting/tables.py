"""Pieces of a page: tables, links to structures, sections. All words that come from data are escaped here."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

__all__ = ["Markup", "link", "paragraph", "section", "table", "text_of"]


class Markup(str):
    """Text that is HTML already, as what this package makes is; all else is escaped."""

    __slots__ = ()


def text_of(value: object) -> str:
    """Return a value as HTML.

    Examples
    --------
    >>> text_of("<b>"), text_of(Markup("<b>"))
    ('&lt;b&gt;', '<b>')
    """
    return value if isinstance(value, Markup) else html.escape(str(value))


def table(head: Sequence[object], rows: Iterable[Sequence[object]], left: int = 1) -> Markup:
    """Return a table that scrolls by itself where it is wider than the page.

    Parameters
    ----------
    head
        What is above each column.
    rows
        Its rows.
    left
        How many columns are texts; the others are numbers.

    Examples
    --------
    >>> table(["a"], [["<b>"]])
    '<div class="wide"><table><tr><th>a</th></tr><tr><td>&lt;b&gt;</td></tr></table></div>'
    """
    lines = [_row(head, "th", left), *(_row(row, "td", left) for row in rows)]
    return Markup(f'<div class="wide"><table>{"".join(lines)}</table></div>')


def link(place: int | None, words: object) -> Markup:
    """Return words that show a structure of the page when they are chosen; plain ones if it is not in it."""
    if place is None:
        return Markup(text_of(words))
    return Markup(f'<button class="link" data-show="{place}">{text_of(words)}</button>')


def section(key: str, title: str, *parts: object) -> Markup:
    """Return a section with a heading; nothing if there is nothing in it."""
    inside = "".join(text_of(part) for part in parts if part)
    if not inside:
        return Markup("")
    return Markup(f'<section id="{key}"><h2>{text_of(title)}</h2>{inside}</section>')


def paragraph(words: object) -> Markup:
    """Return a paragraph; nothing without words."""
    return Markup(f"<p>{text_of(words)}</p>" if words else "")


def _row(cells: Sequence[object], tag: str, left: int) -> str:
    made = [
        f"<{tag}{'' if k < left else ' class=number'}>{text_of(cell)}</{tag}>" for k, cell in enumerate(cells)
    ]
    return f"<tr>{''.join(made)}</tr>"
