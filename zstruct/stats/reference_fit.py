"""Reference energies of the elements, fitted to total energies by least squares.

The matrix of compositions is never whole in memory: triangular factors of blocks of it are merged.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zstruct import parallel
from zstruct.arguments import check
from zstruct.compositions import compositions
from zstruct.elements import SYMBOLS
from zstruct.errors import InputError
from zstruct.keywords import keywords
from zstruct.parallel import WORKERS
from zstruct.query import Selection
from zstruct.stats.scan import Part, Stretch, scan
from zstruct.store.datasets import Dataset
from zstruct.store.groups import check_place
from zstruct.store.store import Store

if TYPE_CHECKING:
    from zstruct.parallel import Client
from zstruct.stats.references import NOUN, References, keep_references

__all__ = ["fit_references"]


_BLOCK = 1 << 14  # structures whose compositions are laid out together


# Relative size below which a singular value is rounding: counts of atoms are exact, and the QR
# decompositions of millions of them lose three or four digits of sixteen.
_RANK = 1e-12


@keywords(WORKERS)
def fit_references(
    store: str | os.PathLike[str] | Store | Dataset,
    split: str | tuple[str, str] | None = None,
    *,
    select: str | Selection | None = None,
    labels: str | None = None,
    ridge: float | None = None,
    name: str | None = None,
    overwrite: bool = False,
    workers: int | Client | None = None,
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
    select
        An expression that holds for the structures to take, as on the page on selecting:
        ``"Ti and fmax < 10"``; or a `Selection` of them.
    labels
        Name of labels in the store to take in place of its own; see `zstruct.label`.
    ridge
        Adds ridge * sum_z e_z^2 to what is minimised.
    name
        Where to keep the references in the store: ``references/<name>``. By default they are only
        returned. "default" is what a dataset looks for, and one with other labels the name of those.
    overwrite
        Whether other references of this name may be replaced.
    workers
        Number of threads, by default one per processor. Or a `distributed.Client` to run on, by default
        the active one.
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
    check(ridge=ridge, overwrite=overwrite, progress=progress)
    workers = parallel.chosen_workers(workers)
    check_place(store, name, NOUN)
    part = Part.of(store, split, storage_options, select, labels)
    if "energy" not in part.store.fields:
        raise InputError(f"references are fitted to energies, and {part.store.path} has none")
    fields = ["numbers", "energy"]
    found = scan(_decompose, part, fields, progress=progress and "fitting", workers=workers)
    references = _solved(found, part, None if ridge is None else float(ridge))
    residuals = scan(partial(_residuals, references=references), part, fields, workers=workers)
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
        here, counts = compositions(numbers[edges[0] : edges[-1]], edges)
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
    """Return the sum of the squares of what is left, per atom; infinite where one has no square."""
    energies = np.where(np.isfinite(energies := stretch.read("energy")), energies, np.nan)
    left = references.subtract(stretch.read("numbers"), stretch.offsets, energies) / stretch.n_atoms
    with np.errstate(over="ignore"):
        return float(np.nansum(left**2))
