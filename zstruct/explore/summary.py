"""What is in a store, at a glance: a dictionary for programs and a table for people.

Reads attributes, the sizes of files, and two small arrays (`n_atoms` and `pbc`); never labels or
positions.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from zstruct.arguments import shown
from zstruct.building.skipped import skipped_lines
from zstruct.disk import bytes_within
from zstruct.errors import ArgumentTypeError
from zstruct.schema import ATOM, STRUCTURE, Field
from zstruct.store.savings import DecimalSavings
from zstruct.store.store import Store
from zstruct.store.usage import Usage
from zstruct.text import counted, sized

__all__ = ["format_summary", "summarize"]

WIDTH = 80  # of a terminal
_UNIT_CHARS = 13


def summarize(
    path: str | os.PathLike[str] | Store, *, storage_options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return what is in a store, as values that JSON can express.

    Parameters
    ----------
    path
        The store.
    storage_options
        Of a URL, for fsspec: keys, endpoints and the like.

    Returns
    -------
    dict
        Counts of structures, atoms, periodic structures and atoms of each element; for every
        field its dimensions, dtype, unit, coverage (the fraction of structures that have it),
        range and bytes; digest, format version, and how it was built; which of its bytes are on the disk
        once for it and other versions of it, and what removing it frees. Bytes on disk are None for a store
        that is not in a local directory.

    Raises
    ------
    StoreFormatError
        If there is no complete store at `path`.
    """
    store = Store.of(path, storage_options)
    n_atoms = store.read("n_atoms")
    build = store.attrs.get("build", {})
    usage = Usage.of(store.path) if os.path.isdir(store.path) else None
    periodic = int(store.read("pbc").any(axis=1).sum()) if "pbc" in store.fields else 0
    return {
        "path": store.path,
        "format": store.attrs["encoding-version"],
        "digest": store.digest,
        "n_structures": store.n_structures,
        "n_atoms": store.n_atoms,
        "atoms_per_structure": {
            "min": int(n_atoms.min(initial=np.iinfo(n_atoms.dtype).max)) if len(n_atoms) else 0,
            "mean": float(n_atoms.mean()) if len(n_atoms) else 0.0,
            "max": int(n_atoms.max(initial=0)),
        },
        "n_periodic": periodic,
        "species": dict(store.attrs.get("species", {})),
        "atomic_energies": dict(store.attrs.get("atomic_energies", {})),
        "nbytes_on_disk": None if usage is None else usage.nbytes,
        "nbytes_shared": None if usage is None else usage.nbytes_shared,
        "nbytes_freed": None if usage is None else usage.nbytes_freed,
        "shared_with": {} if usage is None else usage.shared_with,
        "fields": {name: _describe(store, field) for name, field in store.fields.items()},
        "decimals": _decimals(store),
        "options": build.get("options", {}),
        "dropped": build.get("dropped", {}),
        "noted": build.get("noted", {}),
        "n_skipped": build.get("n_skipped", 0),
        "skipped": build.get("skipped", []),
    }


def _decimals(store: Store) -> dict[str, Any] | None:
    """Return what the decimal encoding saves, or would save; None for a store that is not local."""
    found = DecimalSavings.of(store)
    return None if found is None else asdict(found)


def _describe(store: Store, field: Field) -> dict[str, Any]:
    attrs = store.array_attrs(field.name)
    coverage = attrs.get("coverage", store.n_structures)
    return {
        "dims": list(field.dims),
        "shape": list(store.shape(field.name)),
        "kind": field.kind,
        "dtype": field.dtype,
        "unit": field.unit,
        "description": field.description,
        "original_name": attrs.get("original_name", field.name),
        "coverage": coverage / store.n_structures if store.n_structures else 0.0,
        "range": attrs.get("actual_range"),
        "nbytes": store.nbytes(field.name),
        "nbytes_on_disk": _bytes_on_disk(store.path, field.name),
    }


def _bytes_on_disk(path: str, name: str) -> int | None:
    folder = os.path.join(path, name)
    return bytes_within(folder) if os.path.isdir(folder) else None


def format_summary(summary: dict[str, Any]) -> str:
    """Return a summary as text for a terminal.

    Parameters
    ----------
    summary
        What `summarize` returned.

    Raises
    ------
    TypeError
        If it is anything else.
    """
    if not isinstance(summary, Mapping) or "n_structures" not in summary:
        raise ArgumentTypeError(f"a summary is what summarize returned, not {shown(summary)}")
    n, sizes = summary["n_structures"], summary["atoms_per_structure"]
    counts = [counted(n, "structure"), counted(summary["n_atoms"], "atom")]
    if summary["nbytes_on_disk"] is not None:
        counts.append(f"{sized(summary['nbytes_on_disk'])} on disk")
    spread = f"{sizes['min']:,} to {sizes['max']:,}, {sizes['mean']:.4g} on average"
    facts = [
        ("atoms per structure", f"{sizes['min']:,}" if sizes["min"] == sizes["max"] else spread),
        ("periodic", f"{summary['n_periodic']:,} ({_percent(summary['n_periodic'] / n if n else 0.0)})"),
        ("species", ", ".join(f"{symbol} {count:,}" for symbol, count in summary["species"].items())),
        ("digest", summary["digest"][:16]),
    ]
    if summary["atomic_energies"]:
        energies = (f"{symbol} {energy:g}" for symbol, energy in summary["atomic_energies"].items())
        facts.insert(3, ("atomic energies", f"{', '.join(energies)} eV"))
    room = WIDTH - 2 - max(len(name) for name, _ in facts)
    told = [
        (name if k == 0 else "", line)
        for name, text in facts
        for k, line in enumerate(textwrap.wrap(text, room) or [""])
    ]
    shared = [folded for line in _shared_facts(summary) for folded in _folded(line)]
    lines = [summary["path"], ", ".join(counts), *shared, "", *_aligned(told), "", *_field_table(summary)]
    built = [folded for line in _build_facts(summary) for folded in _folded(line)]
    return "\n".join([*lines, "", *built] if built else lines)


