"""From an input's own properties to fields: names, units, shapes, and what is plainly wrong.

Every source passes through here, so a rule about names or labels stands in one place. All work
is on whole columns; a fault is traced to its frames by masks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.ragged import Packed, atom_rows, counts_to_offsets, segment_reduce
from zstruct.schema import ATOM, FIELDS, STRUCTURE, Field, Kind, Level, by_alias, infer, merge, resolve_name
from zstruct.sources.base import BadFrame, Raw, RawColumn
from zstruct.sources.units import factor

__all__ = ["ReadOptions", "normalize"]

# A stress whose two triangles differ by more than this part of its largest element is refused.
_ASYMMETRY = 1e-3
_GEOMETRY = ("numbers", "positions", "cell", "pbc")


@dataclass(frozen=True)
class ReadOptions:
    """What the user says about the meaning of input properties.

    Parameters
    ----------
    keys
        Field name → the input's name for it, for properties with unusual or ambiguous names.
    units
        Field name → unit of the input, where it is not the store's.
    exclude
        Input properties to leave out.
    """

    keys: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    exclude: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for name, unit in self.units.items():
            factor(name, unit)
        for name, key in self.keys.items():
            if not isinstance(key, str) or not isinstance(name, str):
                raise InputError(f"keys={{{name!r}: {key!r}}}: both must be text, field and input name")
            if name in _GEOMETRY or name in ("source", "frame"):
                raise InputError(f"keys={{{name!r}: {key!r}}}: {name} can't be taken from elsewhere")


class _Bad:
    """Which structures of a block are bad, and the first reason for each."""

    def __init__(self, n: int):
        self.mask = np.zeros(n, dtype=bool)
        self.reasons: dict[int, str] = {}

    def add(self, mask: NDArray[np.bool_], reason: str) -> None:
        for i in np.flatnonzero(mask & ~self.mask):
            self.reasons[int(i)] = reason
        self.mask |= mask


def normalize(raw: Raw, options: ReadOptions, label: str) -> tuple[Packed, list[BadFrame]]:
    """Return the block as fields, and the frames that had to be left out of it.

    Parameters
    ----------
    raw
        A block of frames as the source read them.
    options
        The user's word on names and units.
    label
        The source, for messages.

    Raises
    ------
    InputError
        If two properties of one frame could be the same field and the user did not say which,
        or one property comes in shapes that no single array can hold.
    """
    n = len(raw.n_atoms)
    offsets = counts_to_offsets(raw.n_atoms)
    bad = _Bad(n)
    packed = Packed(np.asarray(raw.n_atoms, dtype=np.int64))
    chosen = _choose(raw, options, label)
    for (level, name), columns in chosen.items():
        spec, values, present, texts = _combine(name, level, columns, raw, bad, label)
        if name in options.units and spec.kind == "float":
            values = values * factor(name, options.units[name])
        packed.add(spec, values, present)
        if texts is not None:
            packed.categories[name] = texts
    _add_geometry(packed, n)
    _check_geometry(packed, offsets, bad)
    if "positions" in options.units and "cell" not in options.units and np.any(packed.columns["cell"]):
        raise InputError(
            "units are given for positions but not for the cell, and there are cells; "
            "give units for both",
            label,
        )
    _stress_from_virial(packed)
    for name, spec in list(packed.fields.items()):
        if spec.kind == "float" and name in FIELDS and name not in _GEOMETRY:
            _check_label(packed, name, offsets, bad)
    failures = [BadFrame(int(raw.frames[i]), bad.reasons[i]) for i in sorted(bad.reasons)]
    packed.add(FIELDS["frame"], np.asarray(raw.frames, dtype=np.int64))
    return packed.select(~bad.mask), raw.bad + failures


def _choose(raw: Raw, options: ReadOptions, label: str) -> dict[tuple[Level, str], list[RawColumn]]:
    """Decide which input properties feed which field."""
    renamed = {key: name for name, key in options.keys.items()}
    groups: dict[tuple[Level, str], dict[str, list[RawColumn]]] = {}
    levels: tuple[tuple[Level, dict[str, list[RawColumn]]], ...]
    levels = ((ATOM, raw.atom), (STRUCTURE, raw.structure))
    for level, table in levels:
        for key, columns in table.items():
            if key in options.exclude:
                continue
            field_name = _field_name(key, level, renamed, options)
            groups.setdefault((level, field_name), {})[key] = columns
    chosen: dict[tuple[Level, str], list[RawColumn]] = {}
    for (level, name), by_key in groups.items():
        _refuse_ambiguity(name, by_key, raw, label)
        out_name = name
        if level == STRUCTURE and (ATOM, name) in groups:
            out_name = f"{name}_structure"  # one name, both per atom and per structure
        chosen[level, out_name] = [column for columns in by_key.values() for column in columns]
    return chosen


def _field_name(key: str, level: Level, renamed: Mapping[str, str], options: ReadOptions) -> str:
    if key in renamed:
        target = renamed[key]
        if target not in FIELDS or FIELDS[target].level == level:
            return target
        return resolve_name(key)
    if key in _GEOMETRY:
        return key
    spec = by_alias(key, level)
    if spec is None or spec.name in options.keys:
        return resolve_name(key)
    return spec.name


def _refuse_ambiguity(name: str, by_key: Mapping[str, list[RawColumn]], raw: Raw, label: str) -> None:
    n = len(raw.n_atoms)
    seen: list[tuple[str, RawColumn, NDArray[np.bool_]]] = []
    for key, columns in by_key.items():
        for column in columns:
            here = np.ones(n, dtype=bool) if column.present is None else column.present
            for other_key, other, there in seen:
                clash = here & there
                if clash.any() and not _equal(column, other, clash, raw):
                    frame = int(raw.frames[np.flatnonzero(clash)[0]])
                    both = f"{other_key!r} and {key!r}" if other_key != key else f"two values of {key!r}"
                    raise InputError(
                        f"{both} could both be the {name}; say which with "
                        f"keys={{{name!r}: {key!r}}} or leave one out with exclude=[...]",
                        label,
                        frame,
                    )
            seen.append((key, column, here))


def _equal(a: RawColumn, b: RawColumn, where: NDArray[np.bool_], raw: Raw) -> bool:
    if a.values.shape != b.values.shape or a.texts is not None or b.texts is not None:
        return False
    rows = where if len(a.values) == len(where) else np.repeat(where, raw.n_atoms)
    return np.array_equal(a.values[rows], b.values[rows])


def _combine(
    name: str, level: Level, columns: list[RawColumn], raw: Raw, bad: _Bad, label: str
) -> tuple[Field, NDArray, NDArray[np.bool_] | None, list[str] | None]:
    """Merge the columns that feed one field into one array of the field's shape."""
    n = len(raw.n_atoms)
    known = FIELDS.get(name)
    parts: list[tuple[Field, RawColumn]] = []
    for column in columns:
        spec, conformed = _conform(name, level, known, column, raw, bad)
        if spec is not None:
            parts.append((spec, conformed))
    if not parts:
        spec = known or infer(name, level, "float", ())
        rows = int(raw.n_atoms.sum()) if level == ATOM else n
        empty = np.full((rows, *spec.shape), spec.missing, spec.dtype)
        texts: list[str] | None = [] if spec.kind == "category" else None
        return spec, empty, np.zeros(n, dtype=bool), texts
    spec = parts[0][0]
    for other, _ in parts[1:]:
        try:
            spec = merge(spec, other)
        except InputError as error:
            raise InputError(error.reason, label) from None
    if len(parts) == 1 and spec is parts[0][0]:
        column = parts[0][1]
        values = column.values if spec.kind == "category" else column.values.astype(spec.dtype, copy=False)
        return spec, values, column.present, column.texts
    rows = int(raw.n_atoms.sum()) if level == ATOM else n
    values = np.full((rows, *spec.shape), spec.missing, spec.dtype)
    present = np.zeros(n, dtype=bool)
    texts = [] if spec.kind == "category" else None
    for _, column in parts:
        here = np.ones(n, dtype=bool) if column.present is None else column.present
        mask = np.repeat(here, raw.n_atoms) if level == ATOM else here
        rows_here = column.values[mask]
        if texts is not None:
            rows_here, texts = _recode(rows_here, column.texts, texts)
        values[mask] = rows_here
        present |= here
    return spec, values, present, texts


