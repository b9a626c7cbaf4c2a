"""What users give to be read, item by item: paths, and sources of what is in memory.

Atoms that follow one another are one source. What is no input is refused with what to give instead.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from zstruct.arguments import shown
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.paths_and_urls import path_of
from zstruct.sources.source import Source
from zstruct.store.datasets import is_dataset
from zstruct.store.store import Store

__all__ = ["items_of"]

_GIVE = "give paths, ase.Atoms objects or sources, or a list of these"


def items_of(given: Any) -> Iterator[str | Source]:
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
            first, run = first + _number_of(run), []
        yield _single(item)
    if run:
        yield _of_atoms(run, first)


def _number_of(run: list[Any]) -> int:
    from zstruct.sources.ase.objects import count_structures

    return sum(map(count_structures, run))


def _is_whole(item: Any) -> bool:
    return isinstance(item, (str, bytes, os.PathLike, Source, Store)) or is_dataset(item)


def _holds_structure(kind: type) -> bool:
    """Tell whether objects of a type are Atoms, copies of them that are made here, or other packages' own."""
    for module, name in (("ase.atoms", "Atoms"), ("zstruct.sources.ase.atoms", "Snapshot")):
        loaded = sys.modules.get(module)  # whoever has one has imported it
        if loaded is not None and issubclass(kind, getattr(loaded, name)):
            return True
    if kind.__module__ in ("builtins", "pathlib", "numpy"):
        return False
    from zstruct.sources.ase.objects import is_structure

    return is_structure(kind)


def _single(item: Any) -> str | Source:
    if isinstance(item, Source):
        return item
    if isinstance(item, Store) or is_dataset(item):
        from zstruct.sources.store.source import StoreSource

        if isinstance(item, Store):
            return StoreSource(item)
        if getattr(getattr(item, "recipe", None), "transform", None) is not None:
            raise InputError(
                f"a reader of {item.store.path} has a transform, and structures are taken as they are "
                "stored: give a reader without"
            )
        return StoreSource(item.store, chosen=item.structures)
    return path_of(item, "an input")


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
    if name.startswith("xarray."):
        raise InputError(
            f"can't build from {name}: what was selected of a store is written by ds.zs.write(...); other "
            "structures are given as Atoms, from ds.zs.to_ase()"
        )
    if isinstance(given, Mapping) or kind.__name__ in ("DataFrame", "LazyFrame", "Table"):
        raise InputError(
            f"can't build from {name}, which maps names to values; {_GIVE}, or arrays by name as "
            "zstruct.sources.arrays(...)"
        )
    if isinstance(given, (set, frozenset)):
        raise InputError(f"{name} has no order, which a store keeps; give a list, such as sorted(...)")
    if not isinstance(given, Iterable):
        raise InputError(f"can't build from {_name(given)}; {_GIVE}")


def _unfit(item: Any) -> InputError:
    name, advice = _name(item), _GIVE
    if isinstance(item, (list, tuple)):
        advice = "put what is in it into the list itself"
    return InputError(f"{name} is neither a path, an ase.Atoms object nor a source; {advice}")


def _name(item: Any) -> str:
    kind = type(item)
    top = kind.__module__.partition(".")[0]
    return kind.__qualname__ if top == "builtins" else f"{top}.{kind.__qualname__}"
