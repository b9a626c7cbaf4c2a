"""Outliers: the structures of a store that are farthest from what the others are, each kind by itself."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import count, names, shown
from zstruct.coverage.spectrum import blocks_of, spectrum_of
from zstruct.coverage.vectors import vectors_of
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.keywords import keywords
from zstruct.query import Selection, StoreTable
from zstruct.query.binding import Asked, to_read
from zstruct.query.operands import NumberOperand
from zstruct.query.reading import read_column
from zstruct.query.values import ATOMS, ReferencedEnergy
from zstruct.stats.reference_fit import fit_references
from zstruct.stats.references import KIND, References, chosen_references, references_of_build
from zstruct.stats.scan import Part
from zstruct.store.datasets import Dataset
from zstruct.store.store import Store
from zstruct.text import counted, csv_text

__all__ = ["KINDS", "Outliers", "outliers"]

#: The kinds of outliers: what is looked at, and its unit.
KINDS: Mapping[str, tuple[str, str]] = {
    "force": ("largest force on an atom", "eV/angstrom"),
    "energy": ("energy less references", "eV/atom"),
    "collision": ("shortest distance of two atoms", "angstrom"),
    "features": ("distance from the mean of all features", "standard deviations"),
}
_NEEDS = {"force": "forces", "energy": "energy", "collision": "positions"}
_MAD = 1.4826  # what makes a standard deviation of the median absolute deviation of normal numbers
_FAR = 20.0  # deviations beyond which an energy has no say in what references are
_ROUNDS = 10  # of fits without such
_SHOWN = 5


@dataclass(frozen=True, eq=False)
class Outliers:
    """Result of `zstruct.outliers`: the structures that are farthest out; printing it gives a summary.

    All arrays have an entry for each structure and kind, those of one kind in a row, the farthest first.

    Parameters
    ----------
    store
        The store.
    kind
        ``"force"``, ``"energy"``, ``"collision"`` or ``"features"``, shape (n,).
    structure
        The structure of the store, shape (n,), int64.
    value
        Its largest force in eV/angstrom; its energy less references, in eV per atom; its shortest distance in
        angstrom; its distance from the mean of all features, in standard deviations along all axes of these
        (Mahalanobis, 1936). Shape (n,), float64.
    score
        How far it is from the median of all structures on the side that is looked at, for energies on either
        side, in deviations: 1.4826 times the median distance from the median. Shape (n,), float64; infinite
        where more than half of all structures have one value, and this one another.
    medians
        The median of each kind.
    missing
        Structures without a value, of each kind.
    n_structures
        Structures that were looked at.
    references
        What energies are less of; None without that kind.
    """

    store: Store
    kind: NDArray[np.object_]
    structure: NDArray[np.int64]
    value: NDArray[np.float64]
    score: NDArray[np.float64]
    medians: Mapping[str, float]
    missing: Mapping[str, int]
    n_structures: int
    references: References | None = None

    def __len__(self) -> int:
        return len(self.structure)

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """Kind, structure, value and score by name; `pandas.DataFrame` makes a table of it."""
        return {name: getattr(self, name) for name in ("kind", "structure", "value", "score")}

    @keywords()
    def structures(self, kind: str | None = None, *, score: float = 0.0) -> NDArray[np.int64]:
        """Return structures that are far out, ascending, each once.

        Parameters
        ----------
        kind
            Of this kind only.
        score
            With this score at least, of any kind.

        Raises
        ------
        InputError
            If that kind was not looked at.
        """
        if kind is not None and kind not in self.medians:
            raise InputError(f"{shown(kind)} is none of the kinds that there are: {', '.join(self.medians)}")
        chosen = self.score >= score
        if kind is not None:
            chosen &= self.kind == kind
        return np.unique(self.structure[chosen])

    @keywords()
    def csv(self) -> str:
        """Return a row for each structure and kind as CSV with a header."""
        return csv_text({name: column.tolist() for name, column in self.columns.items()})

    def __str__(self) -> str:
        lines = [f"{self.store.path}: {counted(self.n_structures, 'structure')}"]
        for kind, median in self.medians.items():
            what, unit = KINDS[kind]
            missing = f", missing in {self.missing[kind]:,}" if self.missing[kind] else ""
            lines.append(f"{kind}: {what}, in {unit}; median {median:.4g}{missing}")
            mine = np.flatnonzero(self.kind == kind)
            lines += [
                f"  {self.structure[k]:>9}: {self.value[k]:.4g}, {self.score[k]:.3g} deviations away"
                for k in mine[:_SHOWN]
            ]
            if len(mine) > _SHOWN:
                lines.append(f"  ... and {len(mine) - _SHOWN:,} more")
        return "\n".join(lines)

    __repr__ = __str__  # that of a dataclass has pages of numbers


@keywords()
def outliers(
    store: str | os.PathLike[str] | Store | Dataset,
    select: str | Selection | None = None,
    *,
    split: str | tuple[str, str] | None = None,
    labels: str | None = None,
    kinds: Sequence[str] | None = None,
    features: str | None = None,
    references: str | Mapping[str, float] | None = None,
    limit: int = 100,
    storage_options: Mapping[str, Any] | None = None,
) -> Outliers:
    """Find structures far from what the others are: by forces, energies, distances of atoms, and features.

    It ranks, and judges nothing: a score says how unusual a structure is, not that it is wrong.

    Parameters
    ----------
    store
        A store or its path; or a dataset, also one that is a part of a store.
    select
        An expression that holds for the structures to look at, or a `Selection` of them.
    split
        The part of a store: a label of the split "default", or the name of a split and a label. By default
        all of it.
    labels
        Name of labels in the store to take in place of its own; see `zstruct.label`.
    kinds
        What to look at: ``"force"``, the largest force on an atom; ``"energy"``, the energy per atom less
        references; ``"collision"``, the shortest distance of two atoms, which is read from the store's index
        if that has it and else takes longest; ``"features"``, the distance from the mean of all in the space
        of `features`. By default all for which there is something.
    features
        Name of stored features; a structure is the mean of those of its atoms, as for `zstruct.farthest`.
    references
        What energies are less of: energies in eV by chemical symbol, or the name that they are kept under.
        None: those kept as "default", or else those that the store was built with, or else some that are
        fitted to the structures, without those whose energies are far from all others.
    limit
        How many structures of each kind, at most.
    storage_options
        Of a store that is given as a URL, for fsspec: keys, endpoints and the like.

    Raises
    ------
    InputError
        If the store has not what a kind needs, or an argument can't be used.
    UnknownNameError
        If an expression names what is not there.
    StaleGroupError
        If features, references or a split were made for other content than the store has now.

    Examples
    --------
    >>> import tempfile, ase.build, zstruct
    >>> path = tempfile.mkdtemp() + "/water.zarr"
    >>> waters = [ase.build.molecule("H2O") for _ in range(5)]
    >>> for k, water in enumerate(waters):
    ...     water.set_distance(0, 1, 0.3 if k == 3 else 0.95 + 0.01 * k, fix=0)
    >>> report = zstruct.build(waters, path, progress=False)
    >>> found = zstruct.outliers(path, limit=1)
    >>> found.structure, found.value.round(6)
    (array([3]), array([0.3]))
    """
    part = Part.of(store, split, storage_options, select, labels)
    most = count("limit", limit, 1)
    chosen = _kinds(part.store, kinds, features)
    rows = part.structures
    if len(rows) == 0:
        raise InputError(f"there is no structure of {part.store.path} to look at")
    known = "energy" in chosen and bool(np.isfinite(_read(part, "energy_per_atom")).any())
    given = _references(part, references) if known else None
    readers: dict[str, Callable[[], NDArray[np.float64]]] = {
        "force": lambda: _read(part, "fmax"),
        "energy": lambda: np.full(len(rows), np.nan) if given is None else _energies(part, given),
        "collision": lambda: _read(part, "shortest_distance"),
        "features": lambda: _distances(part, features),
    }
    found, medians, missing = [], {}, {}
    for name in chosen:
        values = readers[name]()
        there = np.flatnonzero(~np.isnan(values))
        finite = values[np.isfinite(values)]
        median = float(np.median(finite)) if len(finite) else np.nan
        scores = _scores(values[there], name)
        order = np.argsort(-scores, kind="stable")[:most]
        mine = there[order]
        found.append((np.full(len(mine), name, object), rows[mine], values[mine], scores[order]))
        medians[name], missing[name] = median, len(values) - len(there)
    kind, structure, value, score = (np.concatenate(column) for column in zip(*found, strict=True))
    return Outliers(part.store, kind, structure, value, score, medians, missing, len(rows), given)


def _kinds(store: Store, asked: Sequence[str] | None, features: str | None) -> list[str]:
    """Return what to look at, in the order of the table."""
    if not (features is None or isinstance(features, str)):
        raise ArgumentTypeError(f"features is the name of stored features, or None, not {shown(features)}")
    there = {kind for kind, field in _NEEDS.items() if field in store.fields}
    there |= {"features"} if features is not None else set()
    if asked is None:
        return [kind for kind in KINDS if kind in there]
    wanted = names("kinds", asked)
    for kind in wanted:
        if kind not in KINDS:
            raise InputError(f"kinds of outliers are {', '.join(KINDS)}, not {shown(kind)}")
        if kind not in there:
            lack = "the name of some: features=..." if kind == "features" else f"{_NEEDS[kind]}: it has none"
            raise InputError(f"outliers by {kind} of {store.path} need {lack}")
    if not wanted:
        raise InputError("kinds names at least one kind of outliers")
    return [kind for kind in KINDS if kind in wanted]


def _scores(values: NDArray[np.float64], kind: str) -> NDArray[np.float64]:
    """Return how many deviations values are from their median, shape (n,), on the side that is looked at."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return np.zeros(len(values))
    median = float(np.median(finite))
    deviation = _MAD * float(np.median(np.abs(finite - median)))
    away = values - median
    away = np.abs(away) if kind == "energy" else -away if kind == "collision" else away
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(away == 0, 0.0, away / deviation)


