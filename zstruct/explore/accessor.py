"""The accessor ``Dataset.zs``: what xarray can't know about structures and their atoms.

Selections that take the atoms along, reductions from atoms to structures, composition, and the
way back to `ase.Atoms`. It works on the Dataset at hand, not on the store it came from.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import xarray as xr

from zstruct import parallel
from zstruct.docstrings import documented
from zstruct.errors import InputError
from zstruct.explore import conversions, quantities
from zstruct.explore.arguments import check_labels, labelled, mask_over, the_structures
from zstruct.explore.dataset_table import selected
from zstruct.explore.html import dataset_page
from zstruct.explore.label_variables import open_label_variables
from zstruct.explore.open_store import open_features, open_labels
from zstruct.explore.plots import plot_energies
from zstruct.explore.ragged_dataset import RaggedDataset
from zstruct.explore.selection import of_store, picked
from zstruct.explore.table import to_table
from zstruct.explore.write import write_store
from zstruct.keywords import keywords
from zstruct.query import Choice, asked
from zstruct.schema import ATOM, STRUCTURE

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms
    from matplotlib.axes import Axes

    from zstruct.building.report import BuildReport
    from zstruct.exporters import Exporter, ExportReport

__all__ = ["StructureAccessor"]


@xr.register_dataset_accessor("zs")
class StructureAccessor:
    """Structures and their atoms in a Dataset that `zstruct.open` returned, or a part of one.

    Plain xarray may select and sort structures in any way: `offsets` and `n_atoms` go with
    them and keep saying where their atoms are. Only `isel`, `sel`, `where` and `select` of this accessor
    also leave out the atoms that are no longer anyone's.

    Methods that read (all but `isel` by position) say so; what they return is in memory, and has the
    coordinates of its structures: ``ds.zs.fmax.groupby("config_type").max()``.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> ds = xr.Dataset(
    ...     {
    ...         "numbers": ("atom", np.array([8, 1, 1, 22, 8, 8], dtype=np.uint8)),
    ...         "q": ("atom", [-0.8, 0.4, 0.4, 2.0, -1.0, -1.0]),
    ...         "n_atoms": ("structure", [3, 3]),
    ...         "offsets": ("structure", [0, 3]),
    ...     }
    ... )
    >>> ds.zs.formula.values
    array(['H2O', 'O2Ti'], dtype=object)
    >>> ds.zs.isel(structure=[1]).q.values
    array([ 2., -1., -1.])
    >>> ds.zs.reduce("q", "max").values
    array([0.4, 2. ])
    """

    def __init__(self, dataset: xr.Dataset):
        self._ds = dataset
        self._ragged = RaggedDataset(dataset)

    def __repr__(self) -> str:
        methods = ", ".join(name for name in vars(type(self)) if not name.startswith("_"))
        atoms = f"{self._ds.sizes.get(ATOM, 0):,} rows of atoms"
        return f"<zs: {self.n_structures:,} structures, {atoms}; {methods}>"

    def _repr_html_(self) -> str:
        return dataset_page(self._ds)

    @property
    def n_structures(self) -> int:
        """Number of structures in this Dataset."""
        return self._ragged.n_structures

    @property
    def n_atoms(self) -> int:
        """Number of atoms of the structures in this Dataset; reads `n_atoms`."""
        if ATOM not in self._ds.dims and "n_atoms" in self._ds.variables:
            return int(self._ds.variables["n_atoms"].to_numpy().sum())
        return int(self._ragged.segments()[1].sum())

    @keywords()
    def isel(self, structure: Any) -> xr.Dataset:
        """Return the given structures with their atoms, lazily.

        The dimension ``structure`` always stays, also for one structure, so this can be repeated.
        Consecutive structures remain slices of the lazy arrays; others are gathered when computed.

        Parameters
        ----------
        structure
            An integer, a slice, integers in any order (negative ones count from the end), or a
            boolean mask: an array, a list or a DataArray, which is computed. Or a mapping of
            ``"structure"`` to one of those, as ``Dataset.isel`` takes it.

        Returns
        -------
        xarray.Dataset
            With `offsets` and `n_atoms` of its own. Attributes that no longer hold (digest,
            species, ranges, the coverage of partly missing fields) are dropped.

        Raises
        ------
        IndexError
            If there are no such structures, or the mask is one of other structures.
        InputError
            If the Dataset has lost `offsets` or `n_atoms`.
        """
        which = the_structures(structure, "isel")
        check_labels(which, self._ds)
        return self._ragged.cut(picked(which, self.n_structures))

    @keywords()
    def sel(self, structure: Any) -> xr.Dataset:
        """Return the structures with the given labels, and their atoms, lazily.

        Labels are those of the coordinate ``structure``, which are rows of the store and stay with a
        structure whatever was selected or sorted before: ``ds.zs.sel(structure=low.structure)``.

        Parameters
        ----------
        structure
            A label, labels in any order, or a slice of labels, the last of which is included. Or a
            mapping of ``"structure"`` to one of those.

        Raises
        ------
        KeyError
            If there is no such label.
        InputError
            If the Dataset has no coordinate ``structure``, or has lost `offsets` or `n_atoms`.
        """
        which = labelled(the_structures(structure, "sel"), self._ds)
        return self._ragged.cut(picked(which, self.n_structures))

    @keywords()
    def where(self, mask: Any) -> xr.Dataset:
        """Return the structures for which a boolean mask is true, with their atoms.

        This is ``ds.where(mask, drop=True)`` for structures that have atoms: that of xarray would repeat
        all atoms for each structure.

        Parameters
        ----------
        mask
            One boolean per structure, as in ``ds.zs.where(ds.energy < 0)``, or a function of the Dataset
            that returns it.

        Raises
        ------
        IndexError
            If it is not a boolean mask over the structures, or one of other structures.
        TypeError
            If it is a text.
        """
        return self.isel(mask_over(mask, self._ds))

    @keywords()
    @documented(Choice)
    def select(
        self,
        which: Any = None,
        *,
        split: str | tuple[str, str] | None = None,
        elements: Iterable[str] | None = None,
        max_energy: float | None = None,
        max_force: float | None = None,
        max_force_component: float | None = None,
        where: Any = None,
    ) -> xr.Dataset:
        """Return the structures that an expression or other means choose; reads what that needs.

        The language is on the page on selecting. It may name any variable over structures, also one that
        was added: ``ds.assign(score=...).zs.select("score > 2 and Ti")``. How the structures were chosen is
        in the attribute ``selection`` of the Dataset that is returned. In place of an expression there may be
        a `zstruct.Selection`, the choices of which are made one after the other.

        Raises
        ------
        InputError
            If the Dataset has not what is asked for, or an expression is none; points at the place.
        UnknownNameError
            If there is no such quantity; names the nearest.
        IndexError
            If there are no such positions, or a mask is one of other structures.

        Examples
        --------
        >>> import tempfile, ase.build, zstruct
        >>> out = tempfile.mkdtemp() + "/mixed.zarr"
        >>> molecules = [ase.build.molecule(name) for name in ("H2O", "CO2", "CH4", "C2H6")]
        >>> report = zstruct.build(molecules, out, progress=False)
        >>> found = zstruct.open(out).zs.select("C and not O and n_atoms <= 5")
        >>> found.formula.values, found.attrs["selection"]
        (array(['CH4'], dtype=object), 'where "C and not O and n_atoms <= 5"')
        """
        if STRUCTURE not in self._ds.dims:
            raise InputError(
                "this Dataset has no dimension structure: there is nothing to select from; open a store with "
                "zstruct.open"
            )
        check_labels(which, self._ds)
        check_labels(where, self._ds)
        selection = asked(
            the_structures(which, "select"),
            split=split,
            elements=elements,
            max_energy=max_energy,
            max_force=max_force,
            max_force_component=max_force_component,
            where=where,
        )
        return selected(self._ragged, selection)

    @keywords()
    @documented(conversions.to_ase)
    def to_ase(self, structure: Any = None) -> Atoms | list[Atoms]:
        """Return structures as `ase.Atoms`; reads them, every array once.

        Energies, forces and other results become those of a `SinglePointCalculator`, fixed atoms
        (``move_mask``) become constraints, and everything else goes to ``arrays`` and ``info``
        under the name the input gave it. What a structure lacks is absent. Provenance is in
        ``info["zstruct_source"]`` and ``info["zstruct_frame"]``.
        """
        return conversions.to_ase(self._ragged, structure)

    @keywords()
    @documented(conversions.to_pymatgen)
    def to_pymatgen(self, structure: Any = None) -> Any:
        """Return structures as pymatgen has them: a Structure of what has a cell, else a Molecule; reads.

        What `to_ase` puts into ``arrays`` are site properties, the rest are properties.
        """
        return conversions.to_pymatgen(self._ragged, structure)

    @keywords(parallel.WORKERS)
    @documented(conversions.to_file)
    def export(
        self,
        path: str | os.PathLike[str],
        format: str | Exporter | None = None,
        *,
        fields: Iterable[str] | None = None,
        exclude: Iterable[str] = (),
        with_split: str | None = None,
        overwrite: bool = False,
        workers: int | None = None,
        progress: bool = True,
    ) -> ExportReport:
        """Write these structures into a file of another format, in this order and with these values; reads.

        What was selected, sorted, changed or added is in the file: ``ds.assign(score=...)`` too, if it has a
        row for each structure or atom. Of coordinates, those are written that a store has.
        """
        return conversions.to_file(
            self._ragged,
            path,
            format,
            fields=fields,
            exclude=exclude,
            with_split=with_split,
            overwrite=overwrite,
            workers=workers,
            progress=progress,
        )

    @keywords()
    @documented(write_store)
    def write(
        self,
        out: str | os.PathLike[str],
        *,
        encoding: Any = None,
        overwrite: bool = False,
        resume: bool = True,
        workers: Any = None,
        progress: bool = True,
    ) -> BuildReport:
        """Write these structures into a store of their own, in their order, with all that their store has.

        ``ds.zs.select("Ti").zs.write("cut.zarr")`` does what `zstruct.build` does with ``select="Ti"``:
        blocks are copied, and where each structure first came from stays with it. Variables that the Dataset
        no longer has are left out. What was changed in memory, or added, is refused by name.
        """
        how = {"encoding": encoding, "overwrite": overwrite, "resume": resume}
        return write_store(self._ragged, out, **how, workers=workers, progress=progress)

    @keywords()
    @documented(quantities.has)
    def has(self, field: str) -> xr.DataArray:
        """Return which structures have a field; reads it unless all have."""
        return quantities.has(self._ragged, field)

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
        return self._ragged.array(open_labels(self._ds, name), "split", attrs)

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

    @keywords()
    @documented(quantities.reduced)
    def reduce(self, values: str | xr.DataArray, how: str) -> xr.DataArray:
        """Reduce values of atoms to one per structure; reads them, in blocks of bounded size."""
        return quantities.reduced(self._ragged, values, how)

    @keywords()
    @documented(quantities.repeated)
    def repeat(self, values: str | xr.DataArray) -> xr.DataArray:
        """Return a value of each structure for each of its atoms; reads it.

        What `reduce` does, the other way round: ``ds.forces.where(ds.zs.repeat(ds.energy < 0))``.
        """
        return quantities.repeated(self._ragged, values)

    @property
    def fmax(self) -> xr.DataArray:
        """Largest norm of the forces in each structure, eV/angstrom; NaN without forces. Reads them."""
        return quantities.fmax(self._ragged)

    @property
    def volume(self) -> xr.DataArray:
        """Volume of each cell in cubic angstrom; NaN where lattice vectors are missing. Reads the cells."""
        return quantities.volume(self._ragged)

    @property
    def energy_per_atom(self) -> xr.DataArray:
        """Energy divided by the number of atoms, eV; NaN without energy."""
        return quantities.energy_per_atom(self._ragged)

    @property
    def volume_per_atom(self) -> xr.DataArray:
        """Volume divided by the number of atoms, cubic angstrom. Reads the cells."""
        return quantities.volume_per_atom(self._ragged)

    @property
    def elements(self) -> list[str]:
        """Chemical symbols in this Dataset, by atomic number; reads `numbers` of a part of a store."""
        return quantities.elements(self._ragged)

    @property
    def composition(self) -> xr.DataArray:
        """Number of atoms of each element, shape (structure, element); reads `numbers`."""
        return quantities.composition(self._ragged)

    @property
    def formula(self) -> xr.DataArray:
        """Hill formula of each structure, as text; of the store, or computed from `numbers`."""
        return quantities.formula(self._ragged)

    @keywords()
    @documented(to_table)
    def to_dataframe(
        self,
        fields: list[str] | None = None,
        *,
        atoms: bool = False,
        fmax: bool = False,
        composition: bool = False,
    ) -> pd.DataFrame:
        """Return a table with one row a structure, or one an atom; reads what is in it."""
        return to_table(self._ragged, fields, atoms=atoms, fmax=fmax, composition=composition)

    @keywords()
    @documented(plot_energies)
    def plot_energies(self, ax: Axes | None = None, bins: int = 100) -> Axes:
        """Draw a histogram of the energy per atom; reads the energies."""
        return plot_energies(self._ragged, ax, bins)
