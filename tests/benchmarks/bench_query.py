"""Queries: a store with an index beside DuckDB on the same columns as Parquet, ASE's database, and copying.

The query is "Ti and O and n_atoms < 60 and fmax < 10". Stores have the columns that it reads and no atoms: of
2,000 formulas, in random order, which is the worst for all. DuckDB is asked in two ways, and the better one
counts: by codes of formulas with a table of these, and by columns with numbers of Ti and O. All return the
rows that were found; files are in the page cache; two threads.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import ase
import ase.calculators.singlepoint
import ase.db
import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import zstruct
from tests.benchmarks.common import Cost, alternate, machine, median, show, write_molecules
from tests.benchmarks.ratios import ratio_of
from zstruct.indexing.columns import column_spec
from zstruct.query.index import GROUP
from zstruct.schema import FIELDS
from zstruct.store.chunks import choose_grid
from zstruct.store.spec import FORMULA, ArraySpec, categories_specs, formulas_specs, spec_of
from zstruct.store.store import Store
from zstruct.store.write import (
    WrittenArray,
    complete,
    consolidate_again,
    content_digest,
    create,
    create_parent,
    finish,
    write_array,
    write_shard,
)

_QUERY = "Ti and O and n_atoms < 60 and fmax < 10"
_SIZES = (1_000_000, 10_000_000, 100_000_000)
_FORMULAS = 2_000
_ROWS = 1 << 18  # that are made at a time
_REPEATS = 7
_PAIRS = 9  # of builds
_ELEMENTS = ("H", "C", "O", "Ti", "Fe", "Au")


def main(scale: float = 1.0) -> None:
    print(machine())
    folder = Path(tempfile.mkdtemp(prefix="zstruct-bench-"))
    try:
        for n in _SIZES:
            _query(folder, int(n * scale))
        _ase(folder, int(100_000 * scale))
        _build(folder, int(200_000 * scale))
    finally:
        shutil.rmtree(folder)


class _Columns:
    """Columns of simulated structures."""

    def __init__(self, n: int):
        draw = np.random.default_rng(0)
        counts = draw.integers(0, 30, (_FORMULAS, len(_ELEMENTS))) * (draw.random((_FORMULAS, 6)) < 0.5)
        counts[:, 0] += 1
        self.n, self.counts = n, np.unique(counts, axis=0)
        order = sorted(range(len(_ELEMENTS)), key=lambda k: _ELEMENTS[k])
        self.formulas = [
            "".join(f"{_ELEMENTS[k]}{row[k] if row[k] > 1 else ''}" for k in order if row[k])
            for row in self.counts
        ]

    def pieces(self) -> Iterator[dict[str, np.ndarray]]:
        """Yield codes of formulas, numbers of atoms, fmax and volumes."""
        totals = self.counts.sum(axis=1)
        for start in range(0, self.n, _ROWS):
            draw = np.random.default_rng([1, start])
            m = min(_ROWS, self.n - start)
            codes = draw.integers(0, len(self.counts), m).astype(np.int32)
            yield {
                "formula": codes,
                "n_atoms": totals[codes].astype(np.int32),
                "fmax": draw.exponential(12, m),
                "volume": draw.normal(800, 90, m),
            }


def _store(columns: _Columns, path: Path) -> Store:
    """Write a store that has the columns, and no shards of atoms."""
    n, places = columns.n, ("structure",)
    said = {"kind": "category", "rotates": "none", "coverage": n}
    offsets = np.zeros(n + 1, dtype=np.int64)
    np.cumsum(np.concatenate([piece["n_atoms"] for piece in columns.pieces()]), out=offsets[1:])
    total = int(offsets[-1])
    of_atoms = [
        spec_of(FIELDS[name], name, total, {"coverage": n, "digest": ""}) for name in ("numbers", "forces")
    ]
    specs = {
        "formula": ArraySpec(FORMULA, places, (n,), "int32", said, -1, choose_grid(n, 4)),
        "n_atoms": ArraySpec("n_atoms", places, (n,), "int32", {}, 0, choose_grid(n, 4)),
    }
    codes = "uint8" if len(columns.formulas) <= 256 else "uint16"
    indexed = {name: column_spec(name, n) for name in ("fmax", "volume")}
    indexed["formula"] = column_spec("formula", n, codes)
    tables = [*categories_specs(FORMULA, columns.formulas), *formulas_specs(columns.formulas)]
    edges = ArraySpec("offsets", ("structure_edge",), (n + 1,), "int64", {}, 0, choose_grid(n + 1, 8))
    create(path, [*specs.values(), edges, *of_atoms, *(spec for spec, _ in tables)], {})
    group = path.with_name("index")
    create(group, indexed.values(), {"encoding-type": "zstruct-index", "encoding-version": "1.0"})
    arrays = _written(columns, path, specs)
    arrays += [write_array(path, spec, values, durable=False) for spec, values in tables]
    arrays.append(write_array(path, edges, offsets, durable=False))
    digest = content_digest(arrays)
    finish(path, {"n_structures": n, "n_atoms": total, "species": {}, "digest": digest}, arrays)
    complete(group, {"store_digest": digest}, _written(columns, group, indexed), durable=False)
    create_parent(path, "index")
    group.rename(path / GROUP)
    consolidate_again(path, path.parent)
    return Store(path)


def _written(columns: _Columns, folder: Path, specs: dict[str, ArraySpec]) -> list[WrittenArray]:
    """Write arrays, shard by shard."""
    shards = {name: [] for name in specs}
    waiting = {name: [] for name in specs}
    for piece in columns.pieces():
        for name, spec in specs.items():
            waiting[name].append(piece[name].astype(spec.dtype))
            rows = sum(map(len, waiting[name]))
            if rows == spec.grid.shard_rows or rows + len(shards[name]) * spec.grid.shard_rows == columns.n:
                values = np.concatenate(waiting[name])
                shards[name].append(write_shard(folder, spec, len(shards[name]), values, durable=False))
                waiting[name].clear()
    return [WrittenArray(spec, shards[name]) for name, spec in specs.items()]


def _parquet(columns: _Columns, path: Path) -> None:
    """Write the columns as Parquet, in groups of rows that DuckDB likes, with numbers of Ti and O."""
    elements = {name: columns.counts[:, _ELEMENTS.index(name)].astype(np.int16) for name in ("Ti", "O")}
    writer = None
    for piece in columns.pieces():
        table = pa.table(piece | {name: counts[piece["formula"]] for name, counts in elements.items()})
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table, row_group_size=122_880)
    writer.close()


def _query(folder: Path, n: int) -> None:
    columns = _Columns(n)
    path, file = folder / "s.zarr", folder / "s.parquet"
    store = _store(columns, path)
    _parquet(columns, file)
    selection = zstruct.Selection().select(_QUERY)
    connection = duckdb.connect()
    connection.execute("SET threads = 2")
    formulas = pa.table(
        {"code": np.arange(len(columns.counts), dtype=np.int32)}
        | {name: columns.counts[:, k] for k, name in enumerate(_ELEMENTS)}
    )
    connection.register("formulas", formulas)
    source = f"read_parquet('{file}', file_row_number = true)"
    of_formulas = "formula IN (SELECT code FROM formulas WHERE Ti > 0 AND O > 0)"

    def asked(condition: str) -> np.ndarray:
        sql = f"SELECT file_row_number FROM {source} WHERE {condition} AND n_atoms < 60 AND fmax < 10"
        return connection.execute(sql).fetchnumpy()["file_row_number"]

    codes, fmax = (store.read(f"{GROUP}/{name}") for name in ("formula", "fmax"))
    out = np.zeros_like(codes), np.zeros_like(fmax)
    sides = {
        "zstruct": lambda: selection.structures(store),
        "DuckDB, codes of formulas": lambda: asked(of_formulas),
        "DuckDB, numbers of elements": lambda: asked("Ti > 0 AND O > 0"),
        "copying codes of formulas and fmax": lambda: [
            np.copyto(a, b) for a, b in zip(out, (codes, fmax), strict=True)
        ],
    }
    found = sides["zstruct"]()
    for name in ("DuckDB, codes of formulas", "DuckDB, numbers of elements"):
        assert np.array_equal(np.sort(sides[name]()), found)
    seconds = {name: median(times) for name, times in alternate(sides, _REPEATS).items()}
    ours, copied = seconds["zstruct"], seconds["copying codes of formulas and fmax"]
    rows = [[name, f"{1e3 * s:.1f}", f"{s / ours:.2f}", f"{s / copied:.2f}"] for name, s in seconds.items()]
    show(f"{n:,} structures, {len(found):,} found", rows, ["", "ms", "times zstruct", "times copying"])
    nbytes = sum(f.stat().st_size for f in (path / GROUP).rglob("*") if f.is_file())
    print(f"index: {nbytes / n:.2f} bytes a structure")
    connection.close()
    shutil.rmtree(path)
    file.unlink()


def _ase(folder: Path, n: int) -> None:
    """ASE's database, of a store that is built, and so has atoms."""
    draw = np.random.default_rng(2)
    structures = []
    for _ in range(n):
        m = int(draw.integers(2, 9))
        atoms = ase.Atoms(draw.choice(_ELEMENTS, m), draw.normal(0, 3, (m, 3)))
        results = {"energy": float(draw.normal()), "forces": draw.normal(0, 6, (m, 3))}
        atoms.calc = ase.calculators.singlepoint.SinglePointCalculator(atoms, **results)
        structures.append(atoms)
    zstruct.build(structures, folder / "a.zarr", progress=False)
    with ase.db.connect(folder / "a.db") as db:
        for atoms in structures:
            db.write(atoms)
    rows = ase.db.connect(folder / "a.db")
    selection = zstruct.Selection().select(_QUERY)
    sides = {
        "zstruct": lambda: selection.structures(Store(folder / "a.zarr")).tolist(),
        "ASE db": lambda: [row.id - 1 for row in rows.select("Ti,O,natoms<60,fmax<10", include_data=False)],
    }
    assert sides["zstruct"]() == sides["ASE db"]()
    seconds = {name: median(times) for name, times in alternate(sides, _REPEATS).items()}
    ours = seconds["zstruct"]
    table = [[name, f"{1e3 * s:.2f}", f"{s / ours:,.1f}"] for name, s in seconds.items()]
    show(f"{n:,} structures", table, ["", "ms", "times zstruct"])


