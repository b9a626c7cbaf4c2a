"""What the format says: names, arrays with their dims, chunks and shards, and what is content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from zstruct.elements import numbers_by_letters
from zstruct.ragged import counts_to_offsets
from zstruct.schema import ATOM, FIELDS, GEOMETRY, STRUCTURE, Field
from zstruct.store.chunk_codec import ChunkCodec, Compression
from zstruct.store.chunks import ChunkGrid, choose_grid
from zstruct.store.decimals import Decimal
from zstruct.store.digests import combine_digests

__all__ = [
    "DATASET_TYPE",
    "ENCODING_TYPE",
    "ENCODING_VERSION",
    "EXTERNAL",
    "EXTERNAL_VERSION",
    "FAILURE",
    "FORMULA",
    "GROUP_KINDS",
    "GROUP_VERSION",
    "GROUP_VERSIONS",
    "HISTORY",
    "INDEX",
    "KINDS",
    "LABELS",
    "NOT_LABELS",
    "OWN",
    "TAKEN_ALONG",
    "ArraySpec",
    "GroupKind",
    "array_digest",
    "categories_specs",
    "columns_of",
    "fields_of",
    "formulas_specs",
    "is_content",
    "presence_of",
    "spec_of",
]


ENCODING_TYPE = "zstruct"


DATASET_TYPE = "zstruct-dataset"  # what a Dataset of a store says it is, wherever it is written


ENCODING_VERSION = "1.1"


CATEGORIES = "categories"


FORMULA, FORMULAS = "formula", "formulas"


SHARDS = "shards"


#: The kinds of groups that `zstruct.featurize` makes.
GroupKind = Literal["features", "derivatives", "neighbors"]


GROUP_KINDS: tuple[GroupKind, ...] = get_args(GroupKind)


GROUP_VERSION = "1.0"


#: The version of features that were added, not computed: they have no cutoff, and may have other rows.
EXTERNAL_VERSION = "2.0"


#: The class in manifests of features and labels that were added.
EXTERNAL = "External"


#: Major numbers that can be read, of kinds of groups that have more than the first.
GROUP_VERSIONS: Mapping[str, tuple[str, ...]] = {"features": ("1", "2")}


#: The dimension of rows that each structure has some of its own of: residues, say.
OWN = "row"


#: The kind of groups that have further labels of the structures, and what says there why some have none.
LABELS, FAILURE = "labels", "failure"


#: What no label of a group is called: it says what a structure is, or where it comes from.
NOT_LABELS = frozenset({*GEOMETRY, "n_atoms", "source", "frame", "formula", "config_type", "head"})


#: The kind of groups of small columns that queries read.
INDEX = "index"


#: The kinds of groups beside the content of a store that there are.
KINDS = (*GROUP_KINDS, LABELS, "splits", "statistics", "references", INDEX)


#: Those that go along when a store is made of others; an index is made anew.
TAKEN_ALONG = tuple(kind for kind in KINDS if kind != INDEX)


#: What says how a store came to be.
HISTORY = "history"


# All groups beside the content.
BESIDE = frozenset({*KINDS, HISTORY})


@dataclass(frozen=True)
class ArraySpec:
    """An array to create: where, of what shape, what is said about it, and how its chunks are made.

    Without a `codec`, they are made to be read fast.
    """

    path: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    attrs: Mapping[str, Any]
    fill_value: float | int | bool
    grid: ChunkGrid
    codec: ChunkCodec = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.codec is None:
            object.__setattr__(self, "codec", ChunkCodec.chosen(self.dtype))

    def with_codec(self, compression: Compression, decimal: Decimal | None = None) -> ArraySpec:
        """Return the array with its chunks made otherwise."""
        return replace(self, codec=ChunkCodec.chosen(self.dtype, compression, decimal))


def spec_of(field: Field, path: str, n_rows: int, attrs: Mapping[str, Any]) -> ArraySpec:
    """Return the array that stores `n_rows` rows of a field, with the attributes its row implies."""
    described: dict[str, Any] = {"long_name": field.description}
    if field.unit:
        described["units"] = field.unit
    described |= {"kind": field.kind, "rotates": field.rotates}
    return ArraySpec(
        path=path,
        dims=field.dims,
        shape=(n_rows, *field.shape),
        dtype=field.dtype,
        attrs=described | dict(attrs),
        fill_value=field.missing,
        grid=choose_grid(n_rows, field.row_bytes, field.level),
    )


def categories_specs(name: str, texts: list[str]) -> list[tuple[ArraySpec, NDArray[Any]]]:
    """Return the two arrays of a category table, with their contents: UTF-8 bytes and edges."""
    encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
    edges = counts_to_offsets([len(e) for e in encoded])
    data = np.frombuffer(b"".join(encoded), dtype=np.uint8)
    of = f"that the codes of {name} stand for"
    return [
        table_spec(f"{CATEGORIES}/{name}/offsets", ("text_edge",), edges, f"edges of the texts {of}"),
        table_spec(
            f"{CATEGORIES}/{name}/data", ("byte",), data, f"UTF-8 bytes of the texts, end to end, {of}"
        ),
    ]


def formulas_specs(formulas: Sequence[str]) -> list[tuple[ArraySpec, NDArray[Any]]]:
    """Return the arrays that say which elements Hill formulas have, with their contents."""
    text = np.frombuffer("\n".join([*formulas, "", ""]).encode(), dtype=np.uint8)
    begins = np.flatnonzero((text >= ord("A")) & (text <= ord("Z")))
    edges = np.append(0, np.searchsorted(begins, np.flatnonzero(text == ord("\n"))[: len(formulas)]))
    second = text[begins + 1]
    two = second >= ord("a")
    elements = numbers_by_letters()[32 * (text[begins] & 31).astype(int) + np.where(two, second & 31, 0)]
    counts, place = np.zeros(len(begins), dtype=np.int32), begins + 1 + two
    while (digits := (text[place] >= ord("0")) & (text[place] <= ord("9"))).any():
        counts[digits] = 10 * counts[digits] + (text[place[digits]] - ord("0"))
        place += digits
    counts[counts == 0] = 1
    where = "of the formulas that the codes of formula stand for"
    return [
        table_spec(f"{FORMULAS}/offsets", ("formula_edge",), edges, f"edges {where}"),
        table_spec(f"{FORMULAS}/numbers", ("formula_element",), elements, f"atomic numbers {where}"),
        table_spec(f"{FORMULAS}/counts", ("formula_element",), counts, f"atoms of each element {where}"),
    ]


def table_spec(
    path: str, dims: tuple[str, ...], values: NDArray[Any], text: str
) -> tuple[ArraySpec, NDArray[Any]]:
    grid = choose_grid(len(values), values.itemsize * int(np.prod(values.shape[1:], dtype=int)))
    return ArraySpec(path, dims, values.shape, values.dtype.name, {"long_name": text}, 0, grid), values


def is_content(array: str) -> bool:
    """Return whether a store's digest covers an array: it is no part of a group, and not derived.

    Examples
    --------
    >>> [is_content(name) for name in ("energy", "categories/head/data", "formula", "splits/default/codes")]
    [True, True, False, False]
    """
    if "/" in array:
        return array.startswith(f"{CATEGORIES}/") and not array.startswith(f"{CATEGORIES}/{FORMULA}/")
    return array != FORMULA


def array_digest(dtype: str, shape: tuple[int, ...], grid: ChunkGrid, shards: Iterable[str]) -> str:
    """Return the content digest of an array from those of its shards."""
    return combine_digests([f"{dtype} {tuple(shape)} {grid.shard_rows}", *shards])


def columns_of(documents: Mapping[str, Mapping[str, Any]]) -> dict[str, Field]:
    """Return the arrays over structures or atoms that documents of a store describe, in the table's order."""
    found = {}
    for name, said in documents.items():
        dims = tuple(map(str, said.get("dimension_names") or ()))
        if "/" in name or name in ("offsets", "n_atoms") or not dims or dims[0] not in (ATOM, STRUCTURE):
            continue
        attrs = said["attributes"]
        found[name] = Field(
            name=name,
            dims=dims,
            kind=attrs["kind"],
            dtype=said["data_type"],
            unit=attrs.get("units", ""),
            description=attrs.get("long_name", name),
            rotates=attrs["rotates"],
            shape=tuple(said["shape"][1:]),
            extensive=name in FIELDS and FIELDS[name].extensive,
        )
    order = {name: i for i, name in enumerate(FIELDS)}
    return dict(sorted(found.items(), key=lambda item: (order.get(item[0], len(order)), item[0])))


def presence_of(columns: Iterable[str], documents: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the arrays that say which structures have a column, by column, for those that need one."""
    said = {name: documents[name]["attributes"].get("presence") for name in columns}
    return {name: str(array) for name, array in said.items() if array is not None}


def fields_of(columns: Mapping[str, Field], documents: Mapping[str, Mapping[str, Any]]) -> dict[str, Field]:
    """Return the columns that are fields: all but those that say which structures have one."""
    masks = set(presence_of(columns, documents).values())
    return {name: field for name, field in columns.items() if name not in masks}
