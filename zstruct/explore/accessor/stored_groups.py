"""Methods of ``Dataset.zs`` for what is stored beside the fields: splits, features and maps, labels."""

from __future__ import annotations

from typing import Any, Literal

import xarray as xr

from zstruct.coverage.projection import ProjectReport, project
from zstruct.docstrings import documented
from zstruct.explore.accessor.base import AccessorBase
from zstruct.explore.label_variables import open_label_variables
from zstruct.explore.open_groups import open_features, split_labels
from zstruct.explore.origin import store_of
from zstruct.explore.selection import of_store
from zstruct.keywords import keywords
from zstruct.schema import ATOM

__all__ = ["StoredGroups"]


class StoredGroups(AccessorBase):
    """Opens what is stored beside the fields, for the structures of the Dataset."""

    @keywords()
    def split(self, name: str = "default") -> xr.DataArray:
        """Return the part of each structure in a split that is kept in the store; reads it.

        It groups and selects as any label does: ``ds = ds.assign_coords(split=ds.zs.split())``.

        Parameters
        ----------
        name
            The name that `zstruct.split` was given.

        Returns
        -------
        xarray.DataArray
            Texts, shape (structure,); NaN for structures in no part.

        Raises
        ------
        InputError
            If there is no such split, or if the Dataset no longer knows its store or its structures.
        StaleGroupError
            If it was drawn for other content than the store has now.
        """
        attrs = {"long_name": f"part of the structure in the split {name}"}
        return self._ragged.array(split_labels(self._ds, name), "split", attrs)

    @keywords()
    def features(self, name: str) -> xr.DataArray:
        """Return stored features of the atoms of this Dataset, lazily; or of its structures.

        They go with the atoms: ``ds.zs.isel(...).zs.features(name)`` has those of the structures
        picked. So does a variable made of them, ``ds.assign(cheb=ds.zs.features("cheb"))``. Those that
        `zstruct.features.add` stored may be of structures, or have rows of each structure's own.

        Parameters
        ----------
        name
            The name that they were given.

        Returns
        -------
        xarray.DataArray
            Shape (atom, feature), with the names of the features as labels; or (structure, feature); or
            (row, feature), whose coordinate ``structure`` says whose rows they are. Its attributes tell
            which descriptor made them, and their statistics over the whole store.

        Raises
        ------
        InputError
            If there are no such features, or if the Dataset no longer knows its store or its atoms.
        StaleGroupError
            If they were computed from other content than the store has now.

        Examples
        --------
        >>> import tempfile, ase.build, zstruct
        >>> from zstruct.features import Chebyshev
        >>> out = tempfile.mkdtemp() + "/mixed.zarr"
        >>> molecules = [ase.build.molecule(name) for name in ("H2O", "CO2")]
        >>> report = zstruct.build(molecules, out, progress=False)
        >>> cheb = Chebyshev(["H", "C", "O"], 4, 4.0, 2, 4.0)
        >>> report = zstruct.featurize(out, cheb, name="cheb", progress=False)
        >>> ds = zstruct.open(out)
        >>> ds.zs.isel(structure=1).zs.features("cheb").sizes
        Frozen({'atom': 3, 'feature': 16})
        """
        found = open_features(self._ds, name)
        return of_store(self._ds, found) if ATOM in found.dims else found

    @keywords()
    @documented(project)
    def project(
        self,
        features: str,
        name: str = "map",
        *,
        method: Literal["pca", "umap"] = "pca",
        n: int = 2,
        standardise: bool = True,
        seed: int = 0,
        overwrite: bool = False,
    ) -> ProjectReport:
        """Keep a map of all structures in the store of this Dataset, by their features.

        All are in it, also those that the Dataset has not; ``ds.zs.features("map")`` are then the numbers of
        those that it has.

        Raises
        ------
        InputError
            If the Dataset no longer knows its store; there are no such features, they don't tell structures
            apart or are missing somewhere, or they have fewer independent axes.
        MissingExtraError, StoreExistsError, StaleGroupError, BuildLockedError, StoreFormatError, WriteError
            As for `zstruct.project`.

        Examples
        --------
        >>> import tempfile, ase.build, numpy as np, zstruct
        >>> path = tempfile.mkdtemp() + "/water.zarr"
        >>> report = zstruct.build([ase.build.molecule("H2O")] * 4, path, progress=False)
        >>> report = zstruct.features.add(path, "x", np.diag([1.0, 2, 3, 4]), level="structure")
        >>> ds = zstruct.open(path)
        >>> report = ds.zs.project("x")
        >>> ds.zs.isel([3, 1]).zs.features("map").shape
        (2, 2)
        """
        how: dict[str, Any] = {"method": method, "n": n, "standardise": standardise, "seed": seed}
        store = store_of(self._ds, "and make a map there")
        return project(store, features, name, overwrite=overwrite, **how)

    @keywords()
    def labels(self, name: str) -> xr.Dataset:
        """Return labels that are stored beside the store's own, lazily, for the structures of this Dataset.

        They go with structures and atoms: ``ds.zs.select("Ti").zs.labels("mace-mp0")`` has those of the
        structures selected, and ``ds.zs.labels("mace-mp0").energy - ds.energy`` is the difference of two
        truths.

        Parameters
        ----------
        name
            The name that `zstruct.label` or `zstruct.labels.add` was given.

        Returns
        -------
        xarray.Dataset
            A variable for each field, over structures or atoms, and ``has_<field>`` for those that can't hold
            a missing value; where some structures could not be labelled, ``failure`` says why. With the
            coordinates of the structures and atoms; its attributes tell what made the labels.

        Raises
        ------
        InputError
            If there are no such labels, or if the Dataset no longer knows its store, its structures or its
            atoms.
        StaleGroupError
            If they were made for other content than the store has now.

        Examples
        --------
        >>> import tempfile, ase.build, zstruct
        >>> out = tempfile.mkdtemp() + "/mixed.zarr"
        >>> molecules = [ase.build.molecule(name) for name in ("H2O", "CO2", "CO")]
        >>> report = zstruct.build(molecules, out, progress=False)
        >>> report = zstruct.labels.add(out, "teacher", energy=[-14.2, -23.0, -14.8])
        >>> zstruct.open(out).zs.select("C").zs.labels("teacher").energy.values
        array([-23. , -14.8])
        """
        return open_label_variables(self._ds, name)
