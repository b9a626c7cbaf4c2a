"""From an input's own properties to fields: names, units and shapes.

Every source passes through here, so a rule about names or labels stands in one place. All work
is on whole columns; a fault is traced to its frames by masks.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.aliases import by_alias
from zstruct.errors import InputError
from zstruct.ragged import Packed, convert, counts_to_offsets
from zstruct.schema import (
    ATOM,
    FIELDS,
    GEOMETRY,
    RESERVED,
    STRUCTURE,
    Field,
    Level,
    merge,
    resolve_name,
)
from zstruct.sources.normalize.checks import (
    Bad,
    check_geometry,
    check_label,
    check_precision,
)
from zstruct.sources.normalize.column_shapes import conformed_to, kind_of, untangled
from zstruct.sources.normalize.column_units import column_unit
from zstruct.sources.normalize.comments import check_templates
from zstruct.sources.normalize.contradictions import Candidate, refuse_contradiction, twins_apart
from zstruct.sources.normalize.elements import numbers_from_types
from zstruct.sources.normalize.lookalikes import suggestion
from zstruct.sources.normalize.stresses import one_stress
from zstruct.sources.normalize.unit_statements import Statements
from zstruct.sources.normalize.unit_systems import UnitChoice
from zstruct.sources.remarks import Remarks
from zstruct.sources.source import BadFrame, Raw, RawColumn

__all__ = ["ReadOptions", "normalize", "properties_of"]


@dataclass(frozen=True)
class ReadOptions:
    """What the user says about the meaning of input properties.

    Parameters
    ----------
    keys
        Field name → the input's name for it, for properties with unusual or ambiguous names, or a
        template of comments that hold it; see `CommentTemplate`.
    units
        Unit of the inputs by field or quantity, where it is not the store's, or the name of a system of
        units; see `UnitChoice`.
    exclude
        Input properties to leave out.
    elements
        Chemical symbol by atom type, for inputs that name no elements; see `element_table`.
    dtype
        Precision of per-atom floats in the store; float64 if not given.
    """

    keys: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] | str = field(default_factory=dict)
    exclude: frozenset[str] = frozenset()
    elements: Mapping[str, str] = field(default_factory=dict)
    dtype: str | None = None

    choice: UnitChoice = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "choice", UnitChoice.of(self.units))
        for name in ("numbers", "positions"):
            if name in self.exclude:
                raise InputError(f"exclude=[{name!r}]: a structure can't do without {name}")
        taken: dict[str, str] = {}
        for name, key in self.keys.items():
            if not isinstance(key, str) or not isinstance(name, str):
                raise InputError(f"keys={{{name!r}: {key!r}}}: both must be text, field and input name")
            if name in GEOMETRY or name in RESERVED:
                raise InputError(f"keys={{{name!r}: {key!r}}}: {name} can't be taken from elsewhere")
            near = [] if name in FIELDS else difflib.get_close_matches(name, FIELDS, n=1, cutoff=0.8)
            if near:  # new names are welcome, slips of the pen cost labels
                raise InputError(f"keys={{{name!r}: {key!r}}}: no field {name!r}; is it {near[0]!r}?")
            if taken.setdefault(key, name) != name:
                raise InputError(f"keys: {key!r} can't be both {taken[key]} and {name}")
        check_templates(self.keys.items())


def normalize(
    raw: Raw, options: ReadOptions, label: str, remarks: Remarks | None = None
) -> tuple[Packed, list[BadFrame]]:
    """Return the block as fields, and the frames that had to be left out of it.

    Parameters
    ----------
    raw
        A block of frames as the source read them.
    options
        The user's word on names and units.
    label
        The source, for messages.
    remarks
        Where to write down what the user should be told.

    Raises
    ------
    InputError
        If two properties of one frame could be the same field and the user did not say which,
        if units contradict each other or can't be told, or if one property comes in shapes that no
        single array can hold.
    """
    n = len(raw.n_atoms)
    if n == 0:
        return _empty(), list(raw.bad)
    offsets = counts_to_offsets(raw.n_atoms)
    bad = Bad(n)
    bad.add(np.asarray(raw.n_atoms) == 0, "the structure has no atoms")
    packed = Packed(np.asarray(raw.n_atoms, dtype=np.int64))
    if raw.types is not None:
        raw.atom["numbers"] = numbers_from_types(raw, options.elements, bad)
    renamed = {key: name for name, key in options.keys.items()}
    statements = Statements(raw, renamed, options.exclude, label)
    block = _Block(raw, options, statements, Remarks() if remarks is None else remarks, bad, label)
    chosen = _choose(raw, options, statements.consumed)
    for (level, name), by_key in chosen.items():
        combined = _combine(name, level, by_key, block)
        if combined is None:
            continue
        spec, values, present, texts = combined
        packed.add(spec, values, present)
        if texts is not None:
            packed.categories[name] = texts
    _add_geometry(packed, n)
    check_geometry(packed, offsets, bad, block.remarks)
    _refuse_half(packed, block)
    called = {name: next(iter(chosen.get((STRUCTURE, name), {name: []}))) for name in ("stress", "virial")}
    one_stress(packed, bad, block.remarks, raw.frames, label, called)
    for name, spec in list(packed.fields.items()):
        if spec.kind == "float" and name in FIELDS and name not in GEOMETRY:
            check_label(packed, name, offsets, bad)
    if options.dtype is not None:
        check_precision(packed, options.dtype, offsets, bad)
    _name_lookalikes(packed, chosen, block)
    failures = [BadFrame(int(raw.frames[i]), bad.reasons[i]) for i in sorted(bad.reasons)]
    packed.add(FIELDS["frame"], np.asarray(raw.frames, dtype=np.int64))
    return packed.select(~bad.mask), raw.bad + failures


def properties_of(raw: Raw, options: ReadOptions) -> dict[str, list[str]]:
    """Return which properties of a block feed each field, by their names in the input."""
    return {name: list(by_key) for (_, name), by_key in _choose(raw, options, set()).items()}


@dataclass(frozen=True)
class _Block:
    """A block, and what its interpretation needs and gives besides fields."""

    raw: Raw
    options: ReadOptions
    statements: Statements
    remarks: Remarks
    bad: Bad
    label: str
    lengths: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    """What positions and cells were multiplied with, by structure."""


def _refuse_half(packed: Packed, block: _Block) -> None:
    """Refuse lengths of which only some are in other units, said of positions but not of cells."""
    cells = np.any(packed.columns["cell"], axis=(1, 2))
    if "cell" in block.lengths and np.any((block.lengths["positions"] != block.lengths["cell"])[cells]):
        raise InputError(
            "units are given for positions but not for the cell, or two different ones, and there are cells; "
            "give units={'length': ...} for both",
            block.label,
        )


def _name_lookalikes(
    packed: Packed, chosen: Mapping[tuple[Level, str], Mapping[str, list[RawColumn]]], block: _Block
) -> None:
    """Remark on properties that look like a label of structures that lack it."""
    n = len(packed)
    for (level, name), by_key in chosen.items():
        if name in FIELDS or name in block.options.keys:
            continue
        for key, columns in by_key.items():
            for column in columns:
                found = (
                    None
                    if column.fault
                    else suggestion(key, level, kind_of(column), column.values.shape[1:], column.texts or ())
                )
                if found is None:
                    continue
                field_name, sentence = found
                if (other := block.options.keys.get(field_name)) is not None:
                    sentence = (
                        f"{key!r} was not taken for {field_name}: keys= says {other!r}, which is not there"
                    )
                if field_name == "cell":
                    there = np.any(packed.columns["cell"], axis=(1, 2))
                elif field_name in packed.columns:
                    there = packed.has(field_name)
                else:
                    there = np.zeros(n, dtype=bool)
                here = np.ones(n, dtype=bool) if column.present is None else column.present
                block.remarks.count(sentence, int((here & ~there & ~block.bad.mask).sum()))


def _empty() -> Packed:
    packed = Packed(np.zeros(0, dtype=np.int64))
    for name in (*GEOMETRY, "frame"):
        packed.add(FIELDS[name], np.zeros((0, *FIELDS[name].shape), FIELDS[name].dtype))
    return packed


def _choose(
    raw: Raw, options: ReadOptions, consumed: set[str]
) -> dict[tuple[Level, str], dict[str, list[RawColumn]]]:
    """Decide which input properties feed which field."""
    renamed = {key: name for name, key in options.keys.items()}
    groups: dict[tuple[Level, str], dict[str, list[RawColumn]]] = {}
    levels: tuple[tuple[Level, dict[str, list[RawColumn]]], ...]
    levels = ((ATOM, raw.atom), (STRUCTURE, raw.structure))
    for level, table in levels:
        for key, columns in table.items():
            if key in options.exclude or key in consumed:
                continue
            field_name = _field_name(key, level, renamed, options)
            groups.setdefault((level, field_name), {})[key] = columns
    for (level, name), by_key in list(groups.items()):
        groups[level, name], apart = twins_apart(name, by_key, raw)
        for key, columns in apart.items():
            groups.setdefault((level, resolve_name(key)), {})[key] = columns
    chosen: dict[tuple[Level, str], dict[str, list[RawColumn]]] = {}
    for (level, name), by_key in groups.items():
        out_name = name
        if level == STRUCTURE and (ATOM, name) in groups:
            out_name = f"{name}_structure"  # one name, both per atom and per structure
            while (STRUCTURE, out_name) in groups or (ATOM, out_name) in groups:
                out_name += "_"
        chosen[level, out_name] = by_key
    return chosen


def _field_name(key: str, level: Level, renamed: Mapping[str, str], options: ReadOptions) -> str:
    if key in renamed:
        target = renamed[key]
        if target not in FIELDS or FIELDS[target].level == level:
            return target
        return resolve_name(key)
    if key in GEOMETRY and FIELDS[key].level == level:
        return key
    spec = by_alias(key, level)
    # Geometry is the source's to name: what else looks like it (an array "Z") is something else.
    if spec is None or spec.name in options.keys or spec.name in GEOMETRY:
        return resolve_name(key)
    return spec.name


def _combine(
    name: str, level: Level, by_key: Mapping[str, list[RawColumn]], block: _Block
) -> tuple[Field, NDArray[Any], NDArray[np.bool_] | None, list[str] | None] | None:
    """Merge the columns that feed one field into one array of the field's shape and unit."""
    raw, bad, label = block.raw, block.bad, block.label
    known = FIELDS.get(name)
    parts: list[Candidate] = []
    for key, columns in by_key.items():
        for whole in block.statements.applied(name, columns):
            for column in untangled(known, level, whole):
                spec, conformed = conformed_to(name, level, known, column, raw, bad)
                if spec is None:
                    continue
                here = np.ones(len(raw.n_atoms), dtype=bool) if column.present is None else column.present
                spec, said, size = column_unit(spec, whole.unit, block.options.choice, here, bad)
                if known is not None and spec.kind == "float":
                    block.remarks.add_units(name, ["" if size == 1.0 else said])
                    if name in ("positions", "cell"):
                        block.lengths.setdefault(name, np.ones(len(here)))[here] = size
                    if size != 1.0:
                        scaled = conformed.values.astype(np.float64, copy=False) * size
                        conformed = replace(conformed, values=scaled)
                parts.append(Candidate(key, spec, conformed, (column.values.shape[1:], size)))
    if not parts:
        return None
    refuse_contradiction(name, parts, raw, label)
    spec = parts[0].spec
    for other in parts[1:]:
        try:
            spec = merge(spec, other.spec)
        except InputError as error:
            what = error.reason.partition(";")[0]
            raise InputError(
                f"{what}; leave it out with exclude={sorted(by_key)} or make the structures agree", label
            ) from None
    index: dict[str, int] = {}
    present: NDArray[np.bool_] | None = None
    stored = block.options.dtype
    given = {part.column.values.dtype for part in parts}
    if stored is not None and level == ATOM and spec.kind == "float" and given == {np.dtype(stored)}:
        spec = replace(spec, dtype=stored)  # no way there and back
    if len(parts) == 1 and parts[0].column.present is None:
        values = convert(parts[0].column.values, spec, parts[0].column.texts, index)
    else:
        n_rows = int(raw.n_atoms.sum()) if level == ATOM else len(raw.n_atoms)
        values = np.full((n_rows, *spec.shape), spec.missing, spec.dtype)
        present = np.zeros(len(raw.n_atoms), dtype=bool)
        for column in (part.column for part in parts):
            here = ~present if column.present is None else column.present & ~present
            rows = np.repeat(here, raw.n_atoms) if level == ATOM else here
            values[rows] = convert(column.values[rows], spec, column.texts, index)
            present |= here
    return spec, values, present, list(index) if spec.kind == "category" else None


def _add_geometry(packed: Packed, n: int) -> None:
    """Fill in cell and pbc where the input has none: no cell, not periodic."""
    for name in ("cell", "pbc"):
        if name not in packed.columns:
            packed.add(FIELDS[name], np.zeros((n, *FIELDS[name].shape), FIELDS[name].dtype))
        absent = packed.present.pop(name, None)
        if absent is not None:
            packed.columns[name] = packed.columns[name].copy()
            packed.columns[name][~absent] = 0
