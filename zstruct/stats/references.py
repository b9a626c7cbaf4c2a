"""Reference energies of the elements: given, or fitted to total energies.

A total energy is mostly that of the atoms themselves; what binds them is a small part of it. Less the
references, energies of different compositions can be compared, and float32 can hold them. This module
knows energies and compositions; it knows nothing of batches or torch.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zstruct import parallel
from zstruct.arguments import check, real, shown
from zstruct.elements import SYMBOLS, atomic_number
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.ragged import chosen_rows, counts_to_offsets
from zstruct.splits.split import Dataset
from zstruct.stats.scan import Part, Stretch, check_part, scan
from zstruct.store.groups import check_place, keep, open_kept, understanding
from zstruct.store.store import Store
from zstruct.text import counted

if TYPE_CHECKING:
    from zstruct.parallel import Client

__all__ = [
    "KIND",
    "NOUN",
    "References",
    "chosen_references",
    "fit_references",
    "keep_references",
    "open_references",
]

KIND, NOUN = "references", "set of references"
_BLOCK = 1 << 14  # structures whose compositions are laid out together
# Relative size below which a singular value is rounding: counts of atoms are exact, and the QR
# decompositions of millions of them lose three or four digits of sixteen.
_RANK = 1e-12


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
        table = np.full(256, np.nan)
        for symbol, energy in self.energies.items():
            table[SYMBOLS.index(symbol)] = energy
        return table

    def totals(self, numbers: NDArray, offsets: NDArray) -> NDArray[np.float64]:
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

    def subtract(self, numbers: NDArray, offsets: NDArray, energies: NDArray) -> NDArray[np.float64]:
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


def fit_references(
    store: str | os.PathLike[str] | Store | Dataset,
    split: str | tuple[str, str] | None = None,
    *,
    ridge: float | None = None,
    name: str | None = None,
    overwrite: bool = False,
    client: Client | None = None,
    n_workers: int | None = None,
    progress: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> References:
    """Fit reference energies of the elements to the total energies of structures, by least squares.

    Minimises the sum over structures of (E - sum_z n_z e_z)^2, where n_z counts the atoms of element z.
    The matrix of compositions is decomposed block by block (TSQR: Demmel, Grigori, Hoemmen and Langou,
    2012), so that the result is that of `numpy.linalg.lstsq` on the whole matrix.

    Parameters
    ----------
    store
        A store or its path; or a dataset, also one that is a part of a store.
    split
        The part of a store to fit to: a label of the split "default", or the name of a split and a
        label. By default all of it.
    ridge
        Adds ridge * sum_z e_z^2 to what is minimised.
    name
        Where to keep the references in the store: ``references/<name>``. By default they are only
        returned. "default" is what a dataset looks for.
    overwrite
        Whether other references of this name may be replaced.
    client
        A `distributed.Client` to run on; by default the active one, else threads.
    n_workers
        Number of threads; by default one per processor.
    progress
        Whether to show a progress bar.
    storage_options
        Of a store that is given as a URL, for fsspec: keys, endpoints and the like.

    Returns
    -------
    Mapping
        As `References`: of all elements in structures with an energy. Where elements come in the same
        ratios always, so that their energies can't be told apart, those of the smallest sum of
        squares; `singular` says so, and a warning does.

    Raises
    ------
    InputError
        If no structure has an energy, or an argument can't be used.
    StoreExistsError
        If the store has other references of this name and `overwrite` was not given.
    StaleGroupError, StoreFormatError, BuildLockedError, ChangedInputError
        As for `zstruct.split`.

    Examples
    --------
    >>> import tempfile, ase.build, zstruct
    >>> from ase.calculators.singlepoint import SinglePointCalculator
    >>> path, frames = tempfile.mkdtemp() + "/molecules.zarr", []
    >>> for name, energy in (("H2", -32.0), ("H2O", -2080.0), ("H2O2", -4130.0)):
    ...     frames.append(ase.build.molecule(name))
    ...     frames[-1].calc = SinglePointCalculator(frames[-1], energy=energy)
    >>> report = zstruct.build(frames, path, progress=False)
    >>> zstruct.fit_references(path)
    References(H: -15.8333, O: -2049; fitted from 3 structures; RMSE 0.167 eV/atom)
    """
    check(ridge=ridge, overwrite=overwrite, n_workers=n_workers, progress=progress)
    client = parallel.chosen_client(client)
    check_place(store, name, NOUN)
    part = Part.of(store, split, storage_options)
    if "energy" not in part.store.fields:
        raise InputError(f"references are fitted to energies, and {part.store.path} has none")
    where: dict[str, Any] = {"client": client, "n_workers": n_workers}
    fields = ["numbers", "energy"]
    found = scan(_decompose, part, fields, progress="fitting" if progress else False, **where)
    references = _solved(found, part, None if ridge is None else float(ridge))
    residuals = scan(partial(_residuals, references=references), part, fields, **where)
    rmse = float(np.sqrt(sum(residuals) / references.n_structures))
    references = replace(references, rmse=rmse)
    if references.singular:
        warnings.warn(
            f"the structures of {part.store.path} have only {references.rank} independent combinations of "
            f"the {len(references)} elements {', '.join(references)}: their reference energies are right "
            f"in sum, but can't be told apart; "
            + ("the smallest were taken" if ridge is None else "the ridge decided between them"),
            stacklevel=2,
        )
    if name is not None:
        keep_references(part, references, name, overwrite)
    return references


@dataclass(frozen=True, eq=False)
class _Triangle:
    """The triangular factor of rows (composition, energy), with a column for each of some elements."""

    numbers: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    rows: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 1)))
    n: int = 0
    missing: int = 0

    def stacked(self, other: _Triangle) -> _Triangle:
        """Return the factor of both."""
        numbers = np.union1d(self.numbers, other.numbers)
        rows = np.concatenate([self._over(numbers), other._over(numbers)])
        if len(rows) > rows.shape[1]:
            rows = np.asarray(np.linalg.qr(rows, mode="r"))
        return _Triangle(numbers, rows, self.n + other.n, self.missing + other.missing)

    def _over(self, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the rows with columns for more elements."""
        rows = np.zeros((len(self.rows), len(numbers) + 1))
        rows[:, np.searchsorted(numbers, self.numbers)] = self.rows[:, :-1]
        rows[:, -1] = self.rows[:, -1]
        return rows


