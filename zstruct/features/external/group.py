"""Keep features from elsewhere in a store: per atom, per structure, or with rows of each structure's own.

They become a group as features of descriptors do, but nobody can compute them again: what tells one such
group from another is the digest of its numbers.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import check, choice, names, require, shown
from zstruct.disk import bytes_within
from zstruct.errors import ArgumentTypeError, InputError, StoreExistsError
from zstruct.features.descriptor import make_manifest
from zstruct.features.external.given import Given, rows_of
from zstruct.features.external.rows import Counts, FeatureLevel, Rows
from zstruct.features.external.statistics import Statistics
from zstruct.keywords import keywords
from zstruct.paths_and_urls import check_writable
from zstruct.ragged import counts_to_offsets
from zstruct.schema import ATOM, STRUCTURE
from zstruct.store.chunks import choose_grid
from zstruct.store.group_publication import check_distinct, check_name, publish
from zstruct.store.groups import writing_group
from zstruct.store.spec import EXTERNAL, EXTERNAL_VERSION, OWN, ArraySpec
from zstruct.store.store import Store
from zstruct.store.write import Shard, WrittenArray, complete, create, write_array, write_pieces
from zstruct.text import counted, sized

__all__ = ["AddReport", "add", "manifest_of", "write_features"]

_KIND = "features"
_LEVEL = choice(ATOM, STRUCTURE, OWN, None)
_DTYPE = choice("float32", "float64", None)


@dataclass(frozen=True)
class AddReport:
    """Result of `zstruct.features.add`; printing it gives a summary.

    Parameters
    ----------
    path
        The store.
    group
        Path of the group in it.
    level
        What rows are of: ``"atom"``, ``"structure"`` or ``"row"``, rows of each structure's own.
    n_rows, n_features
        How many there are.
    dtype
        In which they are stored.
    added
        Whether this call wrote them; they may have been there.
    left_out
        What else was in a file, and is not in the store.
    nbytes
        Bytes of the group on disk.
    seconds
        How long this call took.
    """

    path: str
    group: str
    level: FeatureLevel
    n_rows: int
    n_features: int
    dtype: str
    added: bool
    left_out: tuple[str, ...]
    nbytes: int
    seconds: float

    def __str__(self) -> str:
        rows = counted(self.n_rows, self.level)
        did = f"added in {self.seconds:.2f} s" if self.added else "there already, nothing to do"
        line = (
            f"{self.path}: {self.group}: {rows}, {counted(self.n_features, 'feature')} of {self.dtype}, "
            f"{sized(self.nbytes)}, {did}"
        )
        return "\n".join([line, *(f"left out: {what}" for what in self.left_out)])


@keywords()
def add(
    store: str | os.PathLike[str] | Store,
    name: str,
    values: Any,
    *,
    level: FeatureLevel | None = None,
    key: str | None = None,
    feature_names: Sequence[str] | None = None,
    dtype: Literal["float32", "float64"] | None = None,
    description: str | None = None,
    overwrite: bool = False,
) -> AddReport:
    """Keep features that were made elsewhere in a store: fingerprints, embeddings, SOAP, anything in rows.

    Writes the group ``features/<name>``, which datasets serve as ``features="<name>"``. Rows go with the
    atoms or structures of the store in their order. The rest of the store stays as it is. Killed at any
    instant, the same call does it; until the group is whole, nobody sees it. Called again with the same
    values, it does nothing.

    Parameters
    ----------
    store
        The store, in a local directory.
    name
        Name of the group.
    values
        Numbers; a missing one is NaN, and none is infinite.

        * An array, a tensor or a memory map, or what gives rows when it is sliced, as arrays of h5py and zarr
          do: (n_atoms, F) or (n_atoms,) per atom, (n_structures, F) or (n_structures,) per structure.
        * A list of arrays, one for each structure: (its atoms, F) or (its atoms,), (F,) per structure, or,
          with ``level="row"``, (any number, F).
        * An Awkward array of the same.
        * An iterator, with `level`: blocks of rows in order; or of arrays for each structure, with
          ``level="row"``. What doesn't fit into memory can come so.
        * A file: ``.npy``, ``.npz`` or ``.parquet``, also as kinoml writes them. Nothing is unpickled.
    level
        What rows are of: ``"atom"``, ``"structure"`` or ``"row"``, rows of each structure's own, residues
        say. By default the first two are told apart by the number of rows; where there are as many atoms as
        structures, it has to be said.
    key
        Which array of an ``.npz`` file to take, or which field of an Awkward array or a ``.parquet`` file. Of
        several arrays for each structure, as kinoml's ``X_s0_a1_``, the part: ``"a1"``.
    feature_names
        A name for each feature; by default the name of the group with numbers.
    dtype
        Precision of floats in the store; by default as they come. Whole numbers and booleans stay what they
        are unless it is given.
    description
        A text on what they are and where they come from.
    overwrite
        Whether another group of this name may be replaced.

    Returns
    -------
    AddReport
        What there is now, and what else was in a file: ``y``, say, or the parts of a split.

    Raises
    ------
    InputError
        If values are no numbers, do not fit the store, or there is no telling how.
    StoreExistsError
        If there is another group of this name, and `overwrite` was not given.
    BuildLockedError
        If another process is writing groups into the store.
    StoreFormatError
        If there is no finished store.
    ChangedInputError
        If the store was replaced meanwhile.
    MissingExtraError
        If a ``.parquet`` file is given, and what reads it is not installed.

    Examples
    --------
    >>> import tempfile, ase.build, numpy as np, zstruct
    >>> out = tempfile.mkdtemp() + "/molecules.zarr"
    >>> report = zstruct.build([ase.build.molecule(m) for m in ("H2O", "CO2", "CO")], out, progress=False)
    >>> report = zstruct.features.add(out, "bits", np.eye(3, dtype=bool))
    >>> report.level, report.n_features, report.dtype
    ('structure', 3, 'bool')
    >>> zstruct.StructureReader(out, ["numbers"], features="bits")[1]["features"]
    array([False,  True, False])
    """
    began = time.perf_counter()
    given_path = check_writable(store.path if isinstance(store, Store) else store)
    check(overwrite=overwrite)
    require("level", _LEVEL, level)
    require("dtype", _DTYPE, dtype)
    check_name(name, "a group")
    for option, text in {"key": key, "description": description}.items():
        if not (text is None or isinstance(text, str)):
            raise ArgumentTypeError(f"{option} is a text, or None, not {shown(text)}")
    opened = Store(given_path)
    with writing_group(opened) as (there, scratch):
        counts = Counts(there.read("n_atoms").astype(np.int64), lambda: there.read("numbers"))
        given = rows_of(values, counts, scratch, level, key, dtype)
        said = _attrs(there, name, given, feature_names, description)
        new = _missing(there, name, said, overwrite)
        if new:
            check_distinct(there, _KIND, name)
            write_features(there, scratch / _KIND, given.rows, said)
            publish(Path(there.path), scratch, name, [_KIND], "", opened.digest)
    group = f"{_KIND}/{name}"
    rows = given.rows
    return AddReport(
        given_path,
        group,
        rows.level,
        *rows.shape,
        rows.dtype.name,
        new,
        given.left_out,
        bytes_within(os.path.join(given_path, group)),
        time.perf_counter() - began,
    )


def _attrs(
    there: Store, name: str, given: Given, feature_names: Sequence[str] | None, description: str | None
) -> dict[str, Any]:
    """Return the attributes that say what a group is: it is the same if they are."""
    rows = given.rows
    said = {
        "encoding-type": f"zstruct-{_KIND}",
        "encoding-version": EXTERNAL_VERSION,
        "store_digest": there.digest,
        "manifest": manifest_of(rows),
        "level": rows.level,
        "dtype": rows.dtype.name,
        "feature_names": _names(name, rows.shape[1], given.names if feature_names is None else feature_names),
    }
    return said | ({} if description is None else {"description": description})


def manifest_of(rows: Rows) -> dict[str, Any]:
    """Return what tells features from others of their name: a digest of their numbers."""
    parameters = {"level": rows.level, "rows": rows.shape[0], "values": _digest(rows)}
    return make_manifest(EXTERNAL, 1, parameters)


def _names(name: str, width: int, given: Iterable[str] | None) -> list[str]:
    if given is None:
        return [name] if width == 1 else [f"{name}_{k}" for k in range(width)]
    called = names("feature_names", given)
    if len(called) != width or len(set(called)) < width:
        raise InputError(
            f"feature_names are {width} different names, one for each feature; these are {len(called)}, of "
            f"which {len(set(called))} differ"
        )
    return called


def _digest(rows: Rows) -> str:
    """Return what changes whenever the numbers do, or what they are of."""
    said = hashlib.sha256(json.dumps([rows.level, rows.dtype.name, *rows.shape]).encode())
    if rows.counts is not None:
        said.update(np.ascontiguousarray(rows.counts, dtype="<i8").data)
    for block in rows.blocks():
        little = block.astype(block.dtype.newbyteorder("<"), copy=False)
        said.update(np.ascontiguousarray(little).reshape(-1).view(np.uint8).data)
    return said.hexdigest()


def _missing(there: Store, name: str, said: dict[str, Any], overwrite: bool) -> bool:
    """Return whether the group has to be written; refuse if another one is in its place."""
    if name not in there.group_names(_KIND):
        return True
    found = there.group_attrs(f"{_KIND}/{name}")
    of_ours = {*said, "description"}
    if all(found.get(attr) == said.get(attr) for attr in of_ours):
        return False
    if overwrite:
        return True
    why = "with other names, or another description"
    if found["encoding-version"] != EXTERNAL_VERSION:
        why = f"computed by {found['manifest']['class']}"
    elif found["manifest"] != said["manifest"]:
        why = "with other values"
    if found["store_digest"] != there.digest:
        why = "of other content than the store has now"
    raise StoreExistsError(
        f"{there.path} has {_KIND} {name!r} already, {why}; pass overwrite=True (--overwrite) to replace "
        "them, or another name"
    )


def write_features(there: Store, folder: Path, rows: Rows, said: Mapping[str, Any]) -> None:
    """Write a group of features that were made elsewhere, complete, a chunk at a time.

    Parameters
    ----------
    there
        The store.
    folder
        Where the group is made.
    rows
        The features.
    said
        Its attributes, without the statistics.
    """
    n, width = rows.shape
    values = ArraySpec(
        "values",
        (rows.level, "feature"),
        rows.shape,
        rows.dtype.name,
        {"long_name": said.get("description", "features")},
        math.nan if rows.dtype.kind == "f" else False if rows.dtype.kind == "b" else 0,
        choose_grid(n, width * rows.dtype.itemsize, STRUCTURE if rows.level == STRUCTURE else ATOM),
    )
    specs, offsets = [values], None
    if rows.counts is not None:
        edges = counts_to_offsets(rows.counts)
        text = {"long_name": "first row of a structure"}
        grid = choose_grid(len(edges), edges.itemsize)
        offsets = ArraySpec("offsets", ("structure_edge",), edges.shape, "int64", text, 0, grid)
        specs.append(offsets)
    create(folder, specs, said)
    statistics = Statistics()
    statistics.add(np.empty((0, width)), None)

    def chunks(start: int, stop: int) -> Iterator[NDArray[Any]]:
        for first in range(start, stop, values.grid.chunk_rows):
            last = min(first + values.grid.chunk_rows, stop)
            block = rows.block(first, last)
            statistics.add(block, there.read("numbers", first, last) if rows.level == ATOM else None)
            yield block

    shards: list[Shard] = []
    for k in range(values.grid.n_shards(n)):
        start = k * values.grid.shard_rows
        pieces = chunks(start, min(start + values.grid.shard_rows, n))
        shards.append(write_pieces(folder, values, k, pieces))
    written = [WrittenArray(values, shards)]
    if offsets is not None:
        written.append(write_array(folder, offsets, edges))
    complete(folder, {"statistics": statistics.described()}, written)
