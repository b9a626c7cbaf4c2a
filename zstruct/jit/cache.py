"""Where compiled kernels are kept: files on disk, by the sources they were made of.

Numba's own cache looks at the file that defines a function, not at those it imports; two processes
that compile at once may exchange their code; and where it can't write it does not even read. So
zstruct keeps its own: a folder for each state of the sources of a kernel and version of Python and Numba, a
file for each function and types of arguments, written whole or not at all, with a checksum in front. Nothing
here loads Numba.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from zstruct.disk import WholeFile

__all__ = ["folders", "is_kept", "load", "save"]

_PACKAGE = Path(__file__).parents[1]
_IMPORTS = re.compile(
    rb"^(?:from|import) zstruct(?:\.([\w.]+))?(?: import (\([^)]*\)|[^#\n]+))?", re.MULTILINE
)
_FORGOTTEN = 90 * 86400.0  # seconds after which the code of other sources is removed


def folders(module: str) -> list[Path]:
    """Return where the code of the kernels of a module may be: read from any, written to the first.

    ``NUMBA_CACHE_DIR`` if that is set; else the package itself, then the user's cache. Where the sources
    can't be read, as in a zip file, there is none.
    """
    digest = _digest(module)
    return [place / f"{module}-{digest}" for place in _places()] if digest else []


def is_kept(module: str) -> bool:
    """Return whether any code of the kernels of a module, as they are now, is on disk."""
    return any(folder.is_dir() for folder in folders(module))


def load(module: str, name: str) -> bytes | None:
    """Return what was saved under a name, if it is there and whole."""
    for folder in folders(module):
        try:
            kept = (folder / name).read_bytes()
        except OSError:
            continue
        if hashlib.sha256(kept[32:]).digest() == kept[:32]:
            return kept[32:]
    return None


def save(module: str, name: str, code: bytes) -> Path | None:
    """Save code under a name in the first folder that can be written; return that, if there is one."""
    for folder in folders(module):
        try:
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
                _forget(folder, module)
            with WholeFile(folder / name, durable=False, shared=True) as whole:
                whole.file.write(hashlib.sha256(code).digest() + code)
        except OSError:
            continue
        return folder
    return None


def _forget(folder: Path, module: str) -> None:
    """Remove what other versions of the sources left beside a folder long ago."""
    for other in folder.parent.glob(f"{module}-*"):
        if other != folder and time.time() - other.stat().st_mtime > _FORGOTTEN:
            shutil.rmtree(other, ignore_errors=True)


def _places() -> list[Path]:
    named = os.environ.get("NUMBA_CACHE_DIR")
    if named:
        return [Path(named) / "zstruct"]
    places = [_PACKAGE / "__pycache__" / "kernels"]
    try:
        home = Path.home()
    except RuntimeError:  # a user without one
        return places
    if sys.platform == "win32":
        user = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        user = home / "Library" / "Caches"
    else:
        user = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return [*places, user / "zstruct" / "kernels"]


@functools.cache
def _versions() -> bytes:
    """Return what code is compiled by: that of others is of no use."""
    try:
        numba = version("numba")
    except PackageNotFoundError:  # it lies in a folder of Python's path, installed by nobody
        numba = ""
    return f"{sys.implementation.cache_tag} {numba}".encode()


@functools.cache
def _digest(module: str) -> str:
    """Return a digest of what compiles a module, and of its source with all of zstruct that it imports.

    Where there are no sources to look at, it is empty.
    """
    total, seen, todo = hashlib.sha256(_versions()), set[str](), [module.partition(".")[2]]
    while todo:
        name = todo.pop()
        if not name or name in seen:
            continue
        seen.add(name)
        stem = _PACKAGE.joinpath(*name.split("."))
        file = stem.with_suffix(".py")
        file = file if file.is_file() else stem / "__init__.py"
        if not file.is_file():  # a name in a module
            continue
        text = file.read_bytes()
        total.update(name.encode() + b"\0" + hashlib.sha256(text).digest())
        for found, names in _IMPORTS.findall(text):
            parts = [part.decode() for part in re.findall(rb"\w+", names)]
            todo += [found.decode(), *(f"{found.decode()}.{part}".lstrip(".") for part in parts)]
    return total.hexdigest()[:16] if _PACKAGE.is_dir() else ""
