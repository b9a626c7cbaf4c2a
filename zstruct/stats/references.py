"""Reference energies of the elements: what they are, and how they are kept in a store.

A total energy is mostly that of the atoms themselves; what binds them is a small part of it. Less the
references, energies of different compositions can be compared, and float32 can hold them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import real, shown
from zstruct.elements import SYMBOLS, atomic_number, by_number
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.keywords import keywords
from zstruct.ragged import chosen_rows, counts_to_offsets
from zstruct.stats.scan import Part, check_part
from zstruct.store.groups import keep, require_group, understanding
from zstruct.store.labelled import labels_of
from zstruct.store.labels import Labels
from zstruct.store.store import Store
from zstruct.text import counted

if TYPE_CHECKING:
    pass

__all__ = [
    "KIND",
    "NOUN",
    "References",
    "ReferencesOfEach",
    "chosen_references",
    "keep_references",
    "open_references",
]

KIND, NOUN = "references", "set of references"
_N_NUMBERS = 256  # as many as there are atomic numbers of a byte


@keywords()
@dataclass(frozen=True, eq=False)
class References(Mapping[str, float]):
    """Reference energies in eV, by chemical symbol.

    Parameters
    ----------
    energies
        By chemical symbol, in eV.
    method
        ``"given"``, ``"isolated atoms"`` or ``"fitted"``.
    rmse
        Of a fit: root of the mean square of what is left of the energies, in eV per atom.
    ridge
        Of a fit: what the squares of the references were weighted with.
    rank
        Of a fit: how many independent combinations of elements the structures have.
    n_structures
        Structures whose energies were used.
    n_missing
        Structures that have no energy.

    Examples
    --------
    >>> references = References.given({"H": -13.6, "O": -2042.0})
    >>> numbers, offsets = np.array([8, 1, 1, 1]), np.array([0, 3, 4])
    >>> references.subtract(numbers, offsets, np.array([-2076.2, -13.0])).round(6).tolist()
    [-7.0, 0.6]
    """

    energies: Mapping[str, float]
    method: str = "given"
    rmse: float | None = None
    ridge: float | None = None
    rank: int | None = None
    n_structures: int = 0
    n_missing: int = 0

    @classmethod
    def given(cls, energies: Mapping[str, float]) -> References:
        """Return references that were computed elsewhere, in eV by chemical symbol.

        Raises
        ------
        InputError
            If a symbol is not one, or an energy is no finite number.
        """
        if not isinstance(energies, Mapping):
            raise ArgumentTypeError(
                f"reference energies are a mapping of chemical symbols, not {shown(energies)}"
            )
        checked: dict[str, float] = {}
        for symbol, energy in energies.items():
            number = atomic_number(symbol) if isinstance(symbol, str) else None
            if number is None:
                raise InputError(f"{symbol!r} is no chemical symbol")
            value = real(f"the reference energy of {symbol}, in eV,", energy)
            if value is None or not np.isfinite(value):
                raise InputError(f"the reference energy of {symbol}, in eV, is a number, not {shown(energy)}")
            checked[SYMBOLS[number]] = value
        return cls(checked)

    def __getitem__(self, symbol: str) -> float:
        return self.energies[symbol]

    def __iter__(self) -> Iterator[str]:
        return iter(self.energies)

    def __len__(self) -> int:
        return len(self.energies)

    @property
    def singular(self) -> bool:
        """Whether compositions left some energies undetermined, so that only sums of them mean anything."""
        return self.rank is not None and self.rank < len(self.energies)

    def __repr__(self) -> str:
        energies = ", ".join(f"{symbol}: {energy:.6g}" for symbol, energy in self.energies.items())
        said = [energies, self.method]
        if self.n_structures:
            said[1] += f" from {counted(self.n_structures, 'structure')}"
        if self.rmse is not None:
            said.append(f"RMSE {self.rmse:.3g} eV/atom")
        if self.ridge is not None:
            said.append(f"ridge {self.ridge:g}")
        if self.singular:
            said.append(f"singular: only {self.rank} of {len(self)} determined")
        return f"References({'; '.join(said)})"

    @cached_property
    def _table(self) -> NDArray[np.float64]:
        """Energy by atomic number, shape (256,); NaN where there is none."""
        return by_number(self.energies)

    def totals(self, numbers: NDArray[Any], offsets: NDArray[Any]) -> NDArray[np.float64]:
        """Return the sum of the references of each structure's atoms, in eV, shape (n,).

        Parameters
        ----------
        numbers
            Atomic numbers, shape (n_atoms,).
        offsets
            Row edges of the structures, shape (n + 1,); no structure is empty.

        Raises
        ------
        InputError
            If an element has no reference; names all of those.
        """
        if len(offsets) < 2:
            return np.zeros(0)
        sums: NDArray[np.float64] = np.add.reduceat(self._table[numbers], offsets[:-1])
        if np.isnan(sums).any():
            lost = np.unique(np.asarray(numbers)[np.isnan(self._table[numbers])])
            raise InputError(
                f"there is no reference energy of {', '.join(SYMBOLS[z] for z in lost)}; "
                f"there are those of {', '.join(self.energies) or 'no element'}"
            )
        return sums

    def subtract(
        self, numbers: NDArray[Any], offsets: NDArray[Any], energies: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Return total energies less the references of their atoms, in eV, float64, shape (n,).

        Parameters
        ----------
        numbers, offsets
            As for `totals`.
        energies
            In eV, shape (n,); missing ones, NaN, stay missing.

        Raises
        ------
        InputError
            If an element of a structure with an energy has no reference.
        """
        left = np.array(energies, np.float64)
        known = ~np.isnan(left)
        if not known.all():  # elements without any energy need no reference
            rows, counts = chosen_rows(offsets, np.flatnonzero(known))
            numbers, offsets = np.asarray(numbers)[rows], counts_to_offsets(counts)
        left[known] -= self.totals(numbers, offsets)
        return left

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {
            "energies": dict(self.energies),
            "method": self.method,
            "rmse": self.rmse,
            "ridge": self.ridge,
            "rank": self.rank,
            "singular": self.singular,
            "n_structures": self.n_structures,
            "n_missing": self.n_missing,
        }

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> References:
        """Return what `to_dict` made a mapping of."""
        names = ("energies", "method", "rmse", "ridge", "rank", "n_structures", "n_missing")
        return cls(**{name: entry[name] for name in names})