def _decompose(stretch: Stretch) -> _Triangle:
    """Return the triangular factor of a range of structures."""
    energies, total = stretch.read("energy"), _Triangle()
    numbers, offsets = stretch.read("numbers"), stretch.offsets
    for start in range(0, len(energies), _BLOCK):
        y = energies[start : start + _BLOCK]
        edges = offsets[start : start + _BLOCK + 1]
        known = np.isfinite(y)
        block = numbers[edges[0] : edges[-1]]
        here = np.flatnonzero(np.bincount(block, minlength=1))
        column = np.zeros(256, np.int64)
        column[here] = np.arange(len(here))
        cells = np.repeat(np.arange(len(y)) * len(here), np.diff(edges)) + column[block]
        counts = np.bincount(cells, minlength=len(y) * len(here)).reshape(len(y), len(here))
        used = counts[known].any(axis=0)
        rows = np.column_stack([counts[known][:, used], y[known]]).astype(np.float64)
        made = _Triangle(here[used], rows, int(known.sum()), int((~known).sum()))
        total = total.stacked(made)
    return total


def _solved(found: list[_Triangle], part: Part, ridge: float | None) -> References:
    total = _Triangle()
    for one in found:
        total = total.stacked(one)
    if not total.n:
        raise InputError(
            f"references are fitted to energies, and none of the structures of {part.store.path} has one"
        )
    a, b = total.rows[:, :-1], total.rows[:, -1]
    sizes = np.linalg.svd(a, compute_uv=False)
    rank = int(np.count_nonzero(sizes > _RANK * sizes[0]))
    if ridge is not None:
        a = np.concatenate([a, np.sqrt(ridge) * np.eye(a.shape[1])])
        b = np.concatenate([b, np.zeros(a.shape[1])])
    solution = np.linalg.lstsq(a, b, rcond=_RANK)[0]
    symbols = [SYMBOLS[z] for z in total.numbers]
    return References(
        dict(zip(symbols, solution.tolist(), strict=True)),
        "fitted",
        ridge=ridge,
        rank=rank,
        n_structures=total.n,
        n_missing=total.missing,
    )


def _residuals(stretch: Stretch, references: References) -> float:
    """Return the sum of the squares of what is left, per atom."""
    energies = np.where(np.isfinite(energies := stretch.read("energy")), energies, np.nan)
    left = references.subtract(stretch.read("numbers"), stretch.offsets, energies) / stretch.n_atoms
    return float(np.nansum(left**2))


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
    opened, attrs = open_kept(Store.of(store, storage_options), KIND, name, NOUN, "zstruct.fit_references")
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
        None or False: none. True: those kept as "default", or else the ``atomic_energies`` of the build.
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
    built = references_of_build(store)
    if built is not None and "default" not in store.again().group_names(KIND):
        return built
    return open_references(store)


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
    split = None if part.split is None else list(part.split)
    attrs = references.to_dict() | {"split": split, "structures_digest": part.digest}
    if by is not None:
        attrs["by"] = list(by)
    keep(part.store, KIND, name, NOUN, attrs, [], overwrite)
