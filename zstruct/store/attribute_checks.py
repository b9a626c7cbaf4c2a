"""What a store declares of itself in attributes: checked when it is opened, and relied on from then on.

Every attribute that readers use has a row here: of the store, of its fields, of each kind of group. What
lacks one, or has it of another type or in contradiction to the arrays, is damaged. Documents that passed
`zstruct.store.metadata_checks` are looked at; no array is read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, get_args

from zstruct.errors import CorruptStoreError, StoreFormatError
from zstruct.schema import ATOM, STRUCTURE, Kind, Rotation
from zstruct.store.spec import (
    CATEGORIES,
    DATASET_TYPE,
    ENCODING_TYPE,
    ENCODING_VERSION,
    EXTERNAL_VERSION,
    FAILURE,
    GROUP_VERSIONS,
    HISTORY,
    INDEX,
    LABELS,
    NOT_LABELS,
    OWN,
)

__all__ = ["check_contents", "check_group", "check_no_dataset", "check_type"]

_Check = Callable[[Any], bool]
_MEND = "restore the store from a copy or build it again"


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and all(map(_count, value))


def _table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _energies(value: Any) -> bool:
    return _table(value) and all(map(_number, value.values()))


def _counts(value: Any) -> bool:
    return _table(value) and all(map(_count, value.values()))


def _build(value: Any) -> bool:
    """Return whether this is what a build says of itself."""
    if not _table(value):
        return False
    skipped, ignored = value.get("skipped", []), value.get("ignored", [])
    duplicates = value.get("duplicates", [])
    return (
        _table(value.get("options", {}))
        and all(_counts(value.get(key, {})) for key in ("dropped", "noted", "remarks"))
        and isinstance(skipped, list)
        and all(map(_skipped, skipped))
        and _first_of(skipped, value.get("n_skipped", 0))
        and _texts(ignored)
        and _first_of(ignored, value.get("n_ignored", 0))
        and _counts(value.get("continued", {}))
        and isinstance(duplicates, list)
        and all(map(_place, duplicates))
        and _first_of(duplicates, value.get("n_duplicates", 0))
    )


def _first_of(some: list[Any], n: Any) -> bool:
    """Return whether there may be `n` of which these are the first: some, but for none."""
    return bool(_count(n) and len(some) <= n and (some or not n))


def _place(entry: Any) -> bool:
    """Return whether this is an input and a frame."""
    return isinstance(entry, list) and len(entry) == 2 and _text(entry[0]) and _count(entry[1])


def _skipped(entry: Any) -> bool:
    """Return whether this is the input, the frame and the reason why it was left out."""
    if not isinstance(entry, list) or len(entry) != 3:
        return False
    source, frame, reason = entry
    return _text(source) and (frame is None or _count(frame)) and _text(reason)


def _manifest(value: Any) -> bool:
    types: dict[str, _Check] = {"class": _text, "version": _count, "parameters": _table, "sha256": _text}
    return _table(value) and all(key in value and check(value[key]) for key, check in types.items())


def _labels(value: Any) -> bool:
    return _texts(value) and len(set(value)) == len(value) <= 127


def _or_none(check: _Check) -> _Check:
    return lambda value: value is None or check(value)


def _dtype(value: Any) -> bool:
    return value in ("float32", "float64")


# Attributes that must be there, and those that may.
_ROOT: dict[str, _Check] = {"n_structures": _count, "n_atoms": _count, "digest": _text}
_ROOT_MAY: dict[str, _Check] = {
    "metadata_digest": _text,
    "species": _counts,
    "build": _build,
    "atomic_energies": _energies,
}
_FIELD: dict[str, _Check] = {
    "kind": lambda value: isinstance(value, str) and value in get_args(Kind),
    "rotates": lambda value: isinstance(value, str) and value in get_args(Rotation),
}
_FIELD_MAY: dict[str, _Check] = {
    "coverage": _count,
    "units": _text,
    "presence": _text,
    "long_name": _text,
    "digest": _text,
    "original_name": _text,
    "source_key": _text,
    "source_units": _text,
    "actual_range": lambda value: isinstance(value, list) and len(value) == 2 and all(map(_number, value)),
}
_GROUP: dict[str, _Check] = {"encoding-version": _text, "status": _text, "store_digest": _text}
_PART: dict[str, _Check] = {
    "split": _or_none(lambda value: _texts(value) and len(value) == 2),
    "structures_digest": _or_none(_text),
}
_COMPUTED: dict[str, _Check] = {
    "manifest": _manifest,
    "cutoff": lambda value: _number(value) and value > 0,
}
_GROUPS: dict[str, dict[str, _Check]] = {
    "features": _COMPUTED | {"dtype": _dtype, "feature_names": _texts, "statistics": _table},
    "derivatives": _COMPUTED
    | {"dtype": _dtype, "feature_names": _texts, "n_pairs": _count, "only": lambda v: v in (None, "forces")},
    "neighbors": _COMPUTED | {"n_pairs": _count},
    LABELS: {"manifest": _manifest},
    "splits": {"labels": _labels, "recipe": _table},
    HISTORY: {},
    "statistics": _PART,
    "references": _PART | {"energies": _energies},
    INDEX: {},
}
# The arrays that a group must have, with the dtypes that they may have.
_INTEGERS, _FLOATS = ("int8", "int16", "int32", "int64"), ("float32", "float64")
_NUMBERS = (*_FLOATS, *_INTEGERS, "uint8", "uint16", "uint32", "bool")
# Of features that were added, not computed.
_EXTERNAL: dict[str, _Check] = {
    "manifest": _manifest,
    "level": lambda value: value in (ATOM, STRUCTURE, OWN),
    "dtype": lambda value: value in _NUMBERS,
    "feature_names": _texts,
    "statistics": _table,
}
_LISTS = {"offsets": ("int64",), "counts": ("int32",), "indices": ("int32",)}
_ARRAYS: dict[str, dict[str, tuple[str, ...]]] = {
    "features": {"values": _FLOATS},
    "derivatives": _LISTS | {"vectors": _FLOATS},
    "neighbors": _LISTS | {"shifts": _INTEGERS},
    "splits": {"codes": ("int8",)},
    HISTORY: {"steps": ("uint8",)},
    "statistics": dict.fromkeys(("sizes", "size_counts", "force_bins", "force_bin_counts"), ("int64",)),
}
_EDGES = {"offsets": "int64", "n_atoms": "int32"}
# What fields of a kind are stored as; integers and booleans with gaps were float64 in format 1.0.
_STORED = {"float": "f", "int": "iuf", "bool": "bf", "category": "i"}


def check_type(path: str, document: Mapping[str, Any]) -> None:
    """Raise unless the document of a root group is that of a store of this format, and finished.

    Raises
    ------
    StoreFormatError
        If not.
    """
    attrs = document.get("attributes", {})
    check_no_dataset(path, document)
    if attrs.get("encoding-type") != ENCODING_TYPE:
        raise StoreFormatError(f"{path} is a Zarr group, but not a zstruct store")
    version, known = str(attrs.get("encoding-version")), ENCODING_VERSION.split(".")[0]
    if version.split(".")[0] != known:
        raise StoreFormatError(
            f"{path} has format version {version}; this zstruct reads {known}.x; install a newer zstruct"
        )
    if attrs.get("status") != "complete":
        raise StoreFormatError(f"{path} is unfinished: run the build that makes it again")


def check_no_dataset(path: str, document: Mapping[str, Any]) -> None:
    """Raise where xarray wrote a Dataset of a store, which may have arrays that no store has.

    Raises
    ------
    StoreFormatError
        If it is one.
    """
    attrs = document.get("attributes")
    if isinstance(attrs, dict) and attrs.get("encoding-type") == DATASET_TYPE:
        raise StoreFormatError(
            f"{path} was written by xarray, as a Dataset of structures, and is no zstruct store: "
            "read it with xarray.open_zarr; to have a store of these structures, build one of them: "
            "zstruct.build(ds.zs.to_ase(), path)"
        )


def check_contents(path: str, attrs: Mapping[str, Any], documents: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise unless the attributes of a store, and those of its fields, are there and agree.

    Parameters
    ----------
    path
        The store, for the sentence.
    attrs
        Of the root group.
    documents
        Of root arrays and tables, by path.

    Raises
    ------
    CorruptStoreError
        If not.
    """
    _check(path, "the store", attrs, _ROOT, _ROOT_MAY)
    rows = {STRUCTURE: attrs["n_structures"], ATOM: attrs["n_atoms"]}
    for name, dtype in _EDGES.items():
        said = documents.get(name)
        expected = [rows[STRUCTURE] + (name == "offsets")]
        if said is None or said["data_type"] != dtype or list(said["shape"]) != expected:
            _refuse(path, name, f"is not there as {expected[0]:,} numbers of dtype {dtype}")
    _check_shards(path, "", documents)
    for name, said in documents.items():
        if "/" in name or said["node_type"] != "array":
            continue
        dims = said.get("dimension_names") or ()
        own = said.get("attributes", {})
        if name in _EDGES:
            continue
        if not dims or dims[0] not in rows:
            if "kind" in own:
                _refuse(path, name, f"has the dimensions {dims!r}, which are those of no field")
            continue
        _check_field(path, name, said)
        if said["shape"][0] != rows[dims[0]]:
            _refuse(path, name, f"has {said['shape'][0]:,} rows, not {rows[dims[0]]:,}")
        if own.get("coverage", 0) > rows[STRUCTURE]:
            _refuse(path, name, "covers more structures than there are")
        if own["kind"] == "category":
            for leaf in ("data", "offsets"):
                if f"categories/{name}/{leaf}" not in documents:
                    _refuse(path, f"categories/{name}/{leaf}", "is not there")


