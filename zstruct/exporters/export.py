"""`zstruct.export`: structures of a store, or of a selection of them, as a file that other tools read."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from zstruct import parallel
from zstruct.arguments import check, names
from zstruct.batch.packed import PackedBatch
from zstruct.disk import writing
from zstruct.errors import InputError
from zstruct.exporters.exporter import Block, Contents, Exporter, TextExporter
from zstruct.exporters.registry import exporter_of
from zstruct.exporters.target import ExportTarget
from zstruct.keywords import keywords
from zstruct.loading.dataset_options import Cache
from zstruct.loading.reader import StructureReader
from zstruct.paths_and_urls import is_url, path_of
from zstruct.schema import ATOM, GEOMETRY, STRUCTURE, Field, infer
from zstruct.splits import open_split
from zstruct.store.store import Store
from zstruct.text import counted, sized
from zstruct.to_ase import original_name

__all__ = ["ExportReport", "export"]

#: Bytes of fields in a block: large enough for threads, small enough that some of them take little memory.
_BLOCK_BYTES = 8 << 20
_KEPT_BYTES = 256 << 20  # of decoded chunks
_SOME = 1 << 16  # structures
_SPLIT = "split"


@dataclass(frozen=True)
class ExportReport:
    """Result of `zstruct.export`; printing it gives a summary.

    Parameters
    ----------
    path
        The file or directory.
    n_structures, n_atoms
        What is in it.
    fields
        The fields that are in it.
    lost
        What the format can't carry, and why: fields and other things of the store.
    nbytes
        Bytes on disk.
    seconds
        How long it took.
    """

    path: str
    n_structures: int
    n_atoms: int
    fields: list[str]
    lost: dict[str, str]
    nbytes: int
    seconds: float

    def __str__(self) -> str:
        size = f"{counted(self.n_structures, 'structure')}, {counted(self.n_atoms, 'atom')}"
        lines = [f"{self.path}: {size}, {sized(self.nbytes)}, exported in {self.seconds:.2f} s"]
        lines += [f"left out: {name} ({why})" for name, why in self.lost.items()]
        return "\n".join(lines)


@keywords(parallel.WORKERS)
def export(
    data: str | os.PathLike[str] | Store | StructureReader,
    path: str | os.PathLike[str],
    format: str | Exporter | None = None,
    *,
    select: Any = None,
    split: str | tuple[str, str] | None = None,
    fields: Iterable[str] | None = None,
    exclude: Iterable[str] = (),
    with_split: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> ExportReport:
    """Write structures into a file of another format, at once or not at all.

    Parameters
    ----------
    data
        A store, its path or URL; or a reader, a dataset or a view of one, whose structures are exported in
        its order (nothing else of it counts: neither transforms nor dtypes).
    path
        The file or directory to make. Text may be compressed: a name that ends in ``.gz``, ``.bz2``, ``.xz``
        or ``.zst`` says so.
    format
        Name of the format, where the name of the file does not tell, or an `Exporter`.
    select
        Which structures: an expression, positions or a mask, as for `StructureReader.select`.
    split
        The part of a split to export, as for `ZarrStructureDataset`.
    fields
        The fields to export, besides numbers, positions, cell and pbc; by default all but the formula.
    exclude
        Fields to leave out.
    with_split
        Name of a split that is kept in the store; the part that each structure is in is exported as the field
        ``split``, a text.
    storage_options
        Of a URL, for fsspec's file system.
    overwrite
        Whether what is at `path` may be replaced; it stays until the new one is complete.
    workers
        Threads that make text of numbers, by default one for each processor.
    progress
        Whether to show a progress bar.

    Returns
    -------
    ExportReport
        Counts, and what the format could not carry.

    Raises
    ------
    InputError
        If an option makes no sense, nothing is selected, or the format can't hold such structures.
    BuildLockedError
        If another process is exporting to the same target.
    StaleGroupError
        If a split is one of other content than the store has now.
    WriteError
        If the disk is full; what was there is as it was.
    StoreExistsError
        If there is something at `path`, and ``overwrite=True`` was not given.
    MissingExtraError
        If the format needs a package that is not installed.

    Examples
    --------
    >>> import tempfile, ase.build, zstruct
    >>> folder = tempfile.mkdtemp()
    >>> report = zstruct.build([ase.build.molecule("H2O")] * 3, folder + "/water.zarr", progress=False)
    >>> report = zstruct.export(folder + "/water.zarr", folder + "/water.xyz", progress=False)
    >>> report.n_structures, report.lost
    (3, {})
    """
    began = time.perf_counter()
    check(overwrite=overwrite, progress=progress)
    target = path_of(path, "what is exported")
    if is_url(target):
        raise InputError(f"exports go to local files, not to {target}: make one here and copy that")
    exporter = exporter_of(target, format)
    reader = _reader_of(data, storage_options)
    if split is not None:
        reader = reader.select(split=split)
    if select is not None:
        reader = reader.select(select)
    if len(reader) == 0:
        raise InputError("there is nothing to export: the selection has no structures")
    wanted = _fields_of(reader.store, fields, names("exclude", exclude))
    blocks = _Blocks(reader, wanted, with_split)
    contents = blocks.contents()
    lost = exporter.lost(contents)
    workers = parallel.cpu_count() if workers is None else workers
    goal = ExportTarget(target, overwrite=overwrite)
    with writing(target, f"{target} is as it was"), goal:
        with _Bar(contents.n_structures, progress) as bar:
            _write(exporter, goal.partial, contents, blocks, workers, bar)
        goal.publish(exporter.file_names)
    absent = set(lost) if contents.has_cells else {*lost, "cell", "pbc"}
    kept = [name for name in contents.fields if name not in absent]
    seconds, nbytes = time.perf_counter() - began, _size(goal.path)
    return ExportReport(target, contents.n_structures, contents.n_atoms, kept, lost, nbytes, seconds)


def _reader_of(data: Any, storage_options: Mapping[str, Any] | None) -> StructureReader:
    """Return a reader of the structures of whatever was given."""
    reader = data if isinstance(data, StructureReader) else getattr(data, "reader", None)
    if isinstance(reader, StructureReader):
        return reader
    if hasattr(data, "zs"):
        raise InputError(
            "a Dataset may hold other values than its store, and is not exported: give the store, and "
            "select=ds.structure.values for the structures of the Dataset"
        )
    return StructureReader(Store.of(data, storage_options), ["positions"])


def _fields_of(store: Store, fields: Iterable[str] | None, exclude: Iterable[str]) -> dict[str, Field]:
    """Return the fields to export; the geometry is always among them."""
    there = store.fields
    chosen = [name for name in there if name != "formula"] if fields is None else names("fields", fields)
    for name in [*chosen, *exclude]:
        if name not in there:
            raise InputError(f"{store.path} has no field {name!r}; it has {', '.join(there)}")
    left_out = set(exclude)
    for name in GEOMETRY:
        if name in left_out:
            raise InputError(f"exclude=[{name!r}]: a structure can't do without {name}")
    return {name: there[name] for name in dict.fromkeys([*GEOMETRY, *chosen]) if name not in left_out}


class _Blocks:
    """The structures of a reader, in its order, in blocks.

    Parameters
    ----------
    reader
        Says which structures.
    fields
        What to read of them, in the dtypes of the store.
    split
        Name of a split to have as a field.
    """

    def __init__(self, reader: StructureReader, fields: Mapping[str, Field], split: str | None):
        self._fields = dict(fields)
        store = reader.store
        self._parts = None if split is None else open_split(store, split)
        if split is not None and _SPLIT in fields:
            raise InputError(
                f"{store.path} has a field {_SPLIT!r} already: give exclude=[{_SPLIT!r}], or no with_split"
            )
        self._masks = {name: store.presence[name] for name in fields if name in store.presence}
        dtypes: Any = {name: spec.dtype for name, spec in fields.items() if spec.kind != "bool"}
        cache = Cache("memory", bytes=_KEPT_BYTES)
        self._rows = reader.structures
        self._reader = StructureReader(store, list(fields), dtypes, cache=cache)
        self._n_atoms = self._reader.n_atoms[self._rows]

    def contents(self) -> Contents:
        """Return what all blocks together are."""
        categories = {
            name: self._reader.categories(name)
            for name, spec in self._fields.items()
            if spec.kind == "category"
        }
        n_atoms = self._n_atoms
        most = int(n_atoms.max()) if len(n_atoms) else 0
        store = self._reader.store
        originals = {name: original_name(name, store.array_attrs(name)) for name in self._fields}
        fields = dict(self._fields)
        if self._parts is not None:
            fields[_SPLIT] = infer(_SPLIT, STRUCTURE, "category", ())
            categories[_SPLIT] = list(self._parts.labels)
        cells = self._have_cells()
        n, elements = len(n_atoms), self._reader.elements
        return Contents(n, int(n_atoms.sum()), fields, categories, most, originals, cells, elements)

    def _have_cells(self) -> bool:
        """Return whether any structure has a cell."""
        store, rows = self._reader.store, np.sort(self._rows)
        for start in range(0, store.n_structures, _SOME):
            here = rows[np.searchsorted(rows, start) : np.searchsorted(rows, start + _SOME)] - start
            if len(here) and store.read("cell", start, start + _SOME)[here].any():
                return True
        return False

    def __iter__(self) -> Iterator[Block]:
        each = sum(spec.row_bytes for spec in self._fields.values() if spec.level == ATOM)
        alone = sum(spec.row_bytes for spec in self._fields.values() if spec.level != ATOM)
        edges = np.cumsum(self._n_atoms * each + alone) // _BLOCK_BYTES
        cuts = [0, *(np.flatnonzero(np.diff(edges)) + 1).tolist(), len(edges)]
        for start, stop in itertools.pairwise(cuts):
            if stop > start:
                yield self._block(self._reader.take(self._rows[start:stop]), start, self._rows[start:stop])

    def _block(self, batch: PackedBatch, first: int, rows: NDArray[np.int64]) -> Block:
        columns = {name: batch.columns[name] for name in self._fields}
        present = {}
        for name, spec in self._fields.items():
            mask = batch.columns.get(f"has_{name}")
            there = _given(spec, columns[name], batch.offsets) if mask is None else np.asarray(mask, bool)
            if not there.all():
                present[name] = there
        if self._parts is not None:
            columns[_SPLIT] = self._parts.codes[rows].astype(np.int32)
            present[_SPLIT] = columns[_SPLIT] >= 0
        return Block(batch.n_atoms, columns, present, first)


def _given(spec: Field, rows: NDArray[Any], offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which structures have a field: any of its values is not missing."""
    there = spec.given(rows)
    if spec.level != ATOM:
        return there
    counts = np.concatenate([[0], np.cumsum(there)])
    found: NDArray[np.bool_] = counts[offsets[1:]] > counts[offsets[:-1]]
    return found


