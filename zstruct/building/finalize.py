"""The finalize step: what is known only once every shard is there; ``status`` last."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.building.manifest import Manifest
from zstruct.building.parts import read_summary
from zstruct.building.plan import Plan
from zstruct.elements import SYMBOLS
from zstruct.sources.remarks import Remarks
from zstruct.store.chunks import choose_grid
from zstruct.store.spec import ArraySpec
from zstruct.store.write import Shard, WrittenArray, content_digest, finish, write_array
from zstruct.store.zarr_check import check_readable

__all__ = ["edge_arrays", "finalize_store"]

_REPORTED = 100  # skipped frames that are listed one by one


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
        choose_grid(n, 4),
    )
    offsets = ArraySpec(
        "offsets",
        ("structure_edge",),
        (n + 1,),
        "int64",
        {"long_name": "atoms of structure i are rows offsets[i]:offsets[i + 1]"},
        0,
        choose_grid(n + 1, 8),
    )
    tables: list[tuple[ArraySpec, NDArray[Any]]] = [
        (counts, plan.counts.astype(np.int32)),
        (offsets, plan.offsets),
    ]
    return [(spec.with_codec(plan.encoding.compression), values) for spec, values in tables]


def finalize_store(
    path: Path,
    plan: Plan,
    summaries: dict[tuple[str, int], dict[str, Any]],
    manifest: Manifest,
    parts: list[Path],
    options: dict[str, Any],
) -> None:
    """Write edges, tables of texts and the last attributes.

    What is written here need not be on the disk when this returns.

    Raises
    ------
    CorruptStoreError
        If a shard is missing, or zarr can't open what was made.
    """
    written: list[WrittenArray] = []
    species = np.zeros(256, dtype=np.int64)
    decimals: dict[str, Any] = {}
    tables = edge_arrays(plan)
    for planned in plan.fields:
        name, spec = planned.field.name, plan.spec(planned)
        mine = [summaries[name, k] for k in range(spec.grid.n_shards(spec.shape[0]))]
        ranges = np.array([summary["range"] for summary in mine if "range" in summary])
        known: dict[str, Any] = {}
        if len(ranges):
            known["actual_range"] = [ranges[:, 0].min().item(), ranges[:, 1].max().item()]
        written.append(WrittenArray(spec, [Shard(*summary["shard"]) for summary in mine], known))
        if planned.decimal is not None:
            decimals[name] = {"digits": planned.decimal.digits, "share_of_bytes": planned.decimal_share}
        for summary in mine:
            found = summary.get("species", [])
            species[: len(found)] += np.array(found, dtype=np.int64)
        if planned.categories is not None:
            tables += plan.tables(planned)
    written += [write_array(path, spec, values, durable=False) for spec, values in tables]
    dropped: Counter[str] = Counter()
    noted: Counter[str] = Counter()
    remarks = Remarks.of(read_summary(part)["remarks"] for part in parts)
    skipped = [(manifest.inputs[i][0], None, reason) for i, reason in manifest.unreadable]
    n_skipped = len(skipped)
    ignored: list[str] = []
    n_ignored = 0
    for part in parts:
        summary = read_summary(part)
        ignored += summary["ignored"]
        n_ignored += summary["n_ignored"]
        dropped.update(summary["dropped"])
        noted.update(summary["noted"])
        n_skipped += summary["n_skipped"]
        skipped += summary["skipped"]
    attrs: dict[str, Any] = {
        "n_structures": len(plan.counts),
        "n_atoms": int(plan.offsets[-1]),
        "species": {SYMBOLS[z]: int(species[z]) for z in np.flatnonzero(species)},
        "build": {
            "options": options,
            "dropped": {name: dropped[name] for name in sorted(dropped)},
            "noted": {name: noted[name] for name in sorted(noted) if noted[name]},
            "remarks": remarks.told(),
            "decimals": decimals,
            "n_skipped": n_skipped,
            "skipped": skipped[:_REPORTED],
            **({"n_ignored": n_ignored, "ignored": ignored[:_REPORTED]} if n_ignored else {}),
        },
        "digest": content_digest(written),
    }
    atomic_energies = options["filters"]["atomic_energies"]
    if atomic_energies:
        attrs["atomic_energies"] = {symbol: float(energy) for symbol, energy in atomic_energies.items()}
    finish(path, attrs, written)
    check_readable(path)
