"""The plan step: from parts to the final arrays; serial, deterministic, metadata only.

Parts are taken in the order of their jobs, never of completion. The plan settles every field's
final row of the table, its safe name and coverage, the category tables, and where each
structure's rows come from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.building.beginning import Beginning
from zstruct.building.blocks import Block, blocks_of
from zstruct.building.encoding import Encoding
from zstruct.building.fields import PlannedField, categories_of, merged_fields, with_decimal
from zstruct.building.kept_forms import keep_form, kept_chunk_rows
from zstruct.building.order import order_of
from zstruct.building.parts import read_summary
from zstruct.building.skipped import nothing_left
from zstruct.building.stored_blocks import StoredBlock, StoredInput
from zstruct.disk import save_array
from zstruct.errors import InputError
from zstruct.paths_and_urls import is_url
from zstruct.ragged import counts_to_offsets
from zstruct.schema import ATOM, FIELDS, STRUCTURE, Field, given_name, safe_names
from zstruct.sources.normalize.elements import TYPES
from zstruct.sources.normalize.normalize import ReadOptions
from zstruct.sources.normalize.unit_systems import quantities_of
from zstruct.sources.remarks import Remarks
from zstruct.store.chunk_codec import ChunkCodec
from zstruct.store.chunks import ChunkGrid, choose_grid, grid_with
from zstruct.store.decimals import Decimal
from zstruct.store.grown import GrownStore
from zstruct.store.shared_shards import SharedShard
from zstruct.store.spec import FORMULA, ArraySpec, categories_specs, formulas_specs, spec_of
from zstruct.store.store import Store
from zstruct.store.workdir import write_json

__all__ = ["Plan", "check_named", "forget_plans", "load_plan", "make_plan"]


@dataclass(frozen=True)
class Plan:
    """What the store will hold and which rows of which part go where."""

    parts: list[Path]
    fields: list[PlannedField]
    counts_file: Path
    order_file: Path | None
    attrs: dict[str, dict[str, Any]]
    encoding: Encoding
    inputs: Mapping[int, StoredInput]
    grows: bool = False

    @cached_property
    def blocks(self) -> list[Block]:
        """The blocks of all parts, in order."""
        return blocks_of(self.parts, self.inputs)

    @cached_property
    def beginning(self) -> Beginning | None:
        """What it has in common with a store among the inputs that it begins with, if there is one."""
        return None if self.order_file is not None else Beginning.of(self.blocks)

    @cached_property
    def _shared(self) -> dict[str, list[SharedShard]]:
        return {}

    def shared(self, planned: PlannedField) -> list[SharedShard]:
        """Return the first shards of a field that are as they are in the store that this one begins with."""
        if self.beginning is None:
            return []
        name = planned.field.name
        if name not in self._shared:
            self._shared[name] = self.beginning.shared(planned, self.spec(planned), anywhere=self.grows)
        return self._shared[name]

    def made(self, path: Path) -> Store:
        """Return the store that was made of this at a path, of which a server may have what it shares."""
        if self.grows and self.beginning is not None and is_url(self.beginning.source.store.path):
            return GrownStore(path, self.beginning.source.store)
        return Store(path)

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
        if planned.chunk_rows is not None:
            spec = replace(spec, grid=grid_with(rows, planned.chunk_rows))
        if planned.codec is not None:
            return replace(spec, codec=planned.codec)
        decimal = planned.decimal if self.encoding.decimal or planned.stays_decimal else None
        return spec.with_codec(self.encoding.compression, decimal)

    def edge(self, name: str, row_bytes: int, rows: int) -> ChunkGrid:
        """Return chunks and shards of an array that says which atoms are whose."""
        known = self.grows and self.beginning is not None and self.beginning.source.store.form(name)
        chunk_rows = kept_chunk_rows(known.grid, known.shape[0], row_bytes, STRUCTURE) if known else None
        return choose_grid(rows, row_bytes) if chunk_rows is None else grid_with(rows, chunk_rows)

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
                    {
                        **vars(planned),
                        "field": asdict(planned.field),
                        "decimal": _plain(planned.decimal),
                        "codec": _plain(planned.codec),
                    }
                    for planned in self.fields
                ],
                "counts_file": str(self.counts_file),
                "order_file": None if self.order_file is None else str(self.order_file),
                "attrs": self.attrs,
                "encoding": asdict(self.encoding),
                "grows": self.grows,
            },
        )


_LOADED: dict[tuple[Path, str], Plan] = {}


def load_plan(path: Path, identity: str, inputs: Mapping[int, StoredInput]) -> Plan:
    """Read a plan; once per process and build, which `identity` tells apart.

    Parameters
    ----------
    path, identity
        Its file, and the build.
    inputs
        The stores among the inputs, by their place.
    """
    found = _LOADED.get((path, identity))
    if found is None:
        while len(_LOADED) > 1:
            _LOADED.pop(next(iter(_LOADED)), None)
        found = _LOADED[path, identity] = _read_plan(path, inputs)
    return found


def forget_plans() -> None:
    """Let go of the plans that are kept, and of what they read."""
    _LOADED.clear()


def _read_plan(path: Path, inputs: Mapping[int, StoredInput]) -> Plan:
    entry = json.loads(path.read_text())
    fields = [
        PlannedField(
            **{
                **item,
                "field": Field.from_json(item["field"]),
                "decimal": item["decimal"] and Decimal(**item["decimal"]),
                "codec": item["codec"] and _codec(item["codec"]),
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
        inputs,
        entry["grows"],
    )


def _plain(form: Decimal | ChunkCodec | None) -> dict[str, Any] | None:
    return None if form is None else asdict(form)


def _codec(said: Mapping[str, Any]) -> ChunkCodec:
    return ChunkCodec(**{**said, "decimal": said["decimal"] and Decimal(**said["decimal"])})


def make_plan(
    parts: Sequence[Path],
    work: Path,
    options: ReadOptions,
    encoding: Encoding,
    inputs: Mapping[int, StoredInput],
    wanted: Mapping[int, NDArray[np.int64]],
    *,
    grows: bool = False,
    keeps: bool = False,
) -> Plan:
    """Merge what the parts hold into the final fields and write the order of structures.

    Parameters
    ----------
    parts
        The parts, in order.
    work
        Where the order is written.
    options, encoding
        What the user said.
    inputs
        The stores among the inputs, by their place.
    wanted
        Of those whose structures were chosen in another order than theirs, their positions in that order.
    grows
        Whether the first input is a store that is extended.
    keeps
        Whether its arrays keep the form that they have.

    Raises
    ------
    InputError
        If no structure is left, a property that the user named is in none of the inputs, or one
        comes in shapes that no single array can hold.
    """
    summaries = [read_summary(part) for part in parts]
    blocks = blocks_of(parts, inputs)
    n_there = sum(block.n_structures for block in blocks)
    if n_there == 0:
        raise InputError(nothing_left(summaries))
    check_named(options, {name for summary in summaries for name in summary["properties"]})
    remarks = Remarks.of(summary["remarks"] for summary in summaries)
    order = order_of(blocks, wanted, encoding.shuffle_seed)
    n = n_there if order is None else len(order)
    if n == 0:
        raise InputError(nothing_left(summaries))
    merged = merged_fields(blocks)
    coverage = {name: _coverage(name, blocks, order if wanted else None) for name in merged}
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
        categories = categories_of(name, blocks) if field.kind == "category" else None
        planned = PlannedField(field, name, coverage[name], categories)
        if field.dtype == "float64":
            planned = with_decimal(planned, blocks, encoding, inputs)
        fields.append(planned)
        extra: dict[str, Any] = {}
        if names[name] != given_name(name):
            extra["original_name"] = given_name(name)
        if (source_units := remarks.source_units(name, field.unit)) is not None:
            extra["source_units"] = source_units
        source_key = options.keys.get(name) or _source_key(name, inputs)
        if source_key is not None:
            extra["source_key"] = source_key
        presence = field.presence() if coverage[name] < n else None
        if presence is not None:
            fields.append(PlannedField(presence, name, n, None, is_presence=True))
            attrs[presence.name] = {"presence_of": field.name}
            # What CF calls a variable that says something about another one.
            extra |= {"presence": presence.name, "ancillary_variables": presence.name}
        attrs[names[name]] = extra
    counts = np.concatenate([block.counts() for block in blocks])
    order_file = None
    if order is not None:
        counts = counts[order]
        order_file = work / "order.npy"
        save_array(order_file, order)
    save_array(work / "n_atoms.npy", counts)
    if keeps and isinstance(blocks[0], StoredBlock):
        fields = [keep_form(planned, blocks[0], blocks[1:], encoding) for planned in fields]
    return Plan(list(parts), fields, work / "n_atoms.npy", order_file, attrs, encoding, inputs, grows)


def _coverage(name: str, blocks: Sequence[Block], order: NDArray[np.int64] | None) -> int:
    """Return how many of the structures that are stored have a field."""
    having = [name in block.fields for block in blocks]
    if order is None:
        return sum(block.coverage[name] for block, has in zip(blocks, having, strict=True) if has)
    masks = [
        block.present(name) if has else np.zeros(block.n_structures, dtype=bool)
        for block, has in zip(blocks, having, strict=True)
    ]
    return int(np.count_nonzero(np.concatenate(masks)[order]))


def _source_key(name: str, inputs: Mapping[int, StoredInput]) -> str | None:
    """Return what inputs of a store called a field."""
    for source in inputs.values():
        if name in source.columns and source.columns[name].source_key is not None:
            return source.columns[name].source_key
    return None


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
