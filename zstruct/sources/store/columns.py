"""What the arrays of a store are as fields of a build: as if the inputs that it was built from came again.

A build gives a property a name that files can have, and keeps the input's own in an attribute. Properties of
several stores and of files meet under the latter.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from zstruct.errors import InputError
from zstruct.schema import FIELDS, GEOMETRY, Field, given_name, resolve_name
from zstruct.store.spec import FORMULA
from zstruct.store.store import Store

__all__ = ["StoredColumn", "stored_columns"]

_OWN = (*GEOMETRY, "source", "frame", FORMULA)  # no property that anybody names


@dataclass(frozen=True)
class StoredColumn:
    """An array of a store, and the field that it is.

    Parameters
    ----------
    array
        Its path in the store.
    field
        The field, under the name that a build knows it by.
    presence
        The array that says which structures have it; None: its values do.
    source_units, source_key
        In which units the inputs had it, and what they called it, if the store says so.
    floats
        Whether whole numbers or booleans are stored as floats, with NaN for what is missing (format 1.0).
    """

    array: str
    field: Field
    presence: str | None
    source_units: str | None = None
    source_key: str | None = None
    floats: bool = False


def stored_columns(
    store: Store, keys: Mapping[str, str] | None = None, exclude: Collection[str] = ()
) -> dict[str, StoredColumn]:
    """Return the columns of a store by the names of their fields.

    Parameters
    ----------
    store
        The store.
    keys
        Field → what the store calls it, where it is to become another one.
    exclude
        What to leave out, by the names of fields, of arrays, or of the inputs' own.

    Raises
    ------
    InputError
        If two of them would be one field.

    Examples
    --------
    >>> import tempfile, ase, zstruct
    >>> path = tempfile.mkdtemp() + "/a.zarr"
    >>> report = zstruct.build([ase.Atoms("H", info={"a/b": 1.0})], path, progress=False)
    >>> stored_columns(zstruct.Store(path))["a/b"].array
    'a_b'
    """
    renamed = {key: name for name, key in (keys or {}).items()}
    found: dict[str, StoredColumn] = {}
    known = store.fields
    # Names that are made of others' (a_b_2) come after these: builds give them in this order.
    for array in sorted(known, key=lambda name: (name not in FIELDS, len(name), name)):
        attrs = store.array_attrs(array)
        name = resolve_name(str(attrs["original_name"])) if "original_name" in attrs else array
        called = {array, name, given_name(name)}
        if array not in _OWN:
            if called & set(exclude):
                continue
            name = next((renamed[key] for key in sorted(called) if key in renamed), name)
        if name in found:
            raise InputError(
                f"{found[name].array!r} and {array!r} could both be {name}; leave one out with exclude=[...]",
                store.path,
            )
        units, key = attrs.get("source_units"), attrs.get("source_key")
        presence, stored = store.presence.get(array), known[array]
        floats = stored.kind in ("int", "bool") and stored.dtype.startswith("float")
        found[name] = StoredColumn(array, _field(name, stored, array), presence, units, key, floats)
    return found


def _field(name: str, stored: Field, array: str) -> Field:
    """Return the row of the field table for an array, under the name that a build knows it by."""
    dims = tuple(dim.replace(f"{array}_component", f"{name}_component") for dim in stored.dims)
    dtype = stored.dtype
    if stored.kind in ("int", "bool") and dtype.startswith("float"):
        dtype = FIELDS[name].dtype if name in FIELDS else {"int": "int64", "bool": "bool"}[stored.kind]
    known = FIELDS.get(name)
    forms = () if known is None else (known, known.as_vector()) if known.or_vector else (known,)
    for form in forms:
        if (form.dims, form.kind) == (dims, stored.kind):
            return replace(form, dtype=dtype, unit=stored.unit, shape=stored.shape)
    return replace(stored, name=name, dims=dims, dtype=dtype)