def _read(part: Part, quantity: str) -> NDArray[np.float64]:
    table = StoreTable(part.store, part.rows)
    return _numbers(to_read(quantity, table), table)


def _numbers(asked: Asked, table: StoreTable) -> NDArray[np.float64]:
    column = read_column(asked, table)
    return np.where(column.missing, np.nan, column.values.astype(np.float64))


def _energies(part: Part, references: References) -> NDArray[np.float64]:
    asked = Asked(NumberOperand(ReferencedEnergy(references, ATOMS)))
    return _numbers(asked, StoreTable(part.store, part.rows))


def _references(part: Part, asked: str | Mapping[str, float] | None) -> References | None:
    """Return the references that are asked for, or those that there are, or fit some."""
    if isinstance(asked, bool | np.bool_):
        raise ArgumentTypeError(f"references are a name or energies by chemical symbol, not {asked}")
    if asked is not None:
        return chosen_references(part.store, asked)
    kept = "default" in part.store.again().group_names(KIND)
    if not part.store.contents and (kept or references_of_build(part.store) is not None):
        return chosen_references(part.store, True)
    fitted, usual = _fitted(part), np.zeros(0, bool)
    for _ in range(_ROUNDS):
        before, usual = usual, ~(_scores(_energies(part, fitted), "energy") > _FAR)
        again = _fitted(replace(part, rows=part.structures[usual]))
        if again.keys() != fitted.keys() or np.array_equal(before, usual):
            break  # an element that no usual structure has keeps the reference that it had
        fitted = again
    return fitted


def _fitted(part: Part) -> References:
    chosen: Any = part  # which is as good as a dataset
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # sums are right, and only these are used
        return fit_references(chosen)


def _distances(part: Part, features: str | None) -> NDArray[np.float64]:
    """Return distances from the mean of all vectors, in standard deviations."""
    assert features is not None
    with vectors_of(part.store, features, part.rows) as vectors:
        spectrum = spectrum_of(vectors, centred=True)
        found = np.empty(len(vectors))
        for start, block in blocks_of(vectors):
            found[start : start + len(block)] = spectrum.leverage(block)
    return np.sqrt(found * len(found))