class ReferencesOfEach:
    """Several sets of references, for structures of which each has one of them.

    Parameters
    ----------
    sets
        The sets; None: nothing is subtracted.
    """

    def __init__(self, sets: Sequence[References | None]):
        self._sets = list(sets)
        tables = [np.zeros(_N_NUMBERS) if one is None else one._table for one in sets]
        # Where all are the same, it makes no difference which one a structure has.
        alike = all(np.array_equal(table, tables[0], equal_nan=True) for table in tables[1:])
        self._table, self._step = np.concatenate(tables), 0 if alike else _N_NUMBERS

    def subtract(
        self,
        whose: NDArray[np.int64],
        numbers: NDArray[Any],
        offsets: NDArray[np.int64],
        energies: NDArray[Any],
    ) -> NDArray[np.float64]:
        """Return total energies less the references of each structure's own set.

        Parameters
        ----------
        whose
            Which set each structure has, shape (n,).
        numbers, offsets, energies
            As for `References.subtract`.

        Raises
        ------
        InputError
            If an element of a structure with an energy has no reference.
        """
        left = np.array(energies, np.float64)
        if len(left) == 0:
            return left
        rows = numbers
        if self._step:
            rows = np.repeat(whose * self._step, np.diff(offsets))
            rows += numbers
        sums = np.add.reduceat(self._table[rows], offsets[:-1])
        lost = np.isnan(sums)
        if lost.any() and (lost := lost & ~np.isnan(left)).any():  # which has a sentence for it
            k = int(lost.argmax())
            one = self._sets[whose[k]]
            assert one is not None
            atoms = slice(offsets[k], offsets[k + 1])
            one.totals(numbers[atoms], np.array([0, atoms.stop - atoms.start]))
        left -= sums
        return left


