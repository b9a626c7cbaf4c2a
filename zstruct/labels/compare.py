"""Compare two truths about the structures of a store: errors in all, by element, group and part, and where.

Ranges of structures are looked at in parallel, in bounded memory; what is found of each merges.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zstruct import parallel
from zstruct.arguments import check, count, names, shown
from zstruct.elements import SYMBOLS
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.keywords import keywords
from zstruct.labels.comparison import Comparison
from zstruct.labels.errors import Errors, Worst
from zstruct.parallel import WORKERS
from zstruct.query import Selection
from zstruct.ragged import segment_reduce
from zstruct.schema import ATOM, Field
from zstruct.stats.histogram import check_fractions
from zstruct.stats.scan import Part, Stretch, scan
from zstruct.store.datasets import Dataset
from zstruct.store.labelled import LabelledStore, labelled
from zstruct.store.splits import open_split
from zstruct.store.store import Store

if TYPE_CHECKING:
    from zstruct.parallel import Client

__all__ = ["QUANTILES", "compare"]

QUANTILES = (0.5, 0.9, 0.99)
ELEMENT, SPLIT = "element", "split"
_FIRST = ("energy", "forces", "stress")
_A, _B = "compared_a", "compared_b"


@keywords(WORKERS)
def compare(
    store: str | os.PathLike[str] | Store | Dataset,
    a: str,
    b: str | None = None,
    *,
    fields: Sequence[str] | None = None,
    split: str | tuple[str, str] | None = None,
    select: str | Selection | None = None,
    by: Sequence[str] | None = None,
    quantiles: Sequence[float] = QUANTILES,
    worst: int = 10,
    workers: int | Client | None = None,
    progress: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> Comparison:
    """Return how far labels are from others, or from the store's own.

    Errors are labels `a` less labels `b`: of energies per atom, of components of forces and stresses, and of
    all other fields of floats that both have. What one of the two lacks does not count, and is counted.

    Parameters
    ----------
    store
        A store or its path; or a dataset, of whose structures labels are compared.
    a
        Name of the labels that are judged.
    b
        Name of those that they are judged by; None: the store's own.
    fields
        The fields to compare; by default all floats that both have.
    split
        The part of a store to look at: a label of the split "default", or the name of a split and a label.
    select
        An expression that holds for the structures to look at, as on the page on selecting; or a `Selection`.
    by
        What errors are also told by: ``"element"`` (of atoms, and of structures with that element),
        ``"split"`` (parts of the split "default"), and any field of texts, such as ``"config_type"``. By
        default element, config_type and split, as far as there are any.
    quantiles
        Which quantiles of absolute errors are told, as fractions.
    worst
        How many structures with the largest errors are named.
    workers
        Number of threads, by default one per processor. Or a `distributed.Client` to run on, by default
        the active one.
    progress
        Whether to show a progress bar.
    storage_options
        Of a store that is given as a URL, for fsspec: keys, endpoints and the like.

    Returns
    -------
    Comparison
        Printing it gives a table; `Comparison.plot` draws it.

    Raises
    ------
    InputError
        If there are no such labels, they have no field in common, or an argument can't be used.
    StaleGroupError
        If labels or a split are those of other content than the store has now.

    Examples
    --------
    >>> import tempfile, ase.build, zstruct
    >>> path = tempfile.mkdtemp() + "/molecules.zarr"
    >>> report = zstruct.build([ase.build.molecule(m) for m in ("H2O", "CO2")], path, progress=False)
    >>> report = zstruct.labels.add(path, "model", energy=[-14.0, -23.3])
    >>> report = zstruct.labels.add(path, "teacher", energy=[-14.3, -23.0])
    >>> found = zstruct.compare(path, "model", "teacher")
    >>> round(found.errors["energy_per_atom"].mae, 3), found.worst["energy_per_atom"].structures
    (0.1, (0, 1))
    """
    check(progress=progress)
    check_fractions(quantiles)
    if not isinstance(a, str) or not (b is None or isinstance(b, str)):
        raise ArgumentTypeError(
            f"labels are compared by their names, not {shown(b if isinstance(a, str) else a)}"
        )
    if a == b:
        raise InputError(f"the labels {a!r} are compared with themselves: give the name of others, or None")
    part = _both(Part.of(store, split, storage_options, select), a, b)
    pairs = _pairs(part.store, fields, b)
    groups = _groups(part.store, None if by is None else names("by", by))
    look = partial(
        _look,
        pairs=pairs,
        groups=groups,
        fractions=tuple(map(float, quantiles)),
        n_worst=count("worst", worst, 0),
    )
    read = [name for pair in pairs for name in (pair.a, pair.b)]
    found = _Found(worst={pair.quantity: Worst() for pair in pairs})
    workers = parallel.chosen_workers(workers)
    for one in scan(look, part, ["numbers", *read], workers=workers, progress=progress and "comparing"):
        found = found.merge(one, worst)
    return Comparison(
        part.store.path,
        a,
        b,
        found.n_structures,
        {pair.quantity: found.errors.get((None, "", pair.quantity), Errors()) for pair in pairs},
        {pair.quantity: pair.unit for pair in pairs},
        {what: _told(found, what) for what in groups},
        found.worst,
        {pair.quantity: found.n_compared.get(pair.quantity, 0) for pair in pairs},
    ).of(
        part,
        {pair.quantity: (pair.a, pair.b) for pair in pairs},
        [pair.quantity for pair in pairs if pair.field.extensive],
    )


@dataclass(frozen=True)
class _Pair:
    """A field that both have, under the names that it has in the store at hand."""

    field: Field
    a: str
    b: str

    @property
    def quantity(self) -> str:
        """What errors are of."""
        return f"{self.field.name}_per_atom" if self.field.extensive else self.field.name

    @property
    def unit(self) -> str:
        """Its unit."""
        return self.field.unit


def _both(part: Part, a: str, b: str | None) -> Part:
    """Return a part of the store that has both labels under names of their own."""
    given = part.store
    bare = given.unlabelled if isinstance(given, LabelledStore) else given
    both = labelled(bare, {_A: a} if b is None else {_A: a, _B: b})
    return Part(both, part.rows, part.split, part.selection)


def _pairs(store: Store, fields: Any, b: str | None) -> list[_Pair]:
    before = "" if b is None else f"{_B}_"
    found = []
    for name, row in store.fields.items():
        own = name.removeprefix(f"{_A}_")
        other = store.fields.get(f"{before}{own}")
        if own == name or other is None or not row.kind == other.kind == "float":
            continue
        if row.dims[1:] != other.dims[1:] or row.level != other.level:
            continue
        found.append(_Pair(replace(row, name=own), name, other.name))
    first = {name: k for k, name in enumerate(_FIRST)}
    found.sort(key=lambda pair: (first.get(pair.field.name, len(first)), pair.field.name))
    if fields is not None:
        wanted = names("fields", fields)
        there = {pair.field.name: pair for pair in found}
        lost = [name for name in wanted if name not in there]
        if lost:
            raise InputError(
                f"the labels have no {', '.join(lost)} in common; they have {', '.join(there) or 'nothing'}"
            )
        found = [there[name] for name in dict.fromkeys(wanted)]
    if not found:
        raise InputError("the labels have no field of floats in common: there is nothing to compare")
    return found


@dataclass(frozen=True, eq=False)
class _Group:
    """What tells structures apart: codes of all structures of the store, and what they stand for."""

    codes: NDArray[Any]
    texts: tuple[str, ...]


def _groups(store: Store, by: Sequence[str] | None) -> dict[str, _Group | None]:
    """Return what errors are told by; elements need nothing."""
    texts = [name for name, row in store.fields.items() if row.kind == "category"]
    if by is None:
        there = "default" in store.again().group_names("splits")
        by = [ELEMENT, *(["config_type"] if "config_type" in texts else []), *([SPLIT] if there else [])]
    found: dict[str, _Group | None] = {}
    for what in by:
        if what == ELEMENT:
            found[what] = None
        elif what == SPLIT:
            parts = open_split(store, "default")
            found[what] = _Group(parts.codes, tuple(parts.labels))
        elif what in texts:
            found[what] = _Group(store.read(what), tuple(store.categories(what)))
        else:
            raise InputError(
                f"errors can't be told by {shown(what)}, but by {', '.join([ELEMENT, SPLIT, *texts])}"
            )
    return found


#: What errors are of: what they are told by, of which of its values, and the quantity.
_Key = tuple[str | None, str, str]


@dataclass(frozen=True, eq=False)
class _Found:
    """What is found of some structures."""

    n_structures: int = 0
    errors: Mapping[_Key, Errors] = field(default_factory=dict)
    worst: Mapping[str, Worst] = field(default_factory=dict)
    n_compared: Mapping[str, int] = field(default_factory=dict)

    def merge(self, other: _Found, n_worst: int) -> _Found:
        """Return what is found of both."""
        errors = dict(self.errors)
        for key, one in other.errors.items():
            errors[key] = errors[key].merge(one) if key in errors else one
        worst = {name: one.merge(other.worst[name], n_worst) for name, one in self.worst.items()}
        compared = {name: self.n_compared.get(name, 0) + other.n_compared.get(name, 0) for name in self.worst}
        return _Found(self.n_structures + other.n_structures, errors, worst, compared)


def _look(
    stretch: Stretch,
    pairs: Sequence[_Pair],
    groups: Mapping[str, _Group | None],
    fractions: tuple[float, ...],
    n_worst: int,
) -> _Found:
    """Return what is found of a range of structures."""
    numbers, offsets, n_atoms = stretch.read("numbers"), stretch.offsets, stretch.n_atoms
    structures = np.arange(stretch.start, stretch.stop)
    if stretch.kept is not None:
        structures = structures[stretch.kept]
    owners = np.repeat(np.arange(len(n_atoms)), n_atoms)
    errors: dict[_Key, Errors] = {}
    worst, compared = {}, {}
    for pair in pairs:
        rows = stretch.read(pair.a).astype(np.float64) - stretch.read(pair.b)
        per_atom = pair.field.level == ATOM
        if pair.field.extensive:
            rows = rows / n_atoms
        rows = rows.reshape(len(rows), -1)
        sizes = np.linalg.norm(rows, axis=1) if pair.field.dims[1:] == ("xyz",) else np.abs(rows).max(axis=1)
        each = segment_reduce(sizes, offsets, "max") if per_atom else sizes
        worst[pair.quantity] = Worst.of(structures, each, n_worst)
        compared[pair.quantity] = int((~np.isnan(each)).sum())
        errors[None, "", pair.quantity] = Errors.of(rows, fractions)
        for what, group in groups.items():
            if group is not None:
                codes = group.codes[structures]
                codes = codes[owners] if per_atom else codes
                for code in np.unique(codes[codes >= 0]).tolist():
                    errors[what, group.texts[code], pair.quantity] = Errors.of(rows[codes == code], fractions)
                continue
            for z in np.unique(numbers).tolist():
                here = numbers == z
                which = here if per_atom else np.bincount(owners[here], minlength=len(n_atoms)) > 0
                errors[what, SYMBOLS[z], pair.quantity] = Errors.of(rows[which], fractions)
    return _Found(len(n_atoms), errors, worst, compared)


def _told(found: _Found, what: str) -> dict[str, dict[str, Errors]]:
    """Return errors by what they are told by: by value, and by quantity; without those of nothing."""
    told: dict[str, dict[str, Errors]] = {}
    for (kind, value, quantity), one in found.errors.items():
        if kind == what and one.count:
            told.setdefault(value, {})[quantity] = one
    order = SYMBOLS.index if what == ELEMENT else str
    return {value: told[value] for value in sorted(told, key=order)}
