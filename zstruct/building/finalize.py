"""The finalize step: what is known only once every shard is there; ``status`` last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.building.manifest import Manifest
from zstruct.building.parts import read_summary
from zstruct.building.plan import Plan
from zstruct.building.repeats import Repeats
from zstruct.elements import SYMBOLS
from zstruct.errors import InputError
from zstruct.sources.remarks import Remarks
from zstruct.store.history import Input, Step, log, write_history
from zstruct.store.shared_shards import SharedShard, shared_shards, write_growing
from zstruct.store.spec import ArraySpec
from zstruct.store.store import Store
from zstruct.store.write import Shard, WrittenArray, content_digest, finish
from zstruct.store.zarr_check import check_readable

__all__ = ["Past", "edge_arrays", "finalize_store"]

_REPORTED = 100  # skipped frames that are listed one by one
_SAID = ("format", "did", "labels")  # options that a history says otherwise
_USUAL = {"on_error": "raise", "compression": "fast"}  # options that need not be said


def edge_arrays(plan: Plan) -> list[tuple[ArraySpec, NDArray[Any]]]:
    """Return the two arrays that say which atoms are whose."""
    n = len(plan.counts)
    counts = ArraySpec(
        "n_atoms",
        ("structure",),
        (n,),
        "int32",
        {"long_name": "number of atoms", "sample_dimension": "atom", "kind": "int", "rotates": "scalar"},
        0,
        plan.edge("n_atoms", 4, n),
    )
    offsets = ArraySpec(
        "offsets",
        ("structure_edge",),
        (n + 1,),
        "int64",
        {"long_name": "atoms of structure i are rows offsets[i]:offsets[i + 1]"},
        0,
        plan.edge("offsets", 8, n + 1),
    )
    tables: list[tuple[ArraySpec, NDArray[Any]]] = [
        (counts, plan.counts.astype(np.int32)),
        (offsets, plan.offsets),
    ]
    return [(spec.with_codec(plan.encoding.compression), values) for spec, values in tables]


def _attrs_of(shared: SharedShard) -> dict[str, Any]:
    return shared.store.array_attrs(shared.array)


def _write_table(
    path: Path, plan: Plan, spec: ArraySpec, values: NDArray[Any], *, links: bool
) -> WrittenArray:
    """Write an array that says which atoms are whose, or what codes stand for.

    What another store that this one begins with has of it is not written again.
    """
    shared: list[SharedShard] = []
    store = None if plan.beginning is None else plan.beginning.source.store
    if store is not None and spec.path in store.array_names():
        same = _alike(store, spec.path, values)
        shared = shared_shards(store, spec.path, spec, same, anywhere=plan.grows) if same else []
    return write_growing(path, spec, shared, lambda a, b: values[a:b], links=links, durable=False)


def _alike(store: Store, array: str, values: NDArray[Any]) -> int:
    """Return how many of the first rows of an array are those of a new one; none if there are others."""
    if store.shape(array)[1:] != values.shape[1:]:
        return 0
    n = min(store.shape(array)[0], len(values))
    others = (store.read(array, 0, n) != values[:n]).any(axis=tuple(range(1, values.ndim)))
    return int(np.argmax(others)) if others.any() else n


def _atomic_energies(past: Past, asked: Mapping[str, float] | None) -> dict[str, Any]:
    """Return the attribute with the energies of free atoms, those that were asked for or those of stores.

    Raises
    ------
    InputError
        If those of the version before are others than those that were asked for.
    """
    kept = None if past.before is None else past.before.attrs.get("atomic_energies")
    energies = {**(kept or {}), **(asked or {})}
    for symbol, energy in (kept or {}).items():
        if energies[symbol] != energy:
            raise InputError(
                f"atomic_energies of the store has {energy!r} eV for {symbol}, and {energies[symbol]!r} is "
                "given: leave it out, as structures were chosen by the other"
            )
    return {"atomic_energies": {symbol: float(energies[symbol]) for symbol in energies}} if energies else {}


def _repeated(repeats: Repeats, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a store says of what was left out because it is there already, if anything was."""
    continued = {**before.get("continued", {}), **repeats.continued}
    n = before.get("n_duplicates", 0) + repeats.n_duplicates
    first = [*before.get("duplicates", []), *map(list, repeats.duplicates)][:_REPORTED]
    return {
        **({"continued": continued} if continued else {}),
        **({"n_duplicates": n, "duplicates": first} if n else {}),
    }


def _inputs(manifest: Manifest, repeats: Repeats, *, but_first: bool) -> list[Input]:
    """Return what came in, as a history says it; of archives, their members."""
    contents = dict(repeats.contents)
    found = []
    for label, fingerprint in manifest.inputs[but_first:]:
        if fingerprint is not None and "chosen" in fingerprint:  # of a store
            found.append(Input(label, digest=fingerprint["digest"], chosen=fingerprint["chosen"]))
            continue
        mine = [label] if label in contents else [one for one in contents if one.startswith(label)]
        found += [Input(one, *contents.pop(one)) for one in mine] or [Input(label)]
    return found + [Input(label, *content) for label, content in contents.items()]


