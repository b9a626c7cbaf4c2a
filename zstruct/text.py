"""How counts, sizes and names are written for people. Knows nothing of what they are of."""

from __future__ import annotations

import csv
import difflib
import html
import io
import re
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["counted", "csv_text", "html_list", "html_table", "nearest", "sized", "written_unit"]

_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_POWER = re.compile(r"(.*?)(-?)((?:\d+(?:\.\d+)?)?)", re.DOTALL)
_WRITTEN = {"angstrom": "Å", "mu_B": "μ_B", "degree": "°"}
_LONGEST = 128  # of a name that is compared with others


def counted(n: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun, whose plural may be said.

    Examples
    --------
    >>> counted(1, "frame"), counted(2000, "frame"), counted(2, "foot", "feet")
    ('1 frame', '2,000 frames', '2 feet')
    """
    return f"{n:,} {noun if n == 1 else plural or f'{noun}s'}"


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


def csv_text(columns: Mapping[str, Iterable[object]]) -> str:
    """Return columns of equal length as CSV with a header; None and NaN are empty.

    Numbers have all their digits, if they are Python's.

    Examples
    --------
    >>> print(csv_text({"structure": [3, 5], "energy": [0.1, None]}), end="")
    structure,energy
    3,0.1
    5,
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in zip(*columns.values(), strict=True):
        # NaN differs from itself.
        writer.writerow(["" if value is None or value != value else value for value in row])
    return out.getvalue()


def written_unit(unit: str) -> str:
    """Return a unit of a store as people write it; nothing for that of pure numbers.

    Examples
    --------
    >>> written_unit("eV angstrom-1"), written_unit("angstrom3"), written_unit("e angstrom")
    ('eV/Å', 'Å³', 'e Å')
    >>> written_unit("eV angstrom-3"), written_unit("mu_B"), written_unit("fs-1"), written_unit("1")
    ('eV/Å³', 'μ_B', '1/fs', '')
    """
    above: list[str] = []
    below: list[str] = []
    for word in "" if unit == "1" else unit.split():
        found = _POWER.fullmatch(word)
        assert found is not None  # whatever it is
        name, sign, power = found.groups()
        raised = "" if power in ("", "1") else f"^{power}" if "." in power else power.translate(_RAISED)
        (below if sign and power else above).append(_WRITTEN.get(name, name) + raised)
    return "/".join([" ".join(above) or "1", *below]) if below else " ".join(above)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return which of some names was probably meant, or None.

    Examples
    --------
    >>> nearest("Energy", ["energy", "fmax"]), nearest("natoms", ["n_atoms"]), nearest("bulk", ["energy"])
    ('energy', 'n_atoms', None)
    """
    by_case = {one.casefold(): one for one in reversed(list(known))}
    folded = name.casefold()[:_LONGEST]
    if folded in by_case:
        return by_case[folded]
    found = difflib.get_close_matches(folded, by_case, n=1, cutoff=0.7)
    return by_case[found[0]] if found else None


def html_table(rows: Iterable[Sequence[object]], head: Sequence[object] = ()) -> str:
    """Return rows as a table for a notebook; all text is escaped.

    Examples
    --------
    >>> html_table([("<b>", 2)], ["name", "n"])
    '<table><tr><th>name</th><th>n</th></tr><tr><td>&lt;b&gt;</td><td>2</td></tr></table>'
    """
    lines = [_row(row, "td") for row in rows]
    return "<table>" + "".join([_row(head, "th"), *lines] if head else lines) + "</table>"


def html_list(items: Iterable[object]) -> str:
    """Return items as a list for a notebook; all text is escaped. Nothing for none.

    Examples
    --------
    >>> html_list(["a < b"])
    '<ul><li>a &lt; b</li></ul>'
    """
    made = "".join(f"<li>{html.escape(str(item))}</li>" for item in items)
    return f"<ul>{made}</ul>" if made else ""


def _row(cells: Sequence[object], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"
