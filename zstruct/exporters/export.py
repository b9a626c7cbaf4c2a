"""`zstruct.export`: structures of a store, or of a selection of them, as a file that other tools read."""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from zstruct import parallel
from zstruct.arguments import check
from zstruct.disk import bytes_within, writing
from zstruct.errors import InputError
from zstruct.exporters.blocks import Block, Contents
from zstruct.exporters.exporter import Exporter, TextExporter
from zstruct.exporters.limits import Tally
from zstruct.exporters.registry import exporter_of
from zstruct.exporters.structures import StoredStructures, Structures
from zstruct.exporters.target import ExportTarget
from zstruct.keywords import keywords
from zstruct.loading.reader import StructureReader
from zstruct.paths_and_urls import is_url, path_of
from zstruct.store.store import Store
from zstruct.text import counted, sized

__all__ = ["ExportReport", "export", "write_structures"]


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
        What is not in it, and why: what the format can't carry, and what the store has beside fields.
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
        reasons: dict[str, list[str]] = {}
        for name, why in self.lost.items():
            reasons.setdefault(why, []).append(name)
        lines += [f"left out: {', '.join(names)} ({why})" for why, names in reasons.items()]
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
    labels: str | Mapping[str, str] | None = None,
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
        its order (nothing else of it counts: neither transforms nor dtypes). Or an `xarray.Dataset` that
        `zstruct.open` returned, or a part of it, with the values that it has: see ``ds.zs.export``.
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
    labels
        Labels in place of the store's own, by their name, or beside them, by prefix and name, as for
        `ZarrStructureDataset`; selections are asked of them.
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
    if storage_options and not isinstance(data, str | os.PathLike):
        raise InputError("the store is open already: pass storage_options where it is opened")
    if hasattr(data, "zs"):
        if labels is not None:
            raise InputError(
                "a Dataset is exported with the values that it has: assign labels to it, as in "
                "ds.assign(energy=ds.zs.labels(name).energy), or give the store"
            )
        chosen = data if select is None and split is None else data.zs.select(select, split=split)
        report: ExportReport = chosen.zs.export(
            path, format, fields=fields, exclude=exclude, with_split=with_split, overwrite=overwrite,
            workers=workers, progress=progress,
        )  # fmt: skip
        return report
    reader = data if isinstance(data, StructureReader) else getattr(data, "reader", None)
    if not isinstance(reader, StructureReader):
        reader = StructureReader(Store.of(data, storage_options), ["positions"], labels=labels)
    elif labels is not None:
        reader = StructureReader(reader.store, ["positions"], labels=labels)[reader.structures]
    if split is not None:
        reader = reader.select(split=split)
    if select is not None:
        reader = reader.select(select)
    chosen = StoredStructures(reader, fields, exclude, with_split)
    return write_structures(chosen, path, format, overwrite=overwrite, workers=workers, progress=progress)


def write_structures(
    structures: Structures,
    path: str | os.PathLike[str],
    format: str | Exporter | None,
    *,
    overwrite: bool,
    workers: int | None,
    progress: bool,
) -> ExportReport:
    """Write structures, wherever they come from, into a file of another format.

    Parameters
    ----------
    structures
        The structures.
    path, format, overwrite, workers, progress
        As for `export`.

    Raises
    ------
    InputError, BuildLockedError, WriteError, StoreExistsError, MissingExtraError
        As for `export`.
    """
    began = time.perf_counter()
    check(overwrite=overwrite, progress=progress)
    target = path_of(path, "what is exported")
    if is_url(target):
        raise InputError(f"exports go to local files, not to {target}: make one here and copy that")
    exporter = exporter_of(target, format)
    contents = structures.contents()
    if contents.n_structures == 0:
        raise InputError("there is nothing to export: the selection has no structures")
    lost = dict(exporter.lost(contents))
    tally = Tally(exporter.limits, lost)
    tally.begin(contents)
    workers = parallel.cpu_count() if workers is None else workers
    goal = ExportTarget(target, overwrite=overwrite)
    with writing(target, f"{target} is as it was"), goal:
        with _Bar(contents.n_structures, progress) as bar:
            _write(exporter, goal.partial, contents, tally.checked(structures), workers, bar)
        goal.publish(exporter.file_names)
    absent = set(lost) if contents.has_cells else {*lost, "cell", "pbc"}
    kept = [name for name in contents.fields if name not in absent]
    lost |= structures.beside()
    seconds, nbytes = time.perf_counter() - began, _size(goal.path)
    return ExportReport(target, contents.n_structures, contents.n_atoms, kept, lost, nbytes, seconds)


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
    return path.stat().st_size if path.is_file() else bytes_within(path)