def _steps(
    past: Past,
    manifest: Manifest,
    repeats: Repeats,
    attrs: Mapping[str, Any],
    options: Mapping[str, Any],
) -> list[Step]:
    """Return the history of the store, of which this is the last step."""
    before = past.before
    inputs = _inputs(manifest, repeats, but_first=before is not None)
    step = Step(
        past.did,
        attrs["digest"],
        attrs["n_structures"],
        attrs["n_atoms"],
        None if before is None else before.digest,
        past.n_kept,
        inputs,
        {name: value for name, value in options.items() if name not in _SAID and value != _USUAL.get(name)},
    )
    return [step] if before is None else [*log(before), step]


@dataclass(frozen=True)
class Past:
    """What a store is made of, if it is the next version of another one.

    Parameters
    ----------
    did
        What is done: ``"build"``, ``"append"``, ``"drop"``.
    before
        The version before; None if there is none.
    n_kept
        How many of its first structures are the first ones of the new version.
    """

    did: str = "build"
    before: Store | None = None
    n_kept: int = 0


def finalize_store(
    path: Path,
    plan: Plan,
    summaries: dict[tuple[str, int], dict[str, Any]],
    manifest: Manifest,
    parts: list[Path],
    repeats: Repeats,
    options: dict[str, Any],
    past: Past,
    *,
    links: bool = False,
) -> None:
    """Write edges, tables of texts and the last attributes.

    What is written here need not be on the disk when this returns.

    Parameters
    ----------
    path
        The store.
    plan
        What is in it.
    summaries
        Of all shards of its fields, by array and number.
    manifest, parts
        Where it comes from.
    repeats
        What was left out because it is there already.
    options
        What the user asked for.
    past
        The version before, if there is one.
    links
        Whether shards that another store has, too, may be the same file.

    Raises
    ------
    CorruptStoreError
        If a shard is missing, or zarr can't open what was made.
    """
    asked, described = options["filters"]["atomic_energies"], options
    written: list[WrittenArray] = []
    species = np.zeros(256, dtype=np.int64)
    decimals: dict[str, Any] = {}
    tables = edge_arrays(plan)
    for planned in plan.fields:
        name, spec = planned.field.name, plan.spec(planned)
        mine = [summaries[name, k] for k in range(spec.grid.n_shards(spec.shape[0]))]
        found = [summary["range"] for summary in mine if "range" in summary]
        shared = plan.shared(planned)
        if shared and plan.beginning is not None and plan.beginning.is_whole:  # the other store says it
            found += [said for said in [_attrs_of(shared[0]).get("actual_range")] if said is not None]
            if name == "numbers":
                for symbol, count in shared[0].store.attrs["species"].items():
                    species[SYMBOLS.index(symbol)] += count
        known: dict[str, Any] = {}
        if found:
            known["actual_range"] = [min(low for low, _ in found), max(high for _, high in found)]
        written.append(WrittenArray(spec, [Shard(*summary["shard"]) for summary in mine], known))
        if planned.decimal is not None:
            decimals[name] = {"digits": planned.decimal.digits, "share_of_bytes": planned.decimal_share}
        for summary in mine:
            counts = summary.get("species", [])
            species[: len(counts)] += np.array(counts, dtype=np.int64)
        if planned.categories is not None:
            tables += plan.tables(planned)
    written += [_write_table(path, plan, spec, values, links=links) for spec, values in tables]
    before: dict[str, Any] = {}
    if past.before is not None:
        before = past.before.attrs.get("build", {})
        options = before.get("options", options)
    dropped: Counter[str] = Counter(before.get("dropped", {}))
    noted: Counter[str] = Counter(before.get("noted", {}))
    remarks = Remarks.of(read_summary(part)["remarks"] for part in parts)
    remarks.counts.update(before.get("remarks", {}))
    skipped = [*before.get("skipped", [])]
    skipped += [(manifest.inputs[i][0], None, reason) for i, reason in manifest.unreadable]
    n_skipped = before.get("n_skipped", 0) + len(manifest.unreadable)
    ignored: list[str] = [*before.get("ignored", [])]
    n_ignored = before.get("n_ignored", 0)
    for part in parts:
        summary = read_summary(part)
        ignored += summary["ignored"]
        n_ignored += summary["n_ignored"]
        dropped.update(summary["dropped"])
        noted.update(summary["noted"])
        n_skipped += summary["n_skipped"]
        skipped += summary["skipped"]
    n = len(plan.counts)
    attrs: dict[str, Any] = {
        "n_structures": n,
        "n_atoms": int(plan.offsets[-1]),
        "species": {SYMBOLS[z]: int(species[z]) for z in np.flatnonzero(species)},
        "build": {
            "options": options,
            "dropped": {name: dropped[name] for name in sorted(dropped)},
            "noted": {name: min(noted[name], n) for name in sorted(noted) if noted[name]},
            "remarks": remarks.told(),
            "decimals": decimals,
            "n_skipped": n_skipped,
            "skipped": skipped[:_REPORTED],
            **({"n_ignored": n_ignored, "ignored": ignored[:_REPORTED]} if n_ignored else {}),
            **_repeated(repeats, before),
        },
        "digest": content_digest(written),
    }
    attrs |= _atomic_energies(past, asked)
    write_history(path, _steps(past, manifest, repeats, attrs, described))
    finish(path, attrs, written)
    check_readable(path)
