"""Files of features: arrays of NumPy, kinoml's .npz and .parquet. Nothing in them is unpickled.

kinoml writes ``X``, or an array for each system, ``X_s0_``, or several of them, ``X_s0_a0_``; ``y``, what was
measured, and ``idx_train`` and the like. In its .parquet files, fields are numbered and the last is ``y``.
"""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.features.external.order import WHOSE

__all__ = ["FileValues", "npy_array", "npz_array", "npz_values"]

Piece = tuple[NDArray[Any], str]  # with what it is, for sentences
_OF_SYSTEM = re.compile(r"X_s(\d+)_?")
_PART = re.compile(r"X_s(\d+)_a(\d+)_?")
_BLOCK_BYTES = 1 << 24
_FAULTS = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError)


@dataclass(frozen=True, eq=False)
class FileValues:
    """What was found in a file.

    Parameters
    ----------
    what
        The array or arrays that are taken, by name.
    by_structure
        Whether a piece is what one structure has; else pieces are rows of a table.
    pieces
        Yields them.
    left_out
        What else is in the file, with what it may be good for.
    beside
        Arrays that say whose rows they are, by name.
    """

    what: str
    by_structure: bool
    pieces: Callable[[], Iterator[Piece]]
    left_out: tuple[str, ...]
    beside: tuple[str, ...] = ()


def npy_array(path: Path) -> NDArray[Any]:
    """Return the array of an .npy file, as a memory map.

    Raises
    ------
    InputError
        If it is no such file, or holds objects.
    """
    try:
        found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except _FAULTS as error:
        raise _unreadable(path, ".npy", error) from error
    if not isinstance(found, np.ndarray):
        raise InputError(f"{path} is no .npy file: is it an .npz? then call it so")
    return found


def npz_values(path: Path, key: str | None) -> FileValues:
    """Return what an .npz file holds.

    Parameters
    ----------
    path
        The file.
    key
        Which of several arrays to take, or which part, ``"a0"``, of what each system has.

    Raises
    ------
    InputError
        If it is no such file, or there is no telling which array is meant.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            shapes = {name: _shape(archive, name) for name in names}
    except _FAULTS as error:
        raise _unreadable(path, ".npz", error) from error
    groups: dict[str, dict[int, str]] = {}
    for name in names:
        part, whole = _PART.fullmatch(name), _OF_SYSTEM.fullmatch(name)
        found = part or whole
        if found is not None:
            of = groups.setdefault(f"a{part[2]}" if part else "X", {})
            if int(found[1]) in of:
                raise InputError(
                    f"{path} has both {of[int(found[1])]} and {name}: two arrays of one structure"
                )
            of[int(found[1])] = name
    in_groups = {name for group in groups.values() for name in group.values()}
    plain = [name for name in names if name not in in_groups]
    if "X" in groups and "X" in plain:
        raise InputError(f"{path} has X as well as {groups['X'][min(groups['X'])]}: leave one of them out")
    chosen = _chosen(path, [*groups, *plain], groups, key)
    left = [_said(name, shapes[name], path) for name in plain if name != chosen]
    left += [f"{name} of each structure" for name in groups if name != chosen]
    beside = tuple(name for name in plain if name != chosen and name in WHOSE)
    if chosen not in groups:

        def rows() -> Iterator[Piece]:
            with zipfile.ZipFile(path) as archive:
                for block in _blocks(archive, chosen):
                    yield block, f"{chosen} of {path}"

        return FileValues(chosen, _is_stacked(shapes[chosen]), _guarded(path, rows), tuple(left), beside)
    members = groups[chosen]
    missing = next((k for k in range(len(members)) if k not in members), None)
    if missing is not None:
        raise InputError(
            f"{path} has arrays of {len(members):,} structures, but none for structure {missing}"
        )

    def of_systems() -> Iterator[Piece]:
        with zipfile.ZipFile(path) as archive:
            for k in range(len(members)):
                yield _whole(archive, members[k]), f"{members[k]} of {path}"

    return FileValues(chosen, True, _guarded(path, of_systems), tuple(left), beside)


def npz_array(path: Path, name: str) -> NDArray[Any]:
    """Return one array of an .npz file.

    Raises
    ------
    InputError
        If it is damaged, or holds objects.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _whole(archive, name)
    except _FAULTS as error:
        raise _unreadable(path, ".npz", error) from error


