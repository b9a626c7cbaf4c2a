"""The plan step: from parts to the final arrays; serial, deterministic, metadata only.

Parts are taken in the order of their jobs, never of completion. The plan settles every field's
final row of the table, its safe name and coverage, the category tables, and where each
structure's rows come from.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import shown
from zstruct.building.encoding import Encoding
from zstruct.building.parts import PartBlock, read_blocks, read_summary
from zstruct.disk import save_array
from zstruct.errors import InputError
from zstruct.ragged import counts_to_offsets
from zstruct.schema import ATOM, FIELDS, Field, given_name, merge, safe_names
from zstruct.sources.normalize.elements import TYPES
from zstruct.sources.normalize.normalize import ReadOptions
from zstruct.sources.normalize.unit_systems import quantities_of
from zstruct.sources.remarks import Remarks
from zstruct.store.chunk_codec import ChunkCodec
from zstruct.store.decimals import Decimal, DecimalRange
from zstruct.store.savings import SAMPLE_ROWS, decimal_share
from zstruct.store.spec import FORMULA, ArraySpec, categories_specs, formulas_specs, spec_of
from zstruct.store.workdir import write_json

__all__ = ["Plan", "PlannedField", "check_named", "load_plan", "make_plan"]


@dataclass(frozen=True)
class PlannedField:
    """A column of the store to be: its stored form, and its name and coverage in the parts.

    With `is_presence` it is the column that says which structures have `original`. With `decimal` its numbers
    are decimals, and as such take that share of their bytes, by the first of them.
    """

    field: Field
    original: str
    coverage: int
    categories: list[str] | None
    is_presence: bool = False
    decimal: Decimal | None = None
    decimal_share: float = 1.0


@dataclass(frozen=True)
class Plan:
    """What the store will hold and which rows of which part go where."""

    parts: list[Path]
    fields: list[PlannedField]
    counts_file: Path
    order_file: Path | None
    attrs: dict[str, dict[str, Any]]
    encoding: Encoding

    @cached_property
    def blocks(self) -> list[PartBlock]:
        """The blocks of all parts, in order."""
        return [block for path in self.parts for block in read_blocks(path)]

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Atoms of each structure, in the order of the store."""
        counts: NDArray[np.int64] = np.load(self.counts_file)
        return counts

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Row edges of the structures, in the order of the store."""
        return counts_to_offsets(self.counts)

    @cached_property
    def order(self) -> NDArray[np.int64] | None:
        """Structure of the parts that becomes structure i, or None for the order of the parts."""
        return None if self.order_file is None else np.load(self.order_file)

    @cached_property
    def structure_edges(self) -> NDArray[np.int64]:
        """Structure edges of the blocks."""
        return counts_to_offsets([block.n_structures for block in self.blocks])

    @cached_property
    def atom_edges(self) -> NDArray[np.int64]:
        """Atom edges of the blocks."""
        return counts_to_offsets([block.n_atoms for block in self.blocks])

    @cached_property
    def part_offsets(self) -> NDArray[np.int64]:
        """Row edges of the structures in the order of the parts (needed with a shuffle only)."""
        return counts_to_offsets(np.concatenate([block.counts() for block in self.blocks]))

    @cached_property
    def category_index(self) -> dict[str, dict[str, int]]:
        """Text → code, by field."""
        return {
            planned.field.name: {text: i for i, text in enumerate(planned.categories)}
            for planned in self.fields
            if planned.categories is not None
        }

    def planned(self, name: str) -> PlannedField:
        """Return the planned field that is stored as `name`."""
        return next(planned for planned in self.fields if planned.field.name == name)

    def spec(self, planned: PlannedField) -> ArraySpec:
        """Return the array that stores a field."""
        rows = int(self.offsets[-1]) if planned.field.level == ATOM else len(self.counts)
        attrs = {"coverage": planned.coverage, **self.attrs.get(planned.field.name, {})}
        spec = spec_of(planned.field, planned.field.name, rows, attrs)
        decimal = planned.decimal if self.encoding.decimal else None
        return spec.with_codec(self.encoding.compression, decimal)

    def tables(self, planned: PlannedField) -> list[tuple[ArraySpec, NDArray[Any]]]:
        """Return the arrays, with their contents, that say what the codes of a category stand for."""
        name, texts = planned.field.name, planned.categories
        assert texts is not None
        tables = categories_specs(name, texts) + (formulas_specs(texts) if name == FORMULA else [])
        return [(spec.with_codec(self.encoding.compression), values) for spec, values in tables]

    def save(self, path: Path) -> None:
        """Write the plan, whole or not at all."""
        write_json(
            path,
            {
                "parts": [str(p) for p in self.parts],
                # Texts of categories may be millions: no copies of them.
                "fields": [
                    {**vars(planned), "field": asdict(planned.field), "decimal": _plain(planned.decimal)}
                    for planned in self.fields
                ],
                "counts_file": str(self.counts_file),
                "order_file": None if self.order_file is None else str(self.order_file),
                "attrs": self.attrs,
                "encoding": asdict(self.encoding),
            },
        )


@lru_cache(maxsize=2)
def load_plan(path: Path, identity: str) -> Plan:
    """Read a plan; once per process and build, which `identity` tells apart."""
    entry = json.loads(path.read_text())
    fields = [
        PlannedField(
            **{
                **item,
                "field": Field.from_json(item["field"]),
                "decimal": item["decimal"] and Decimal(**item["decimal"]),
            }
        )
        for item in entry["fields"]
    ]
    order = entry["order_file"]
    return Plan(
        [Path(p) for p in entry["parts"]],
        fields,
        Path(entry["counts_file"]),
        None if order is None else Path(order),
        entry["attrs"],
        Encoding(**entry["encoding"]),
    )


def _plain(decimal: Decimal | None) -> dict[str, Any] | None:
    return None if decimal is None else asdict(decimal)


def make_plan(parts: Sequence[Path], work: Path, options: ReadOptions, encoding: Encoding) -> Plan:
    """Merge what the parts hold into the final fields and write the order of structures.

    Raises
    ------
    InputError
        If no structure is left, a property that the user named is in none of the inputs, or one
        comes in shapes that no single array can hold.
    """
    summaries = [read_summary(part) for part in parts]
    check_named(options, {name for summary in summaries for name in summary["properties"]})
    remarks = Remarks.of(summary["remarks"] for summary in summaries)
    blocks = [block for path in parts for block in read_blocks(path)]
    n = sum(block.n_structures for block in blocks)
    if n == 0:
        raise InputError("no structure is left to store: every frame was dropped or skipped")
    merged: dict[str, Field] = {}
    coverage: dict[str, int] = {}
    seen_in: dict[str, str] = {}
    for block in blocks:
        label = block.categories["source"][0]
        for name, field in block.fields.items():
            try:
                merged[name] = merge(merged.get(name, field), field)
            except InputError as error:
                raise InputError(f"{error.reason} (first in {seen_in[name]})", label) from None
            seen_in.setdefault(name, label)
            coverage[name] = coverage.get(name, 0) + block.coverage[name]
    present = [name for name in merged if coverage[name] > 0]
    for name in options.choice.named:
        if not any(name in (field.name, *quantities_of(field)) for field in (merged[n] for n in present)):
            what = name if name in FIELDS else f"anything with a unit of {name}"
            raise InputError(f"units={{{name!r}: ...}}: no input has {what}; they have {', '.join(present)}")
    names = safe_names(present)
    fields = []
    attrs: dict[str, dict[str, Any]] = {}
    for name in present:
        field = merged[name]
        if encoding.precision is not None and field.level == ATOM and field.kind == "float":
            field = replace(field, dtype=encoding.precision)
        field = replace(field, name=names[name], dims=_safe_dims(field, name, names[name]))
        categories = _categories(name, blocks) if field.kind == "category" else None
        planned = PlannedField(field, name, coverage[name], categories)
        fields.append(_with_decimal(planned, blocks, encoding) if field.dtype == "float64" else planned)
        extra: dict[str, Any] = {}
        if names[name] != given_name(name):
            extra["original_name"] = given_name(name)
        if (source_units := remarks.source_units(name, field.unit)) is not None:
            extra["source_units"] = source_units
        if name in options.keys:
            extra["source_key"] = options.keys[name]
        presence = field.presence() if coverage[name] < n else None
        if presence is not None:
            fields.append(PlannedField(presence, name, n, None, is_presence=True))
            attrs[presence.name] = {"presence_of": field.name}
            # What CF calls a variable that says something about another one.
            extra |= {"presence": presence.name, "ancillary_variables": presence.name}
        attrs[names[name]] = extra
    counts = np.concatenate([block.counts() for block in blocks])
    order_file = None
    if encoding.shuffle_seed is not None:
        order = np.random.default_rng(encoding.shuffle_seed).permutation(n)
        counts = counts[order]
        order_file = work / "order.npy"
        save_array(order_file, order)
    save_array(work / "n_atoms.npy", counts)
    return Plan(list(parts), fields, work / "n_atoms.npy", order_file, attrs, encoding)


def _with_decimal(planned: PlannedField, blocks: Sequence[PartBlock], encoding: Encoding) -> PlannedField:
    """Return a field with how its numbers are stored as decimals, if they are some and it saves anything."""
    name = planned.original
    having = [block for block in blocks if name in block.fields]
    found: DecimalRange | None = DecimalRange()
    for block in having:
        here = block.decimals.get(name)
        found = None if found is None or here is None else found.joined(here)
    if found is None:
        return planned
    first = having[0]
    n = first.n_atoms if planned.field.level == ATOM else first.n_structures
    rows = first.rows(name, 0, min(n, SAMPLE_ROWS)).astype(np.float64, copy=False) + 0.0
    codec = ChunkCodec.chosen("float64", encoding.compression)
    n_rows = sum(block.n_atoms if planned.field.level == ATOM else block.n_structures for block in blocks)
    share = decimal_share(rows, n_rows, codec, found.decimal)
    return planned if share is None else replace(planned, decimal=found.decimal, decimal_share=share)


def check_named(options: ReadOptions, properties: set[str]) -> None:
    """Refuse names that occur nowhere: a slip of the pen would silently cost the labels."""
    own = {"numbers", "positions", "cell", "pbc", TYPES}
    there = ", ".join(sorted(properties - own)) or "nothing else"
    if options.elements and TYPES not in properties:
        raise InputError("elements=...: no input has atom types; they all name their elements")
    for field, key in options.keys.items():
        if key not in properties:
            raise InputError(f"keys={{{field!r}: {key!r}}}: no input has {key!r}; they have {there}")
    for name in sorted(options.exclude):
        if name not in properties:
            raise InputError(f"exclude=[{name!r}]: no input has {name!r}; they have {there}")


def _safe_dims(field: Field, name: str, safe: str) -> tuple[str, ...]:
    return tuple(d.replace(f"{name}_component", f"{safe}_component") for d in field.dims)


def _categories(name: str, blocks: Sequence[PartBlock]) -> list[str]:
    """Return the texts of a category field in the order in which the parts bring them."""
    texts: dict[str, None] = {}
    for block in blocks:
        if name not in block.fields:
            continue
        if name in block.categories:
            texts.update(dict.fromkeys(block.categories[name]))
        else:  # numbers here, text elsewhere
            values = block.rows(
                name, 0, block.n_atoms if block.fields[name].level == ATOM else block.n_structures
            )
            texts.update(dict.fromkeys(str(v) for v in np.unique(values).tolist()))
    for text in texts:
        try:
            text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise InputError(
                f"{name} has the text {shown(text)}, with half a character that no file can have; "
                f"mend it, or leave it out: exclude=[{name!r}]"
            ) from None
    return list(texts)