def _recode(values: NDArray, texts: list[str] | None, table: list[str]) -> tuple[NDArray, list[str]]:
    """Express codes (or plain values, as their text) by a table, extended as needed."""
    if texts is None:
        unique, codes = np.unique(values, return_inverse=True)
        texts, values = [str(v) for v in unique.tolist()], codes.reshape(values.shape)
    index = {text: i for i, text in enumerate(table)}
    lookup = np.array([index.setdefault(t, len(index)) for t in texts] + [-1], dtype=np.int32)
    return lookup[values], list(index)


def _conform(
    name: str, level: Level, known: Field | None, column: RawColumn, raw: Raw, bad: _Bad
) -> tuple[Field | None, RawColumn]:
    """Return the field and the column in its shape; frames where that fails become bad."""
    kind = _kind(column)
    shape = column.values.shape[1:]
    if known is None:
        return infer(name, level, kind, shape), column
    here = np.ones(len(raw.n_atoms), dtype=bool) if column.present is None else column.present
    if known.kind == "category":
        if kind == "category" and shape == ():
            return known, column
        if shape == ():
            codes, texts = _recode(column.values, None, [])
            return known, RawColumn(codes, column.present, texts)
    if known.kind in ("float", "int") and kind in ("float", "int"):
        values = column.values
        if shape == known.shape:
            return known, column
        if known.or_vector and shape == (3,):
            return known.as_vector(), column
        if known.shape == () and shape == (1,):
            return known, RawColumn(values[:, 0], column.present)
        if known.shape == (3, 3) and shape == (9,):  # Fortran order, the extxyz convention
            return known, RawColumn(values.reshape(-1, 3, 3).transpose(0, 2, 1), column.present)
        if name == "stress" and shape in ((9,), (3, 3)):
            return known, RawColumn(_to_voigt(values, here, bad), column.present)
    found = "text" if kind == "category" else f"{kind} values of shape {shape} per {level}"
    wanted = f"{known.kind} values of shape {known.shape} per {known.level}"
    sample = ""
    if kind == "category" and column.texts and shape == ():
        first = np.flatnonzero(here)[:1]
        sample = f" ({column.texts[int(column.values[first[0]])]!r})" if level == STRUCTURE and len(first) else ""
    bad.add(here, f"the {name} should be {wanted}, but the input has {found}{sample}")
    return None, column