def _is_stacked(shape: tuple[int, ...]) -> bool:
    """Return whether an array has one of two axes for each structure."""
    return len(shape) == 3


def _chosen(path: Path, names: list[str], groups: dict[str, dict[int, str]], key: str | None) -> str:
    if key is not None:
        if key not in names:
            raise InputError(f"{path} has no {key!r}; it has {', '.join(names) or 'nothing'}")
        return key
    candidates = [name for name in names if name != "y" and not name.startswith("idx_")]
    candidates = [name for name in candidates if name not in WHOSE] or candidates
    if "X" in candidates:
        return "X"
    if len(candidates) != 1:
        has = ", ".join(candidates) or "nothing that could be features"
        raise InputError(f"{path} has {has}: say which array to take, with key=")
    return candidates[0]


def _said(name: str, shape: tuple[int, ...], path: Path) -> str:
    if name.startswith("idx_"):
        return f"{name}, a part of a split, for zstruct.split(store, {os.fspath(path)!r}, name=...)"
    return f"{name} {shape}"


def _guarded(path: Path, pieces: Callable[[], Iterator[Piece]]) -> Callable[[], Iterator[Piece]]:
    def told() -> Iterator[Piece]:
        try:
            yield from pieces()
        except _FAULTS as error:
            if isinstance(error, InputError):
                raise
            raise _unreadable(path, ".npz", error) from error

    return told


def _unreadable(path: Path, kind: str, error: BaseException) -> InputError:
    if isinstance(error, InputError):
        return error
    if isinstance(error, FileNotFoundError):
        return InputError(f"there is no file {path}")
    return InputError(
        f"{path} can't be read as an {kind} file of numbers: {error}; it is damaged, cut short, or holds "
        "objects that only a pickle has, which are never loaded"
    )


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(member)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in read:
        raise ValueError(f"an array has the version {version} of the format")
    shape, fortran, dtype = read[version](member)
    if dtype.hasobject:
        raise ValueError("an array holds objects")
    return shape, fortran, dtype


def _shape(archive: zipfile.ZipFile, name: str) -> tuple[int, ...]:
    with archive.open(f"{name}.npy") as member:
        try:
            return _header(member)[0]
        except ValueError:
            return ()  # told where it is read


def _whole(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    with archive.open(f"{name}.npy") as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def _blocks(archive: zipfile.ZipFile, name: str) -> Iterator[NDArray[Any]]:
    """Yield the rows of an array, some at a time; of one with three axes, what each structure has."""
    with archive.open(f"{name}.npy") as member:
        shape, fortran, dtype = _header(member)
        if not shape:
            raise InputError(f"{name} is one number, not rows of them")
        row_bytes = dtype.itemsize * int(np.prod(shape[1:], dtype=int))
        step = 1 if _is_stacked(shape) else max(1, _BLOCK_BYTES // max(1, row_bytes))
        if not fortran:
            for start in range(0, shape[0], step):
                n = min(step, shape[0] - start)
                content = member.read(n * row_bytes)
                if len(content) < n * row_bytes:
                    raise EOFError(f"{name} ends before its rows do")
                block = np.frombuffer(content, dtype).reshape(n, *shape[1:])
                yield block[0] if _is_stacked(shape) else block
            return
    whole = _whole(archive, name)  # column after column: no row is whole before the end
    for start in range(0, shape[0], step):
        yield whole[start] if _is_stacked(shape) else whole[start : start + step]
