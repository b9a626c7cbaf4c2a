"""The sections of a page, one function each: what was found, as tables and drawings."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from zstruct.elements import SYMBOLS
from zstruct.moments import Moments
from zstruct.reporting.drawings import Axis, bins_of, histogram, periodic_table, rows_of_groups
from zstruct.reporting.findings import KNOWN, Findings
from zstruct.reporting.groups import Groups
from zstruct.reporting.survey import GPA
from zstruct.reporting.tables import Markup, link, paragraph, section, table, text_of
from zstruct.reporting.ticks import short
from zstruct.schema import Field
from zstruct.stats.histogram import Magnitudes
from zstruct.text import counted, sized, written_unit
from zstruct.voigt import VOIGT

__all__ = ["sections"]

_STRUCTURES = "structures"
_LISTED = 8  # groups of duplicates
_DECADES = 6


def sections(found: Findings) -> Markup:
    """Return all sections that are not empty, but the one with the map and the viewer."""
    makers: tuple[Callable[[Findings], Markup], ...] = (
        _summary, _fields, _composition, _sizes, _energies, _forces, _stress, _distances, _splits,
        _duplicates, _outliers,
    )  # fmt: skip
    return Markup("".join(make(found) for make in makers))


def _summary(found: Findings) -> Markup:
    part, seen = found.part, found.survey
    n_atoms = seen.n_atoms
    spread = f"{n_atoms.min():,} to {n_atoms.max():,}, {short(float(n_atoms.mean()))} on average"
    facts = [
        (_STRUCTURES, f"{len(seen):,}" + ("" if part.rows is None else f" of {part.store.n_structures:,}")),
        ("atoms", f"{int(n_atoms.sum()):,}"),
        ("atoms per structure", spread),
        ("elements", ", ".join(SYMBOLS[z] for z in np.flatnonzero(seen.with_element) if z < len(SYMBOLS))),
    ]
    said = ("licence", "license", "citation", "description")
    facts += [(key, str(part.store.attrs[key])) for key in said if part.store.attrs.get(key)]
    if os.path.isdir(part.store.path):
        facts.append(("on disk", sized(part.store.nbytes_stored())))
    facts += [("format", part.store.attrs["encoding-version"]), ("digest", part.store.digest)]
    notes = [paragraph(f"Note: {note}.") for note in found.stale]
    return section("summary", "Summary", table(("", ""), facts, 2), *notes)


def _fields(found: Findings) -> Markup:
    store = found.part.store
    rows = []
    for name, field in store.fields.items():
        attrs = store.array_attrs(name)
        limits = attrs.get("actual_range") or ()
        share = store.coverage(name) / max(1, store.n_structures)
        bar = Markup(f'<span class="share" style="--share:{share:.4f}">{text_of(_percent(share))}</span>')
        spread = " … ".join(short(float(value)) for value in limits)
        rows.append((name, field.level, written_unit(field.unit), bar, spread, _said(field)))
    head = ("field", "per", "unit", "given", "range", "")
    whole = "" if found.part.rows is None else "Of all structures of the store."
    return section("fields", "Fields", paragraph(whole), table(head, rows, 6))


def _said(field: Field) -> str:
    return "" if field.description == field.name else field.description


def _composition(found: Findings) -> Markup:
    seen = found.survey
    drawing = periodic_table(seen.with_element, seen.atoms_of)
    return section(
        "composition", "Composition", Markup(drawing), paragraph("Structures that have each element.")
    )


def _sizes(found: Findings) -> Markup:
    n_atoms = found.survey.n_atoms
    edges = bins_of(n_atoms, whole=True)
    counts, _ = np.histogram(n_atoms, edges)
    return section(
        "sizes", "Sizes", Markup(histogram(counts, edges, Axis("atoms per structure"), _STRUCTURES))
    )


def _energies(found: Findings) -> Markup:
    seen, groups = found.survey, found.groups
    parts: list[object] = [
        _by_group(seen.columns[key], groups, Axis(KNOWN[key][0]))
        for key in ("energy_per_atom", "referenced")
        if key in seen.columns
    ]
    lost = len(seen) - int(np.isfinite(seen.columns.get("energy_per_atom", np.zeros(0))).sum())
    if parts and lost:
        parts.append(paragraph(f"{counted(lost, 'structure')} without an energy."))
    if found.references is not None and "referenced" in seen.columns:
        how = found.references
        said = f"References: {how.method}"
        if how.rmse is not None:
            said += f" to {counted(how.n_structures, 'structure')}, RMSE {short(how.rmse, 3)} eV per atom"
        if how.singular:
            said += "; compositions leave some undetermined, so that only sums of them mean anything"
        energies = [(symbol, short(energy, 8)) for symbol, energy in how.items()]
        parts += [paragraph(said + "."), table(("element", "eV"), energies)]
    return section("energies", "Energies", *parts)


def _by_group(values: NDArray[np.float64], groups: Groups, axis: Axis) -> Markup:
    """Return bars of numbers, of which some may be missing: a row for each group."""
    known = np.isfinite(values)
    edges = bins_of(values[known])
    if groups.by is None:
        return Markup(histogram(np.histogram(values[known], edges)[0], edges, axis, _STRUCTURES))
    counts = [np.histogram(values[known & (groups.codes == k)], edges)[0] for k in range(len(groups.names))]
    return Markup(rows_of_groups(groups.names, counts, edges, axis, _STRUCTURES))


def _forces(found: Findings) -> Markup:
    forces = found.survey.forces
    total = Magnitudes()
    for one in forces.values():
        total = total.merge(one)
    if not total.count:
        return Markup("")
    norms = total.edges.mean(axis=1)
    most = max(float(total.edges.max()), 1e-12)
    above = norms[norms >= most * 10.0**-_DECADES]
    edges = np.geomspace(min(float(above.min(initial=most)), 0.99 * most), most, 81)
    symbols = [SYMBOLS[z] if z < len(SYMBOLS) else "X" for z in forces]
    counts = [_counted(one, edges) for one in forces.values()]
    drawing = rows_of_groups(symbols, counts, edges, Axis("force on an atom (eV/Å)", log=True), "atoms")
    rows = [
        (symbol, f"{one.count:,}", *(short(one.quantile(q), 4) for q in (0.5, 0.9, 0.99, 1.0)))
        for symbol, one in zip(symbols, forces.values(), strict=True)
    ]
    head = ("element", "atoms", "median", "90 %", "99 %", "largest (eV/Å)")
    return section("forces", "Forces", Markup(drawing), table(head, rows))


def _counted(found: Magnitudes, edges: NDArray[np.float64]) -> NDArray[np.int64]:
    middles = np.clip(found.edges.mean(axis=1), edges[0], edges[-1])
    return np.histogram(middles, edges, weights=found.counts)[0].astype(np.int64)


def _stress(found: Findings) -> Markup:
    pressure = found.survey.columns.get("pressure")
    if pressure is None:
        return Markup("")
    rows = [(name, *_of_moments(m, GPA)) for name, m in zip(VOIGT, found.survey.stress, strict=True)]
    head = ("component", _STRUCTURES, "mean", "std", "smallest", "largest (GPa)")
    drawing = _by_group(pressure.astype(np.float64), found.groups, Axis(KNOWN["pressure"][0]))
    return section("stress", "Stress", drawing, table(head, rows))


def _of_moments(m: Moments, factor: float) -> tuple[str, ...]:
    return (f"{m.count:,}", *(short(factor * x, 4) for x in (m.mean, m.std, m.min, m.max)))


def _distances(found: Findings) -> Markup:
    values = found.survey.columns.get("shortest_distance")
    if values is None:
        return Markup("")
    known = values[np.isfinite(values)].astype(np.float64)
    edges = bins_of(known)
    axis = Axis("shortest distance between two atoms (Å)")
    drawing = histogram(np.histogram(known, edges)[0], edges, axis, _STRUCTURES)
    lost = len(values) - len(known)
    said = f"{counted(lost, 'structure')} without: single atoms, or no sensible cell." if lost else ""
    return section("distances", "Shortest distances", Markup(drawing), paragraph(said))


def _splits(found: Findings) -> Markup:
    seen = found.survey
    key = "referenced" if "referenced" in seen.columns else "energy_per_atom"
    made: list[object] = []
    for name, parts in found.splits.items():
        rows = []
        for k, label in enumerate(parts.labels):
            here = parts.codes == k
            cells: list[object] = [label, f"{int(here.sum()):,}", f"{int(seen.n_atoms[here].sum()):,}"]
            for column in (key, "fmax"):
                values = seen.columns[column][here] if column in seen.columns else np.zeros(0)
                m = Moments.of(values[np.isfinite(values)].astype(np.float64))
                cells += [short(m.mean, 4), short(m.std, 4)]
            rows.append(cells)
        said = "energy per atom" if key == "energy_per_atom" else "energy less references"
        head = ("part", _STRUCTURES, "atoms", f"{said} (eV/atom)", "std", "largest force (eV/Å)", "std")
        made += [_heading(name), table(head, rows)]
        if key in seen.columns:
            order = [*parts.labels, "in no part"]
            codes = np.where(parts.codes < 0, len(parts.labels), parts.codes).astype(np.int64)
            n = len(order) if (parts.codes < 0).any() else len(parts.labels)
            made.append(_by_group(seen.columns[key], Groups(name, codes, order[:n]), Axis(KNOWN[key][0])))
    return section("splits", "Splits", *made)


def _heading(words: str) -> Markup:
    return Markup(f"<h3>{text_of(words)}</h3>")


def _duplicates(found: Findings) -> Markup:
    alike = found.duplicates
    if alike is None:
        return Markup("")
    within = f"within {alike.tolerance:g} Å"
    left = ""
    if alike.undecided:
        left = f" Of {counted(alike.undecided, 'pair')} it is not known, as it takes long."
    if not len(alike):
        return section("duplicates", "Duplicates", paragraph(f"There are no duplicates {within}.{left}"))
    members = int(alike.edges[-1])
    sizes = alike.sizes
    said = (
        f"{members:,} of {counted(alike.n_structures, 'structure')} are in {counted(len(alike), 'group')} of "
        f"{int(sizes.min()):,} to {int(sizes.max()):,} that are alike {within}; those whose labels "
        "disagree most are first."
    )
    if alike.not_compared:
        said += f" {counted(alike.not_compared, 'structure')} could not be compared."
    said += left
    rows = []
    for k in range(min(len(alike), _LISTED)):
        here = alike.structure[alike.edges[k] : alike.edges[k + 1]]
        links = Markup(" ".join(_link(found, int(n)) for n in here[:2]) + (" …" if len(here) > 2 else ""))
        spreads = short(float(alike.energy_spread[k]), 3), short(float(alike.force_spread[k]), 3)
        rows.append((links, f"{len(here):,}", *spreads))
    head = ("structures", "members", "energies differ by (eV/atom)", "forces differ by (eV/Å)")
    parts: list[object] = [paragraph(said), table(head, rows)]
    for leaks in found.leaks:
        counts = leaks.counts()
        parts.append(_heading(f"Leaks of the split {leaks.split}"))
        if not counts.any():
            parts.append(paragraph("No structure has a duplicate in another part."))
            continue
        leaking = [
            (label, *(f"{n:,}" if k != j else "" for j, n in enumerate(counts[k].tolist())))
            for k, label in enumerate(leaks.labels)
        ]
        parts.append(table(("structures of, with a duplicate in", *leaks.labels), leaking))
    return section("duplicates", "Duplicates and leaks", *parts)


def _outliers(found: Findings) -> Markup:
    seen = found.survey
    columns = {"n_atoms": seen.n_atoms, **seen.columns}
    shown = [key for key in KNOWN if key in columns]
    parts: list[object] = []
    rows_of = found.part.structures
    for one in found.outliers:
        order = [one.key, *(key for key in shown if key != one.key)]
        head = ("structure", *(KNOWN[key][0] for key in order))
        rows = [
            (_link(found, int(rows_of[place])), *(short(float(columns[key][place]), 5) for key in order))
            for place in one.places.tolist()
        ]
        parts += [_heading(one.title), table(head, rows)]
    return section("outliers", "Outliers", *parts)


def _link(found: Findings, structure: int) -> Markup:
    """Return the number of a structure of the store, which shows it if it is in the page."""
    rows = found.part.structures[found.sample.places]
    place = int(np.searchsorted(rows, structure))
    there = place < len(rows) and int(rows[place]) == structure
    return link(place if there else None, f"{structure:,}")


def _percent(share: float) -> str:
    """Return a share that is 0 % or 100 % only if it is."""
    text = f"{100 * share:.1f} %"
    if text == "100.0 %":
        return "100 %" if share == 1 else "<100 %"
    return "0 %" if share == 0 else ">0 %" if text == "0.0 %" else text