class _Bar:
    """Shows how many structures are written.

    Parameters
    ----------
    total
        How many there are.
    shown
        Whether there is anything to be seen.
    """

    def __init__(self, total: int, shown: bool):
        self._bar: Any = None
        if shown:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=total, desc="export", unit=" structures", unit_scale=True, delay=0.5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def move(self, n: int) -> None:
        """Count some more structures."""
        if self._bar is not None:
            self._bar.update(n)


def _write(
    exporter: Exporter, partial: Path, contents: Contents, blocks: Iterable[Block], workers: int, bar: _Bar
) -> None:
    try:
        exporter.begin(partial, contents)
        if isinstance(exporter, TextExporter):
            for n, text in _in_order(lambda block: (len(block), exporter.made(block)), blocks, workers):
                exporter.append(text)
                bar.move(n)
        else:
            for block in blocks:
                exporter.write(block)
                bar.move(len(block))
    except BaseException:
        # Of a full disk, what is in buffers is lost anyway; and what was not begun has nothing to close.
        with contextlib.suppress(OSError, AttributeError):
            exporter.abort()
        raise
    exporter.end()


def _in_order(function: Callable[[Block], Any], blocks: Iterable[Block], workers: int) -> Iterator[Any]:
    """Yield what a function makes of blocks, in their order; several are at work at a time."""
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Any]] = deque()
        try:
            for block in blocks:
                waiting.append(pool.submit(function, block))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
