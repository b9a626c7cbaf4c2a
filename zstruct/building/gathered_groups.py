"""Make a group of a new store from those of the stores that its structures come from, row by row.

Whether they go together is looked at here; which stores there are, and where groups go, is not known.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.building.gathered_splits import NewParts, gather_split
from zstruct.building.gathering import Gathering, Unfit, in_threads, like, pieces
from zstruct.building.origins import Origins
from zstruct.errors import InputError
from zstruct.features.external.group import manifest_of, write_features
from zstruct.features.external.rows import Rows
from zstruct.features.statistics import MOMENTS, FirstMoments, by_species, statistics_of
from zstruct.moments import ColumnMoments
from zstruct.ragged import counts_to_offsets
from zstruct.schema import ATOM, STRUCTURE, Field, merge
from zstruct.store.label_writer import Failures, KeptLabels, LabelColumn, write_labels
from zstruct.store.labels import Labels
from zstruct.store.spec import EXTERNAL_VERSION, LABELS, OWN, spec_of
from zstruct.store.store import Store
from zstruct.store.write import Shard, WrittenArray, complete, create, write_shard

__all__ = ["gather_group"]

_SPLITS = "splits"
#: What groups have to agree in, by kind; of features and what has pairs in all that is not found out.
_FOUND_OUT = {"store_digest", "metadata_digest", "status", "statistics", MOMENTS, "n_pairs"}
_AGREE = {LABELS: ("manifest", "description"), _SPLITS: ("labels",)}


def gather_group(
    gathering: Gathering,
    group: str,
    stores: Mapping[int, Store],
    folder: Path,
    parts: NewParts | None = None,
) -> None:
    """Make a group of those of some stores.

    Parameters
    ----------
    gathering
        Where structures come from.
    group
        Its path, here and there.
    stores
        The stores that have it, by their places.
    folder
        Where it is made.
    parts
        To which parts of splits structures go that are appended to a store; None: none are.

    Raises
    ------
    Unfit
        If it can't be made, saying why.
    """
    kind = group.partition("/")[0]
    attrs = _agreed(kind, group, stores)
    said = {k: v for k, v in attrs.items() if k not in _FOUND_OUT or k == "store_digest"}
    said["store_digest"] = gathering.digest
    try:
        if kind == LABELS:
            _labels(gathering, group, stores, folder, said)
        elif kind == _SPLITS:
            gather_split(gathering, group, stores, folder, said, parts)
        elif kind != "features":
            _pairs(gathering, group, stores, folder, said)
        elif attrs["encoding-version"] == EXTERNAL_VERSION:
            _external(gathering, group, stores, folder, said)
        else:
            _features(gathering, group, stores, folder, said)
    finally:
        shutil.rmtree(gathering.scratch, ignore_errors=True)


def _agreed(kind: str, group: str, stores: Mapping[int, Store]) -> dict[str, Any]:
    """Return the attributes of a group, in which all stores agree."""
    attrs = {store.path: store.group_attrs(group) for store in stores.values()}
    first, *others = attrs
    for other in others:
        keys = _AGREE.get(kind, {*attrs[first], *attrs[other]} - _FOUND_OUT)
        for key in sorted(keys):
            if attrs[first].get(key) != attrs[other].get(key):
                raise Unfit(f"{first} and {other} differ in its {key}")
    return attrs[first]


def _features(
    gathering: Gathering, group: str, stores: Mapping[int, Store], folder: Path, said: dict[str, Any]
) -> None:
    """Gather features of atoms, with their statistics."""
    n_atoms, arrays = gathering.origins.n_atoms, dict.fromkeys(stores, f"{group}/values")
    spec = like(next(iter(stores.values())), f"{group}/values", n_atoms, ATOM)
    rows, shared = gathering.atoms(spec, arrays), gathering.shared(spec, arrays, gathering.edges(arrays))
    create(folder, [spec], said)
    first = FirstMoments()
    if shared:
        first = FirstMoments.known(shared[0].store.group_attrs(group), len(shared))
    size = spec.grid.shard_rows

    def shard(k: int) -> tuple[Shard, Mapping[int, ColumnMoments]]:
        start, stop = k * size, min((k + 1) * size, n_atoms)
        if k < first.shards:
            return gathering.put(folder, spec, shared[k]), {}
        values = np.concatenate(list(pieces(rows, k)))
        moments = by_species(values, gathering.made.read("numbers", start, stop))
        if k < len(shared):
            return gathering.put(folder, spec, shared[k]), moments
        return write_shard(folder, spec, k, values, durable=False), moments

    done = in_threads(shard, spec.grid.n_shards(n_atoms))
    found = statistics_of(first, [moments for _, moments in done[first.shards :]], n_atoms // size)
    complete(folder, found, [WrittenArray(spec, [one for one, _ in done])])


def _external(
    gathering: Gathering, group: str, stores: Mapping[int, Store], folder: Path, said: dict[str, Any]
) -> None:
    """Gather features that were made elsewhere, whatever their rows are of."""
    level, made = said["level"], gathering.made
    arrays = dict.fromkeys(stores, f"{group}/values")
    counts, edges, offsets = None, None, None
    n_rows = made.n_atoms if level == ATOM else made.n_structures
    if level == ATOM:
        edges, offsets = gathering.edges(arrays), gathering.origins.offsets
    if level == OWN:
        edges = {place: store.read(f"{group}/offsets") for place, store in stores.items()}
        counts = _counts(gathering.origins, edges)
        offsets = counts_to_offsets(counts)
        n_rows = int(offsets[-1])
    spec = like(
        next(iter(stores.values())), f"{group}/values", n_rows, STRUCTURE if level == STRUCTURE else ATOM
    )
    rows = gathering.rows(spec, arrays, edges, offsets)
    shape = (n_rows, int(spec.shape[1]))
    given = Rows(level, np.dtype(spec.dtype), shape, rows.read, counts)
    write_features(made, folder, given, said | {"manifest": manifest_of(given)})


def _counts(origins: Origins, edges: Mapping[int, NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return how many rows the structures of a new store have, of all stores that have row edges."""
    places, positions = origins.of(0, origins.n_structures)
    counts = np.zeros(origins.n_structures, dtype=np.int64)
    for place, ends in edges.items():
        mine = places == place
        counts[mine] = np.diff(ends)[positions[mine]]
    return counts