def _build(folder: Path, n: int) -> None:
    """What the index adds to builds: pairs of them, with it and without, in turn the first."""
    from tests.benchmarks.workloads import molecules  # which imports torch

    write_molecules(folder / "a.xyz", n, 10, 30)
    structures = molecules(n)
    frames = list(structures.atoms(n // 4))
    sources = {
        f"extended XYZ, {n:,} molecules": lambda: folder / "a.xyz",
        f"arrays in memory, {n:,} molecules": structures.source,
        f"ase.Atoms in memory, {len(frames):,} molecules": lambda: frames,
        "ase.Atoms in memory, 500 molecules": lambda: frames[:500],
    }
    rows = []
    for title, source in sources.items():
        found: dict[bool, list[Cost]] = {True: [], False: []}
        for turn in range(_PAIRS + 1):
            for indexed in (turn % 2 == 0, turn % 2 == 1):
                cost = _cost(source(), folder / "out", indexed=indexed)
                if turn:
                    found[indexed].append(cost)
        both = list(zip(found[True], found[False], strict=True))
        rows.append(
            [
                title,
                f"{median([bare.wall for bare in found[False]]):.3f}",
                ratio_of([[one.wall / bare.wall for one, bare in both]]),
                ratio_of([[one.cpu / bare.cpu for one, bare in both]]),
            ]
        )
    show(f"builds, {_PAIRS} pairs", rows, ["", "s without index", "times with index", "times CPU"])


def _cost(source, out: Path, *, indexed: bool) -> Cost:
    """Build a store with or without an index, and remove it."""
    from zstruct.building import making

    os.sync()
    put = making.put_index
    making.put_index = put if indexed else lambda *arguments: None
    try:
        began = time.perf_counter(), time.process_time()
        zstruct.build(source, out, progress=False)
        cost = Cost(time.perf_counter() - began[0], time.process_time() - began[1])
    finally:
        making.put_index = put
    shutil.rmtree(out)
    return cost
