"""How each array of a store that is rewritten will be stored, and what the new store will say of it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np

from zstruct.arguments import choice, require, shown, whole
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.schema import ATOM, STRUCTURE
from zstruct.store.chunk_codec import ChunkCodec, Compression
from zstruct.store.chunks import ChunkGrid, grid_with
from zstruct.store.decimals import Decimal
from zstruct.store.files import array_said
from zstruct.store.metadata import documents_digest
from zstruct.store.metadata_checks import LARGEST_CHUNK
from zstruct.store.savings import SAMPLE_ROWS, decimal_share
from zstruct.store.spec import ENCODING_VERSION, INDEX, KINDS, SHARDS, ArraySpec
from zstruct.store.store import Store
from zstruct.text import sized

__all__ = ["ArrayChange", "Form", "Given", "RewritePlan"]

_EDGES = "structure_edge"  # has a row for each structure, and one more
_SMALL_SAVING = "it would hardly be smaller"
# How much larger arrays get at most, about, where what they take is not known: of decimals, and of zstd.
_OF_DECIMALS, _OF_SMALL = 2.0, 1.2


@dataclass(frozen=True)
class Form:
    """How a store is to be stored; what is None stays as it is.

    Parameters
    ----------
    encoding
        ``"decimal"`` or ``"plain"``.
    compression
        ``"fast"``, ``"small"`` or ``"raw"``.
    chunks
        Rows of a chunk of arrays over atoms or structures; a number is for both.

    Raises
    ------
    InputError
        If one of them can't be used.
    """

    encoding: Literal["decimal", "plain"] | None = None
    compression: Compression | None = None
    chunks: int | Mapping[str, int] | None = None

    def __post_init__(self) -> None:
        require("encoding", choice("decimal", "plain", None), self.encoding)
        require("compression", choice("fast", "small", "raw", None), self.compression)
        given = self.chunks
        if given is None:
            return
        if not isinstance(given, Mapping):
            given = dict.fromkeys((ATOM, STRUCTURE), whole("chunks", given, 1))
        rows = {}
        for name, number in given.items():
            if not isinstance(name, str) or name not in (ATOM, STRUCTURE):
                raise InputError(
                    f"chunks is a number of rows, or a mapping of {ATOM!r} and {STRUCTURE!r} to numbers; "
                    f"{shown(name)} is neither of them"
                )
            if number is None:
                raise ArgumentTypeError(f"chunks[{name!r}] is a whole number, not None")
            rows[name] = whole(f"chunks[{name!r}]", number, 1)
        object.__setattr__(self, "chunks", rows)

    def codec(self, spec: ArraySpec, decimal: Decimal | None) -> ChunkCodec:
        """Return how the chunks of an array are made."""
        if self.compression is None:
            return replace(spec.codec, decimal=decimal)
        return ChunkCodec.chosen(spec.dtype, self.compression, decimal)

    def grid(self, spec: ArraySpec) -> ChunkGrid:
        """Return the chunks and shards of an array of the store itself.

        Raises
        ------
        InputError
            If a chunk would be larger than readers take.
        """
        over = STRUCTURE if spec.dims[0] == _EDGES else spec.dims[0]
        rows = self.chunks.get(over) if isinstance(self.chunks, Mapping) else None
        if rows is None:
            return spec.grid
        grid = grid_with(spec.shape[0], rows)
        nbytes = grid.chunk_rows * math.prod(spec.shape[1:]) * np.dtype(spec.dtype).itemsize
        if nbytes > LARGEST_CHUNK:
            raise InputError(
                f"chunks of {rows:,} rows of {spec.path} would have {sized(nbytes)}, and readers take up to "
                f"{sized(LARGEST_CHUNK)}: choose fewer"
            )
        return grid


class Given:
    """The store that is rewritten, as it is at one moment: its own arrays, and those of groups that we know.

    Parameters
    ----------
    store
        The store, opened anew.
    """

    def __init__(self, store: Store):
        self.store = store
        self.groups = [f"{kind}/{name}" for kind in KINDS for name in store.group_names(kind)]
        self.group_attrs = {group: store.group_attrs(group) for group in self.groups}
        self.left_out = sorted({*store.kinds()} - {*KINDS})

    def arrays(self, group: str = "") -> dict[str, ArraySpec]:
        """Return the arrays of a group, or of the store itself, by path in the store.

        The path that an array itself has is that within the group.
        """
        before, found = f"{group}/" if group else "", {}
        for name, said in sorted(self.store.documents(group).items()):
            if said["node_type"] == "array" and not name.startswith(f"{before}{SHARDS}/"):
                spec, _ = array_said(name, said)
                found[name] = replace(spec, path=name.removeprefix(before), attrs=said.get("attributes", {}))
        return found

    def share(self, name: str, decimal: Decimal) -> float | None:
        """Return the share of its bytes that an array takes as decimals, if the store says so."""
        said = self.store.attrs.get("build", {}).get("decimals", {}).get(name, {})
        return said.get("share_of_bytes") if said.get("digits") == decimal.digits else None

    def fingerprint(self) -> str:
        """Return what changes whenever the store, or a group of it, does."""
        own = {
            name: said
            for name, said in self.store.documents().items()
            if "/" in name or said["node_type"] == "array"
        }
        parts = [documents_digest({"": self.store.root_document, **own})]
        parts += [f"{group} {documents_digest(self.store.documents(group))}" for group in self.groups]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def identity(self, form: Form) -> str:
        """Return what tells rewriting it so from any other."""
        said = ["rewrite", ENCODING_VERSION, self.fingerprint(), asdict(form)]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    def candidates(self) -> dict[str, ArraySpec]:
        """Return the arrays that may be decimals and are not stored so."""
        return {
            name: spec
            for name, spec in self.arrays().items()
            if "/" not in name
            and spec.dtype == "float64"
            and spec.shape[0]
            and spec.codec.decimal is None
            and isinstance(spec.fill_value, float)
            and math.isnan(spec.fill_value)
        }


@dataclass(frozen=True)
class ArrayChange:
    """An array as it is and as it will be.

    Parameters
    ----------
    name
        Its path in the given store.
    group
        The group that it is in; "" for the store itself.
    before, after
        The array, whose path is that in the group.
    """

    name: str
    group: str
    before: ArraySpec
    after: ArraySpec

    def nbytes(self, now: int, share: float | None) -> float:
        """Return about how many bytes it will take at most; now it takes `now`.

        The share is that of the bytes that decimals take, if known.
        """
        before, after = self.before.codec, self.after.codec
        if after.plain:
            return math.prod(self.after.shape) * after.stored(self.after.dtype).itemsize
        factor = _OF_SMALL if after.compressor != before.compressor else 1.0
        if before.decimal is not None and after.decimal is None:
            factor /= share or 1 / _OF_DECIMALS
        elif before.decimal is None and after.decimal is not None:
            factor *= share or 1.0
        return now * factor


@dataclass(frozen=True)
class RewritePlan:
    """What becomes of the arrays of a store.

    Parameters
    ----------
    form
        What was asked for.
    decimals
        Arrays that were found to be decimals, or were stored so, and how.
    shares
        The share of their bytes that they take as decimals; those that would hardly be smaller have none.
    kept
        Arrays that stay as they are though decimals were asked for, and why.
    """

    form: Form
    decimals: dict[str, Decimal] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Given, form: Form, found: Mapping[str, Decimal | str]) -> RewritePlan:
        """Plan.

        Parameters
        ----------
        given
            The store.
        form
            What was asked for.
        found
            Of arrays that were looked at, how they are stored as decimals, or why they can't be.
        """
        decimals: dict[str, Decimal] = {}
        shares: dict[str, float] = {}
        kept = {name: said for name, said in found.items() if isinstance(said, str)}
        for name, spec in given.arrays().items():
            decimal = found.get(name, spec.codec.decimal)
            if not isinstance(decimal, Decimal):
                continue
            codec = form.codec(spec, None)
            # What is known was found with the compression that there is.
            share = given.share(name, decimal) if codec == replace(spec.codec, decimal=None) else None
            if share is None:
                sample = given.store.read(name, 0, SAMPLE_ROWS)
                share = decimal_share(sample, spec.shape[0], codec, decimal)
            if share is None and spec.codec.decimal is None:
                kept[name] = _SMALL_SAVING
                continue
            decimals[name] = decimal
            if share is not None:
                shares[name] = share
        return cls(form, decimals, shares, dict(sorted(kept.items())))

    def changes(self, given: Given) -> list[ArrayChange]:
        """Return all arrays of the store and its groups, as they are and as they will be."""
        found = []
        for group in ("", *given.groups):
            for name, spec in given.arrays(group).items():
                decimal = spec.codec.decimal if group else self.decimals.get(name)
                if self.form.encoding == "plain":
                    decimal = None
                grid = spec.grid if group else self.form.grid(spec)
                own = group.startswith(f"{INDEX}/")  # which has one form, whatever that of the store
                codec = spec.codec if own else self.form.codec(spec, decimal)
                after = replace(spec, codec=codec, grid=grid)
                found.append(ArrayChange(name, group, spec, after))
        return found

    def attributes(self, given: Given) -> dict[str, Any]:
        """Return the attributes of the new root group: what they say of the encoding is what it will be."""
        attrs = dict(given.store.attrs)
        build = dict(attrs.get("build", {}))
        if "options" in build:
            asked: dict[str, Any] = {}
            if self.form.encoding is not None:
                asked["decimal"] = self.form.encoding == "decimal"
            if self.form.compression is not None:
                asked["compression"] = self.form.compression
            options = build["options"]  # format 1.0 has none of these
            build["options"] = options | {name: asked[name] for name in asked if name in options}
        decimals = {n: said for n, said in build.get("decimals", {}).items() if n not in self.kept}
        for name, share in self.shares.items():
            decimals[name] = {"digits": self.decimals[name].digits, "share_of_bytes": share}
        if decimals or "decimals" in build:
            build["decimals"] = decimals
        return attrs | {"build": build} if build else attrs

    def to_json(self) -> dict[str, Any]:
        """Return what was found, as JSON can express it."""
        decimals = {name: asdict(decimal) for name, decimal in self.decimals.items()}
        return {"decimals": decimals, "shares": self.shares, "kept": self.kept}

    @classmethod
    def from_json(cls, form: Form, said: Mapping[str, Any]) -> RewritePlan:
        """Return a plan again."""
        decimals = {name: Decimal(**decimal) for name, decimal in said["decimals"].items()}
        return cls(form, decimals, said["shares"], said["kept"])