def _shared_facts(summary: dict[str, Any]) -> list[str]:
    """Return which bytes other versions have, too, and what removing this one frees."""
    if not summary.get("nbytes_shared"):
        return []
    shared, freed = sized(summary["nbytes_shared"]), sized(summary["nbytes_freed"])
    with_whom = ", ".join(f"{path} ({sized(n)})" for path, n in summary["shared_with"].items())
    return [f"{shared} shared with {with_whom or 'stores elsewhere'}; removing this one frees {freed}"]


def _folded(line: str) -> list[str]:
    """Return a line as several that are no longer than a terminal is wide."""
    begun = " " * (len(line) - len(line.lstrip()))
    return textwrap.wrap(line, WIDTH, subsequent_indent=begun + "  ", break_on_hyphens=False)


def _shortened(text: str, n: int) -> str:
    """Return a text of at most `n` characters, without those in its middle if it has more."""
    return text if len(text) <= n else f"{text[: n // 2 - 1]}..{text[len(text) - (n - n // 2 - 1) :]}"


def _field_table(summary: dict[str, Any]) -> list[str]:
    """Return the table of fields, with as much in it as fits the width of a terminal."""
    for name_chars, digits, sizes in ((18, 4, True), (14, 3, True), (18, 4, False), (12, 2, False)):
        lines = _aligned(_field_rows(summary, name_chars, digits, sizes), right=(3, 5))
        if max(map(len, lines)) <= WIDTH:
            break
    return lines


def _field_rows(summary: dict[str, Any], name_chars: int, digits: int, sizes: bool) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("field", "dtype", "unit", "given", "range", "on disk")]
    rows.append(tuple("-" * len(title) for title in rows[0]))
    for level in (ATOM, STRUCTURE):
        fields = {n: field for n, field in summary["fields"].items() if field["dims"][0] == level}
        if fields:
            rows.append((f"per {level}", "", "", "", "", ""))
        for name, field in fields.items():
            disk = field["nbytes_on_disk"] if sizes else None
            rows.append(
                (
                    _shortened(name, name_chars),
                    " x ".join([_dtype(field), *map(str, field["shape"][1:])]),
                    _shortened("" if field["unit"] == "1" else field["unit"], _UNIT_CHARS),
                    _percent(field["coverage"]),
                    " .. ".join(f"{value:.{digits}g}" for value in field["range"] or ()),
                    "" if disk is None else sized(disk),
                )
            )
    return rows


def _build_facts(summary: dict[str, Any]) -> list[str]:
    """Return what the user asked of the build, and what it left out."""
    lines = []
    options = {
        key: _set_only(value) if isinstance(value, dict) else value
        for key, value in summary["options"].items()
        if key != "format"
    }
    set_options = _set_only(options)
    if set_options:
        lines.append("built with " + ", ".join(f"{key}={value!r}" for key, value in set_options.items()))
    if summary["decimals"] is not None and (said := str(DecimalSavings(**summary["decimals"]))):
        lines.append(said)
    if summary["dropped"]:
        dropped = (f"{count:,} by {name}" for name, count in summary["dropped"].items())
        lines.append("dropped " + ", ".join(dropped))
    for note, count in summary["noted"].items():
        lines.append(f"{note}: {counted(count, 'structure')}")
    if summary["n_skipped"]:
        lines += skipped_lines(summary["n_skipped"], summary["skipped"])
    return lines


def _set_only(options: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value for key, value in options.items() if value not in (None, False, {}, [], "raise", "fast")
    }


def _dtype(field: dict[str, Any]) -> str:
    """Return the dtype that a field means; integers and booleans with gaps are stored as floats."""
    if field["kind"] == "category":
        return "text"
    as_float = field["kind"] != "float" and np.dtype(field["dtype"]).kind == "f"
    return f"{field['kind']} ({field['dtype']})" if as_float else str(field["dtype"])


def _percent(fraction: float) -> str:
    """Return a percentage that is 0% or 100% only if all are."""
    text = f"{100 * fraction:.1f}"
    if text == "100.0":
        return "100%" if fraction == 1 else "<100%"
    if text == "0.0":
        return "0%" if fraction == 0 else ">0%"
    return f"{text}%"


def _aligned(rows: list[Any], right: tuple[int, ...] = ()) -> list[str]:
    """Return rows of texts as lines with aligned columns, without columns that are empty."""
    titled = 2 if right else 0
    keep = [k for k in range(len(rows[0])) if any(row[k] for row in rows[titled:])]
    widths = {k: max(len(row[k]) for row in rows) for k in keep}
    lines = []
    for row in rows:
        cells = [row[k].rjust(widths[k]) if k in right else row[k].ljust(widths[k]) for k in keep]
        lines.append("  ".join(cells).rstrip())
    return lines
