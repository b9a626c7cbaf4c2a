"""Methods of ``Dataset.zs`` that compare its structures with one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from zstruct.docstrings import documented
from zstruct.explore.accessor.base import AccessorBase
from zstruct.explore.origin import rows_of_store
from zstruct.keywords import keywords
from zstruct.parallel import WORKERS
from zstruct.similarity.chosen import Chosen
from zstruct.similarity.duplicates import TOLERANCE, duplicates
from zstruct.similarity.groups import Duplicates
from zstruct.splits.leaks import Leaks, leaks
from zstruct.stats.outliers import Outliers, outliers
from zstruct.stats.scan import Part

if TYPE_CHECKING:
    from zstruct.parallel import Client

__all__ = ["Comparisons"]


class Comparisons(AccessorBase):
    """Finds structures that are alike, and those that are unlike all others."""

    @keywords(WORKERS)
    @documented(duplicates)
    def duplicates(
        self,
        tolerance: float = TOLERANCE,
        *,
        supercells: bool = False,
        workers: int | Client | None = None,
        progress: bool = False,
    ) -> Duplicates:
        """Find structures of this Dataset that are alike; reads them from the store.

        They have the numbers that they have there, so that ``ds.zs.sel(found.structure[:2])`` are the first
        two, and ``ds.zs.sel(found.redundant())`` those that are there already. What was changed in memory is
        not seen.

        Raises
        ------
        InputError
            If the Dataset no longer knows its store or its structures, or the tolerance can't be one.

        Examples
        --------
        >>> import tempfile, ase.build, zstruct
        >>> path = tempfile.mkdtemp() + "/molecules.zarr"
        >>> molecules = [ase.build.molecule(name) for name in ("H2O", "CH4", "H2O")]
        >>> report = zstruct.build(molecules, path, progress=False)
        >>> zstruct.open(path).zs.select("O").zs.duplicates().structure
        array([0, 2])
        """
        how: dict[str, Any] = {"supercells": supercells, "workers": workers, "progress": progress}
        return duplicates(self._chosen(), tolerance, **how)

    @keywords(WORKERS)
    @documented(leaks)
    def leaks(
        self,
        split: str = "default",
        tolerance: float = TOLERANCE,
        *,
        supercells: bool = False,
        workers: int | Client | None = None,
        progress: bool = False,
    ) -> Leaks:
        """Find structures of this Dataset with a duplicate in another part of a split; reads from the store.

        They have the numbers that they have there. What was changed in memory is not seen.

        Raises
        ------
        InputError
            If there is no such split, the Dataset no longer knows its store or its structures, or the
            tolerance can't be one.
        StaleGroupError
            If the split was drawn for other content than the store has now.

        Examples
        --------
        >>> import tempfile, ase.build, zstruct
        >>> path = tempfile.mkdtemp() + "/molecules.zarr"
        >>> molecules = [ase.build.molecule(name) for name in ("H2O", "CH4", "H2O", "CO2")]
        >>> report = zstruct.build(molecules, path, progress=False)
        >>> parts = zstruct.split(path, {"train": [0, 1], "test": [2, 3]}, name="default")
        >>> zstruct.open(path).zs.leaks().structures("test")
        array([2])
        """
        how: dict[str, Any] = {"supercells": supercells, "workers": workers, "progress": progress}
        return leaks(self._chosen(), split, tolerance, **how)

    @keywords()
    @documented(outliers)
    def outliers(
        self,
        *,
        kinds: Sequence[str] | None = None,
        features: str | None = None,
        references: str | Mapping[str, float] | None = None,
        limit: int = 100,
    ) -> Outliers:
        """Find structures far from what the others of this Dataset are; reads them from the store.

        They have the numbers that they have there, so that ``ds.zs.sel(found.structures(score=50))`` are the
        farthest. What was changed in memory is not seen.

        Raises
        ------
        InputError
            If the store has not what a kind needs, the Dataset no longer knows its store or structures, or
            an argument can't be used.
        StaleGroupError
            If features or references were made for other content than the store has now.

        Examples
        --------
        >>> import tempfile, ase.build, zstruct
        >>> path = tempfile.mkdtemp() + "/molecules.zarr"
        >>> molecules = [ase.build.molecule(name) for name in ("H2O", "CH4", "H2", "O2")]
        >>> report = zstruct.build(molecules, path, progress=False)
        >>> zstruct.open(path).zs.select("O").zs.outliers(limit=1).structure
        array([0])
        """
        chosen = self._chosen("and look for outliers there")
        part: Any = Part(chosen.store, chosen.rows)  # which is as good as a dataset
        return outliers(part, kinds=kinds, features=features, references=references, limit=limit)

    def _chosen(self, instead: str = "and look for duplicates there") -> Chosen:
        store, rows = rows_of_store(self._ds, instead)
        chosen = np.unique(rows)
        return Chosen(store, None if len(chosen) == store.n_structures else chosen)