def _check_field(path: str, name: str, said: Mapping[str, Any]) -> None:
    """Raise unless an array over structures or atoms says what it is, and has a dtype of that kind."""
    own = said.get("attributes", {})
    _check(path, name, own, _FIELD, _FIELD_MAY)
    if said["data_type"].lstrip("u")[0] not in _STORED[own["kind"]]:
        _refuse(path, name, f"is of kind {own['kind']}, but has the dtype {said['data_type']}")


def check_group(path: str, group: str, documents: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise unless a group has the attributes and arrays that its kind has.

    Parameters
    ----------
    path
        The store, for the sentence.
    group
        Its path in the store.
    documents
        Of the group and all in it, by path in the store.

    Raises
    ------
    CorruptStoreError
        If not.
    """
    kind = group.split("/")[0]
    if documents[group]["node_type"] != "group":
        _refuse(path, group, "is no group")
    attrs = documents[group].get("attributes", {})
    if kind not in _GROUPS:
        return
    _check(path, group, attrs, _GROUP, {})
    major = attrs["encoding-version"].split(".")[0]
    if major not in GROUP_VERSIONS.get(kind, ("1",)):
        return  # of another version: told where it is opened
    external = major == EXTERNAL_VERSION.split(".")[0]
    if attrs.get("encoding-type") != f"zstruct-{kind}":
        _refuse(path, group, f"is of the type {attrs.get('encoding-type')!r}")
    if attrs["status"] != "complete":
        _refuse(path, group, "is unfinished")
    _check(path, group, attrs, _EXTERNAL if external else _GROUPS[kind], {"description": _text})
    _check_shards(path, f"{group}/", documents)
    arrays = _ARRAYS.get(kind, {})
    if external:
        arrays = {"values": (attrs["dtype"],)}
        arrays |= {"offsets": ("int64",)} if attrs["level"] == OWN else {}
    for name, dtypes in arrays.items():
        said = documents.get(f"{group}/{name}", {})
        if said.get("data_type") not in dtypes or not said["shape"]:
            _refuse(path, f"{group}/{name}", f"is not there as an array of dtype {' or '.join(dtypes)}")
    if kind == LABELS:
        _check_labels(path, f"{group}/", documents)
    if kind == "features":
        shape = documents[f"{group}/values"]["shape"]
        if len(shape) != 2 or shape[1] != len(attrs["feature_names"]):
            names = len(attrs["feature_names"])
            _refuse(path, f"{group}/values", f"has shape {list(shape)} for {names} features")
    if external:
        dims = documents[f"{group}/values"].get("dimension_names") or ()
        if list(dims) != [attrs["level"], "feature"]:
            _refuse(path, f"{group}/values", f"has the dimensions {list(dims)!r}, not those of its level")
    if "n_pairs" in attrs and list(documents[f"{group}/indices"]["shape"]) != [attrs["n_pairs"]]:
        _refuse(path, f"{group}/indices", f"does not have {attrs['n_pairs']:,} rows")


def _check_labels(path: str, before: str, documents: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise unless the arrays of a group of labels are fields, with all that these need."""
    inside = {name.removeprefix(before): said for name, said in documents.items() if name.startswith(before)}
    for name, said in inside.items():
        if "/" in name or said["node_type"] != "array":
            continue
        if name in NOT_LABELS:
            _refuse(path, before + name, "is among labels, and can be none")
        dims = said.get("dimension_names") or ()
        if not dims or dims[0] not in (ATOM, STRUCTURE):
            _refuse(path, before + name, f"has the dimensions {dims!r}, which are those of no field")
        _check_field(path, before + name, said)
        own = said["attributes"]
        if (own["kind"] == "category") != (name == FAILURE):
            _refuse(path, before + name, f"is of kind {own['kind']}")
        mask = own.get("presence", name)
        if mask not in inside or inside[mask].get("data_type") not in ("bool", said["data_type"]):
            _refuse(path, before + mask, "is not there as an array of dtype bool")
    if FAILURE in inside:
        for leaf, dtype in (("data", "uint8"), ("offsets", "int64")):
            table = f"{CATEGORIES}/{FAILURE}/{leaf}"
            if inside.get(table, {}).get("data_type") != dtype:
                _refuse(path, before + table, f"is not there as an array of dtype {dtype}")


def _check_shards(path: str, before: str, documents: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise unless the table of shards, if there is one, has a row for each that it names."""
    said = documents.get(f"{before}shards")
    if said is None:
        return
    attrs, what = said.get("attributes", {}), f"{before}shards"
    _check(path, what, attrs, {"arrays": _texts, "counts": _numbers}, {})
    tables = [documents.get(f"{what}/{name}", {}) for name in ("digests", "checksums")]
    n = sum(attrs["counts"])
    if (
        len(attrs["arrays"]) != len(attrs["counts"])
        or [list(table.get("shape", ())) for table in tables] != [[n, 32], [n]]
        or [table["data_type"] for table in tables] != ["uint8", "uint32"]
    ):
        _refuse(path, what, "does not have a row for each shard that it names")


def _check(
    path: str, what: str, attrs: Mapping[str, Any], must: Mapping[str, _Check], may: Mapping[str, _Check]
) -> None:
    for key, check in {**must, **may}.items():
        if key in attrs:
            if not check(attrs[key]):
                shown = repr(attrs[key])
                shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
                _refuse(path, what, f"has {key} = {shown}, which can't be")
        elif key in must:
            _refuse(path, what, f"has no attribute {key}")


def _refuse(path: str, what: str, fault: str) -> None:
    raise CorruptStoreError(f"{path}: the metadata is damaged: {what} {fault}; {_MEND}")