@keywords()
def open_references(
    store: str | os.PathLike[str] | Store,
    name: str = "default",
    *,
    storage_options: Mapping[str, Any] | None = None,
) -> References:
    """Return references that are kept in a store.

    Parameters
    ----------
    store
        A store or its path.
    name
        The name they were given by `fit_references` or `isolated_references`.
    storage_options
        Of a store that is given as a URL, for fsspec: keys, endpoints and the like.

    Raises
    ------
    InputError
        If there are none of this name; names those that there are.
    StaleGroupError
        If they were made from other content than the store has now, or from a part of a split
        that is another one now.
    StoreFormatError
        If they were written by a newer zstruct.
    """
    opened, attrs = require_group(
        Store.of(store, storage_options), KIND, name, NOUN, "zstruct.fit_references"
    )
    check_part(opened, attrs, f"{NOUN} {name!r}", "zstruct.fit_references")
    with understanding(opened, KIND, name):
        return References.from_dict(attrs)


def chosen_references(store: Store, asked: bool | str | Mapping[str, float] | None) -> References | None:
    """Return the references that somebody asks for.

    Parameters
    ----------
    store
        The store.
    asked
        None or False: none. True: those kept as "default", or else the ``atomic_energies`` of the build; of a
        store with other labels, those kept under the name of these, for them.
        A name: those kept under it. Or the references themselves.

    Raises
    ------
    InputError
        If there are none such.
    StaleGroupError
        If they were made from other content than the store has now.
    """
    if asked is None or asked is False:
        return None
    if isinstance(asked, References):
        return asked
    if isinstance(asked, Mapping):
        return References.given(asked)
    if isinstance(asked, str):
        return open_references(store, asked)
    if asked is not True:
        raise ArgumentTypeError(
            f"references are True, a name or energies by chemical symbol, not {shown(asked)}"
        )
    own = labels_of(store)
    if own is not None:
        return _references_of(store, own)
    built = references_of_build(store)
    if built is not None and "default" not in store.again().group_names(KIND):
        return built
    return open_references(store)


def _references_of(store: Store, labels: Labels) -> References:
    """Return the references that were made for labels.

    Raises
    ------
    InputError
        If there are none.
    """
    how = f"zstruct.fit_references(store, labels={labels.name!r}, name={labels.name!r})"
    there = labels.name in store.again().group_names(KIND)
    if (
        not there
        or (store.again().group_attrs(f"{KIND}/{labels.name}").get("labels") or [""])[0] != labels.name
    ):
        raise InputError(
            f"{store.path} has no references of the labels {labels.name!r}, and those of its own labels are "
            f"others: fit some with {how}, or give energies"
        )
    return open_references(store, labels.name)


def references_of_build(store: Store) -> References | None:
    """Return the ``atomic_energies`` that a store was built with, or None if it was with none."""
    built = store.attrs.get("atomic_energies")
    return References.given(built) if built else None


def keep_references(
    part: Part, references: References, name: str, overwrite: bool, by: tuple[str, str] | None = None
) -> None:
    """Keep references in their store.

    Parameters
    ----------
    part
        What they were made from.
    references
        The energies.
    name
        Their name in the store.
    overwrite
        Whether others of this name may be replaced.
    by
        The field and its label that they are for, if they are for some structures only.
    """
    attrs = references.to_dict() | part.attrs
    if by is not None:
        attrs["by"] = list(by)
    keep(part.store, KIND, name, NOUN, attrs, [], overwrite)