def _kind(column: RawColumn) -> Kind:
    if column.texts is not None:
        return "category"
    kinds: dict[str, Kind] = {"f": "float", "i": "int", "u": "int", "b": "bool"}
    return kinds[column.values.dtype.kind]


def _to_voigt(values: NDArray, here: NDArray[np.bool_], bad: _Bad) -> NDArray:
    full = values.reshape(-1, 3, 3).astype(np.float64)
    if values.ndim == 2:
        full = full.transpose(0, 2, 1)  # nine numbers come in Fortran order
    skew = np.abs(full - full.transpose(0, 2, 1)).max(axis=(1, 2))
    with np.errstate(invalid="ignore"):
        wrong = here & (skew > _ASYMMETRY * np.abs(full).max(axis=(1, 2)) + 1e-8)
    bad.add(wrong, "the stress is not symmetric; a stress must be (check the order of its elements)")
    return full[:, [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]


def _add_geometry(packed: Packed, n: int) -> None:
    """Fill in cell and pbc where the input has none: no cell, not periodic."""
    for name in ("cell", "pbc"):
        if name not in packed.columns:
            packed.add(FIELDS[name], np.zeros((n, *FIELDS[name].shape), FIELDS[name].dtype))
        absent = packed.present.pop(name, None)
        if absent is not None:
            packed.columns[name] = packed.columns[name].copy()
            packed.columns[name][~absent] = 0


def _check_geometry(packed: Packed, offsets: NDArray[np.int64], bad: _Bad) -> None:
    finite = np.isfinite(packed.columns["positions"])
    if not finite.all():
        ok = segment_reduce(finite.all(axis=1), offsets, "min").astype(bool)
        bad.add(~ok, "a position is NaN or infinite")
    cell, pbc = packed.columns["cell"], packed.columns["pbc"].astype(bool)
    if not (cell.any() or pbc.any()):
        return
    flat = ~np.isfinite(cell).all(axis=(1, 2))
    bad.add(flat, "the cell has a NaN or infinite element")
    cell = np.where(flat[:, None, None], 0.0, cell)
    norms = np.linalg.norm(cell, axis=2)
    periodic = pbc.any(axis=1)
    zero = periodic & (pbc & (norms == 0)).any(axis=1) & ~flat
    bad.add(zero, "the structure is periodic along a lattice vector of length zero")
    # Non-periodic axes without a vector are completed by unit vectors: volume is then an area.
    scale = np.where(norms == 0, 1.0, norms)
    unit = cell / scale[:, :, None]
    gram = np.einsum("nij,nkj->nik", unit, unit)
    keep = pbc[:, :, None] & pbc[:, None, :]
    gram = np.where(keep, gram, np.eye(3))
    flat_cell = periodic & ~zero & (np.linalg.det(gram) < 1e-12)
    bad.add(flat_cell, "the cell has zero volume: its periodic lattice vectors are not independent")
    left = periodic & (norms > 0).all(axis=1) & (np.linalg.det(cell) < 0)
    bad.add(left, "the cell has negative volume (left-handed lattice vectors); swap two of them")


def _stress_from_virial(packed: Packed) -> None:
    """Turn virials into stress, -W/V, for structures that have a volume and no stress."""
    if "virial" not in packed.columns:
        return
    n = len(packed)
    every = np.ones(n, dtype=bool)
    volume = np.abs(np.linalg.det(packed.columns["cell"]))
    has_virial = packed.present.get("virial", every)
    stress = np.full((n, 6), np.nan)
    has_stress = np.zeros(n, dtype=bool)
    if "stress" in packed.columns:
        has_stress = packed.present.get("stress", every)
        stress[has_stress] = packed.columns["stress"][has_stress]
    turn = has_virial & ~has_stress & (volume > 0)
    if not turn.any():
        return
    virial = packed.columns["virial"][turn]
    voigt = (virial + virial.transpose(0, 2, 1))[:, [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] / 2
    stress[turn] = -voigt / volume[turn, None]
    packed.present.pop("stress", None)
    packed.add(FIELDS["stress"], stress, has_stress | turn)
    left = has_virial & ~turn
    packed.present["virial"] = left
    if not left.any():
        del packed.columns["virial"], packed.fields["virial"], packed.present["virial"]


def _check_label(packed: Packed, name: str, offsets: NDArray[np.int64], bad: _Bad) -> None:
    """NaN through and through means missing; NaN in part, or infinity, is a fault."""
    spec, values = packed.fields[name], packed.columns[name]
    n = len(packed)
    present = packed.present.get(name)
    axes = tuple(range(1, values.ndim))
    finite = np.isfinite(values)
    if present is None and finite.all():
        return
    infinite = np.isinf(values).any(axis=axes)
    some, every = finite.any(axis=axes), finite.all(axis=axes)
    if spec.level == ATOM:
        infinite = segment_reduce(infinite, offsets, "max").astype(bool)
        some = segment_reduce(some, offsets, "max").astype(bool)
        every = segment_reduce(every, offsets, "min").astype(bool)
    here = np.ones(n, dtype=bool) if present is None else present
    bad.add(here & infinite, f"the {name} has an infinite value")
    bad.add(here & some & ~every & ~infinite, f"the {name} has NaN among its values")
    here = here & some
    packed.columns[name] = values = np.array(values)
    rows = atom_rows(offsets[:-1][~here], packed.n_atoms[~here]) if spec.level == ATOM else ~here
    values[rows] = np.nan
    packed.present[name] = here
    if here.all():
        del packed.present[name]
