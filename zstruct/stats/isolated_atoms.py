"""Reference energies read from structures of one atom without neighbours.

Two levels of theory give an atom energies that differ by electronvolts, and nothing in an energy says which
level it is: what makes them differ is told, and the user says how to tell them apart.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import check
from zstruct.elements import SYMBOLS
from zstruct.errors import InputError, StoreExistsError
from zstruct.geometry.distances import shortest_distances
from zstruct.keywords import keywords
from zstruct.parallel import WORKERS
from zstruct.schema import STRUCTURE, safe_names
from zstruct.stats.references import KIND, NOUN, References, keep_references
from zstruct.stats.scan import Part, Stretch, scan
from zstruct.store.datasets import Dataset
from zstruct.store.groups import check_place
from zstruct.store.store import Store
from zstruct.text import counted

__all__ = ["isolated_references"]

_LISTED = 5  # inputs that are listed for each element

# Atomic number, code of the label, code of the input.
_Key = tuple[int, int, int]


@dataclass(frozen=True)
class _Range:
    """How many isolated atoms there are of a kind, and their lowest and highest energy."""

    n: int
    low: float
    high: float

    @classmethod
    def of(cls, ranges: Iterable[_Range]) -> _Range:
        """Return what holds of all of them together."""
        known = list(ranges)
        return cls(sum(r.n for r in known), min(r.low for r in known), max(r.high for r in known))


@overload
def isolated_references(
    store: str | os.PathLike[str] | Store | Dataset,
    *,
    by: None = None,
    vacuum: float = ...,
    tolerance: float = ...,
    labels: str | None = ...,
    name: str | None = ...,
    overwrite: bool = ...,
    storage_options: Mapping[str, Any] | None = ...,
) -> References: ...


@overload
def isolated_references(
    store: str | os.PathLike[str] | Store | Dataset,
    *,
    by: str,
    vacuum: float = ...,
    tolerance: float = ...,
    labels: str | None = ...,
    name: str | None = ...,
    overwrite: bool = ...,
    storage_options: Mapping[str, Any] | None = ...,
) -> dict[str, References]: ...


@keywords(WORKERS)
def isolated_references(
    store: str | os.PathLike[str] | Store | Dataset,
    *,
    by: str | None = None,
    vacuum: float = 5.0,
    tolerance: float = 1e-3,
    labels: str | None = None,
    name: str | None = None,
    overwrite: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> References | dict[str, References]:
    """Return the energies of structures of one atom without neighbours, as reference energies.

    Parameters
    ----------
    store
        A store or its path; or a dataset.
    by
        What tells levels of theory apart: ``"head"``, ``"source"``, ``"config_type"`` or any other text
        that structures have.
    vacuum
        Periodic images of the atom are farther away than this, in angstrom.
    tolerance
        How far the energies of one element may lie apart, in eV, one meV by default. Of several, the
        lowest is taken.
    labels
        Name of labels in the store to take in place of its own; see `zstruct.label`.
    name, overwrite, storage_options
        Where to keep them, as for `fit_references`. With `by`, each set is kept under this name, an
        underscore and its label.

    Returns
    -------
    Mapping
        As `References`: of the elements that there are such structures of. With `by`, a dict of these by
        label.

    Raises
    ------
    InputError
        If there is no such structure with an energy, or energies of one element lie farther apart than
        `tolerance`: names them by input.
    StoreExistsError, BuildLockedError, ChangedInputError
        As for `fit_references`.

    Examples
    --------
    >>> import tempfile, ase, zstruct
    >>> from ase.calculators.singlepoint import SinglePointCalculator
    >>> path, atom = tempfile.mkdtemp() + "/atom.zarr", ase.Atoms("H")
    >>> atom.calc = SinglePointCalculator(atom, energy=-13.6)
    >>> report = zstruct.build([atom], path, progress=False)
    >>> zstruct.isolated_references(path)
    References(H: -13.6; isolated atoms from 1 structure)
    """
    check(vacuum=vacuum, tolerance=tolerance, overwrite=overwrite)
    check_place(store, name, NOUN)
    part = Part.of(store, None, storage_options, labels=labels)
    texts = _labels(part.store, by)
    found: dict[_Key, _Range] = {}
    if "energy" in part.store.fields:
        for ranges in scan(partial(_alone, vacuum=float(vacuum), by=by), part, ["numbers"]):
            for key, one in ranges.items():
                found[key] = _Range.of([one, *([found[key]] if key in found else [])])
    if not found:
        raise InputError(
            f"{part.store.path} has no structure of one atom with an energy whose images are more than "
            f"{vacuum:g} angstrom away"
        )
    sets = {
        code: {key: one for key, one in found.items() if key[1] == code}
        for code in sorted({k[1] for k in found})
    }
    without = sets.pop(-1, {})
    if without:
        n = sum(one.n for one in without.values())
        warnings.warn(
            f"{counted(n, 'isolated atom')} of {part.store.path} have no {by} and are left out", stacklevel=2
        )
    if not sets:
        raise InputError(f"none of the isolated atoms of {part.store.path} has a {by}")
    references = {
        texts[code]: _references(part.store, ranges, float(tolerance), by, texts[code])
        for code, ranges in sets.items()
    }
    if name is not None:
        _keep(part, references, name, by, overwrite)
    return references if by is not None else references[""]


def _labels(store: Store, by: str | None) -> list[str]:
    """Return the texts that structures are told apart by; one that is empty if they are not."""
    if by is None:
        return [""]
    spec = store.fields.get(by) if isinstance(by, str) else None
    if spec is None or spec.kind != "category" or spec.level != STRUCTURE or spec.shape:
        texts = [f.name for f in store.fields.values() if f.kind == "category" and f.level == STRUCTURE]
        raise InputError(
            f"by={by!r}: isolated atoms are told apart by a text that structures have; {store.path} has "
            f"{', '.join(texts)}"
        )
    return store.categories(by)


def _references(
    store: Store, ranges: Mapping[_Key, _Range], tolerance: float, by: str | None, label: str
) -> References:
    """Return the lowest energy of each element, unless they lie too far apart."""
    elements = sorted({z for z, _, _ in ranges})
    whole = {z: _Range.of(one for key, one in ranges.items() if key[0] == z) for z in elements}
    wide = [z for z in elements if whole[z].high - whole[z].low > tolerance]
    if wide:
        sources = store.categories("source") if "source" in store.fields else []
        said = "; ".join(_spread(z, whole[z], ranges, sources) for z in wide)
        of = "" if by is None else f" of the {by} {label!r}"
        others = [b for b in ("head", "source", "config_type") if b != by and b in store.fields]
        ask = f", tell them apart with by={' | '.join(map(repr, others))}" if others else ""
        raise InputError(
            f"energies of isolated atoms{of} in {store.path} lie more than {tolerance:g} eV apart: {said}. "
            f"If these are levels of theory{ask}; if the lowest is meant (of several spins, say), allow for "
            "the difference with tolerance=..."
        )
    energies = {SYMBOLS[z]: whole[z].low for z in elements}
    return References(energies, "isolated atoms", n_structures=sum(r.n for r in whole.values()))


def _spread(z: int, whole: _Range, ranges: Mapping[_Key, _Range], sources: list[str]) -> str:
    """Return the energies of one element, by input."""
    by_source: dict[int, _Range] = {}
    for (number, _, source), one in ranges.items():
        if number == z:
            by_source[source] = _Range.of([one, *([by_source[source]] if source in by_source else [])])
    listed = sorted(by_source.items(), key=lambda item: item[1].low)
    shown = [
        f"{_between(one)} in {sources[source] if 0 <= source < len(sources) else 'an input without a name'}"
        for source, one in listed[:_LISTED]
    ]
    more = f", ... ({len(listed)} inputs)" if len(listed) > _LISTED else ""
    return f"{SYMBOLS[z]} by {whole.high - whole.low:.6g} eV ({', '.join(shown)}{more})"


def _between(one: _Range) -> str:
    return f"{one.low:.6f}" + (f" to {one.high:.6f}" if one.high > one.low else "")


def _alone(stretch: Stretch, vacuum: float, by: str | None) -> dict[_Key, _Range]:
    """Return the energies of isolated atoms."""
    single = np.flatnonzero(stretch.n_atoms == 1)
    if not len(single):
        return {}
    cells, pbc = (stretch.read(k)[single] if stretch.has(k) else None for k in ("cell", "pbc"))
    away = shortest_distances(np.arange(len(single) + 1), np.zeros((len(single), 3)), cells, pbc)
    energies = stretch.read("energy")[single]
    keys = np.stack(
        [
            stretch.read("numbers")[stretch.offsets[single]].astype(np.int64),
            np.zeros(len(single), np.int64) if by is None else _codes(stretch, by, single),
            _codes(stretch, "source", single),
        ],
        axis=1,
    )
    good = (away > vacuum) & np.isfinite(energies)
    kinds, which = np.unique(keys[good], axis=0, return_inverse=True)
    found = {}
    for k, kind in enumerate(kinds.tolist()):
        mine = energies[good][which.reshape(-1) == k]
        found[kind[0], kind[1], kind[2]] = _Range(len(mine), float(mine.min()), float(mine.max()))
    return found


def _codes(stretch: Stretch, name: str, single: NDArray[np.intp]) -> NDArray[np.int64]:
    if not stretch.has(name):
        return np.full(len(single), -1, np.int64)
    return stretch.read(name)[single].astype(np.int64)


def _keep(
    part: Part, references: Mapping[str, References], name: str, by: str | None, overwrite: bool
) -> None:
    """Keep one set under the name, or several under it and their labels."""
    if by is None:
        keep_references(part, references[""], name, overwrite)
        return
    names = safe_names([f"{name}_{label}" for label in references])
    taken = sorted(set(names.values()) & set(Store.of(part.store).group_names(KIND)))
    if taken and not overwrite:
        raise StoreExistsError(
            f"{part.store.path} has another {NOUN} {taken[0]!r} already; pass overwrite=True (--overwrite) "
            "to replace it, or another name"
        )
    for label, found in references.items():
        keep_references(part, found, names[f"{name}_{label}"], overwrite, by=(by, label))