def _pairs(
    gathering: Gathering, group: str, stores: Mapping[int, Store], folder: Path, said: dict[str, Any]
) -> None:
    """Gather arrays over pairs: derivatives, or neighbours."""
    any_store, n_atoms = next(iter(stores.values())), gathering.origins.n_atoms
    edges = {place: store.read(f"{group}/offsets") for place, store in stores.items()}
    offsets = counts_to_offsets(_counts(gathering.origins, edges))
    n_pairs, before = int(offsets[-1]), f"{group}/"
    names = [array.removeprefix(before) for array in any_store.array_names(group)]
    pairs = [name for name in names if name not in ("offsets", "counts")]
    specs = {name: like(any_store, f"{before}{name}", n_pairs, ATOM) for name in pairs}
    for name, spec in specs.items():  # shifts are as wide as they have to be
        wide = np.result_type(*(store.dtype(f"{before}{name}") for store in stores.values()))
        specs[name] = replace(spec, dtype=wide.name)
    # They share their shards, for the widest of them.
    grid = min((spec.grid for spec in specs.values()), key=lambda grid: grid.chunk_rows)
    specs = {name: replace(spec, grid=grid) for name, spec in specs.items()}
    per_atom = like(any_store, f"{before}counts", n_atoms, ATOM)
    per_structure = like(any_store, f"{before}offsets", len(offsets), STRUCTURE)
    create(folder, [per_structure, per_atom, *specs.values()], said)
    written = []
    for name, spec in specs.items():
        arrays = dict.fromkeys(stores, f"{before}{name}")
        rows = gathering.rows(spec, arrays, edges, offsets)
        written.append(gathering.write(folder, rows, gathering.shared(spec, arrays, edges)))
    arrays = dict.fromkeys(stores, f"{before}counts")
    counted, shared = gathering.atoms(per_atom, arrays), gathering.edges(arrays)
    written.append(gathering.write(folder, counted, gathering.shared(per_atom, arrays, shared)))
    size = per_structure.grid.shard_rows
    shards = [
        write_shard(folder, per_structure, k, offsets[k * size : (k + 1) * size], durable=False)
        for k in range(per_structure.grid.n_shards(len(offsets)))
    ]
    written.append(WrittenArray(per_structure, shards))
    complete(folder, {"n_pairs": n_pairs}, written)


def _labels(
    gathering: Gathering, group: str, stores: Mapping[int, Store], folder: Path, said: dict[str, Any]
) -> None:
    """Gather labels; those of structures of stores without them are missing."""
    name, origins = group.partition("/")[2], gathering.origins
    found = {
        place: Labels(store, name, store.group_attrs(group), origins.n_known(place)).checked()
        for place, store in stores.items()
    }
    fields: dict[str, Field] = {}
    for labels in found.values():
        for one in labels.fields.values():
            try:
                fields[one.name] = merge(fields.get(one.name, one), one)
            except InputError as error:
                raise Unfit(f"its fields of several stores differ: {error.reason}") from error
    columns = [_label_column(gathering, one, found) for one in fields.values()]
    texts: dict[str, int] = {}
    codes = {}
    for place, labels in found.items():
        table = [*(texts.setdefault(text, len(texts)) for text in labels.failure_texts()), -1]
        codes[place] = np.array(table, dtype=np.int32)[labels.failure_codes()]
    failures = Failures(_taken(origins, codes, -1), list(texts)) if texts else None
    write_labels(folder, columns, origins.offsets, said, failures)


def _label_column(gathering: Gathering, field: Field, found: Mapping[int, Labels]) -> LabelColumn:
    """Return a field of labels of a new store, whose rows are gathered."""
    origins = gathering.origins
    having = {place: labels for place, labels in found.items() if field.name in labels.fields}
    arrays = {place: labels.array(field.name) for place, labels in having.items()}
    of_atoms = field.level == ATOM
    spec = spec_of(field, field.name, origins.n_atoms if of_atoms else origins.n_structures, {})
    rows = gathering.atoms(spec, arrays) if of_atoms else gathering.rows(spec, arrays)
    present, kept = None, None
    if field.presence() is not None:
        masks = {place: labels.present(field.name) for place, labels in having.items()}
        present = _taken(origins, masks, False)
    units = set()
    for place, labels in having.items():
        store = labels.store
        units.add(store.array_attrs(arrays[place]).get("source_units"))
        if n := origins.begins_with(place):
            n_rows = int(origins.offsets[n]) if of_atoms else n
            kept = KeptLabels(store, arrays[place], n, n_rows, n == labels.n_structures, gathering.links)
    one = units.pop()
    attrs = {"source_units": one} if one is not None and not units else {}
    return LabelColumn(field, rows.read, present, attrs, kept)


def _taken(origins: Origins, values: Mapping[int, NDArray[Any]], missing: Any) -> NDArray[Any]:
    """Return a value for each structure of a new store, of those that stores have for theirs."""
    places, positions = origins.of(0, origins.n_structures)
    dtype = next(iter(values.values())).dtype
    out = np.full(origins.n_structures, missing, dtype)
    for place, of_store in values.items():
        mine = places == place
        out[mine] = of_store[positions[mine]]
    return out
