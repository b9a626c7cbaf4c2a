"""What a build is given, item by item: paths, sources, and Atoms in runs; a sentence for the rest.

A list may mix all of these and keeps its order. Nothing is opened here.
"""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from zstruct.arguments import shown
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.locations import is_url, path_of
from zstruct.sources.source import Source

__all__ = ["holds_arrays", "items"]

_GIVE = "give paths, ase.Atoms objects or sources, or a list of these"
# What zstruct and zarr leave in a directory of theirs.
_STORE = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")
_WORK = (".building", ".featurizing")


def items(given: Any) -> Iterator[str | Source]:
    """Yield paths and sources one by one; Atoms that follow one another are one source.

    Parameters
    ----------
    given
        Whatever the user gave. An iterator that begins with Atoms is all Atoms, and read as it comes.

    Raises
    ------
    InputError
        If something in it is none of these.
    """
    if _is_whole(given):
        yield _single(given)
        return
    if _holds_structure(type(given)):
        yield _of_atoms([given], 0)
        return
    _refuse_container(given)
    if isinstance(given, (list, tuple)):
        yield from _mixed(given)
        return
    try:
        stream = iter(given)
    except TypeError:  # of arrays without dimensions
        raise ArgumentTypeError(f"inputs are files, Atoms or lists of them, not {shown(given)}") from None
    first = next(stream, None)
    if first is None:
        return
    if _holds_structure(type(first)):
        yield _of_atoms(chain([first], stream), 0)
        return
    yield from _mixed(list(map(_copied, chain([first], stream))))


def holds_arrays(path: str) -> bool:
    """Tell whether a directory or zip file is a Zarr store, or the working directory of a build."""
    if path.lower().endswith(".zip"):
        try:
            with zipfile.ZipFile(path) as archive:
                return any(name in archive.NameToInfo for name in _STORE)
        except (OSError, zipfile.BadZipFile):
            return False
    if path.rstrip(os.sep).endswith(_WORK) and os.path.isfile(os.path.join(path, "lock")):
        return True
    return any(os.path.isfile(os.path.join(path, name)) for name in _STORE)


def _mixed(given: list[Any] | tuple[Any, ...]) -> Iterator[str | Source]:
    """Yield the items of a list. What is no input is a bad frame where there are Atoms to go with."""
    atoms = {kind: _holds_structure(kind) for kind in set(map(type, given))}
    if given and all(atoms.values()):
        yield _of_atoms(given, 0)
        return
    whole = [not atoms[type(item)] and _is_whole(item) for item in given]
    odd = next((x for x, here in zip(given, whole, strict=True) if not here and not atoms[type(x)]), None)
    if not any(atoms.values()) and not all(whole):
        raise _unfit(odd)
    first = 0
    run: list[Any] = []
    for item, here in zip(given, whole, strict=True):
        if not here:
            run.append(item)
            continue
        if run:
            yield _of_atoms(run, first)
            first, run = first + len(run), []
        yield _single(item)
    if run:
        yield _of_atoms(run, first)


def _is_whole(item: Any) -> bool:
    return isinstance(item, (str, bytes, os.PathLike, Source))


def _holds_structure(kind: type) -> bool:
    """Tell whether objects of a type are Atoms, or the copies of them that are made here."""
    for module, name in (("ase.atoms", "Atoms"), ("zstruct.sources.ase.atoms", "Snapshot")):
        loaded = sys.modules.get(module)  # whoever has one has imported it
        if loaded is not None and issubclass(kind, getattr(loaded, name)):
            return True
    return False


def _single(item: Any) -> str | Source:
    if isinstance(item, Source):
        return item
    path = path_of(item, "an input")
    if is_url(path) and not os.path.exists(path):
        raise InputError("inputs are read from local files only; download it first", path)
    return path


def _of_atoms(structures: Any, first: int) -> Source:
    from zstruct.sources.ase.source import AtomsSource

    return AtomsSource(structures, first_frame=first)


def _copied(item: Any) -> Any:
    """Return a copy of Atoms: iterators may hand out one object again and again."""
    if not _holds_structure(type(item)):
        return item
    from zstruct.sources.ase.atoms import Snapshot

    return Snapshot(item)


def _refuse_container(given: Any) -> None:
    """Raise for what iterates, but not over inputs."""
    kind, name = type(given), _name(given)
    if hasattr(given, "store") or kind.__name__ == "Store" or name.startswith("xarray."):
        raise InputError(
            f"can't build from {name}: stores are made from files and Atoms; give the structures as Atoms, "
            "from zstruct.open(...).zs.to_ase()"
        )
    if isinstance(given, Mapping) or kind.__name__ in ("DataFrame", "LazyFrame", "Table"):
        raise InputError(f"can't build from {name}, which maps names to values; {_GIVE}")
    if isinstance(given, (set, frozenset)):
        raise InputError(f"{name} has no order, which a store keeps; give a list, such as sorted(...)")
    if not isinstance(given, Iterable):
        raise InputError(f"can't build from {_name(given)}; {_GIVE}")


def _unfit(item: Any) -> InputError:
    kind, name, advice = type(item), _name(item), _GIVE
    if isinstance(item, (list, tuple)):
        advice = "put what is in it into the list itself"
    elif kind.__module__.startswith("pymatgen"):
        advice = "make it Atoms with pymatgen.io.ase.AseAtomsAdaptor.get_atoms"
    return InputError(f"{name} is neither a path, an ase.Atoms object nor a source; {advice}")


def _name(item: Any) -> str:
    kind = type(item)
    top = kind.__module__.partition(".")[0]
    return kind.__qualname__ if top == "builtins" else f"{top}.{kind.__qualname__}"
