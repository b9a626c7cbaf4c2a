"""The accessor ``Dataset.zs``: what xarray can't know about structures and their atoms.

Selections that take the atoms along, reductions from atoms to structures, composition, and the
way back to `ase.Atoms`. It works on the Dataset at hand, not on the store it came from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from zstruct.explore.composition import composition, elements, formulas
from zstruct.explore.missing import always_given, given
from zstruct.explore.opening import open_features
from zstruct.explore.selecting import Rows, cut, of_store, picked, row_blocks, rows_of, segments
from zstruct.ragged import counts_to_offsets, segment_reduce
from zstruct.schema import ATOM, FIELDS, STRUCTURE

if TYPE_CHECKING:
    from ase import Atoms
    from matplotlib.axes import Axes

__all__ = ["StructureAccessor"]


@xr.register_dataset_accessor("zs")
class StructureAccessor:
    """Structures and their atoms in a Dataset that `zstruct.open` returned, or a part of one.

    Plain xarray may select, sort and mask structures in any way: `offsets` and `n_atoms` go with
    them and keep saying where their atoms are. Only `isel` and `where` of this accessor also leave
    out the atoms that are no longer anyone's.

    Methods that read (all but `isel` by position) say so; what they return is in memory.

    Examples
    --------
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
        self._found: tuple[Any, Any, tuple[NDArray[np.int64], NDArray[np.int64]]] | None = None

    def __repr__(self) -> str:
        methods = ", ".join(name for name in vars(type(self)) if not name.startswith("_"))
        atoms = f"{self._ds.sizes.get(ATOM, 0):,} rows of atoms"
        return f"<zs: {self.n_structures:,} structures, {atoms}; {methods}>"

    @property
    def n_structures(self) -> int:
        """Number of structures in this Dataset."""
        return int(self._ds.sizes.get(STRUCTURE, 0))

    @property
    def n_atoms(self) -> int:
        """Number of atoms of the structures in this Dataset; reads `n_atoms`."""
        return int(self._segments()[1].sum())

    def isel(self, structure: Any) -> xr.Dataset:
        """Return the given structures with their atoms, lazily.

        The dimension ``structure`` always stays, also for one structure, so this can be repeated.
        Consecutive structures remain slices of the lazy arrays; others are gathered when computed.

        Parameters
        ----------
        structure
            An integer, a slice, integers in any order (negative ones count from the end), or a
            boolean mask: an array, a list or a DataArray, which is computed.

        Returns
        -------
        xarray.Dataset
            With `offsets` and `n_atoms` of its own. Attributes that no longer hold (digest,
            species, ranges, the coverage of partly missing fields) are dropped.

        Raises
        ------
        IndexError
            If there are no such structures.
        InputError
            If the Dataset has lost `offsets` or `n_atoms`.
        """
        return self._cut(picked(structure, self.n_structures))

    def where(self, mask: Any) -> xr.Dataset:
        """Return the structures for which a boolean mask is true, with their atoms.

        Parameters
        ----------
        mask
            One boolean per structure, as in ``ds.zs.where(ds.energy < 0)``.

        Raises
        ------
        IndexError
            If it is not a boolean mask over the structures.
        """
        values = mask if isinstance(mask, xr.DataArray) else np.asarray(mask)
        if values.dtype != bool:
            raise IndexError(f"where takes a boolean mask, not {values.dtype}; isel takes integers")
        return self.isel(values)

    def to_ase(self, structure: Any = None) -> Atoms | list[Atoms]:
        """Return structures as `ase.Atoms`; reads them, every array once.

        Energies, forces and other results become those of a `SinglePointCalculator`, fixed atoms
        (``move_mask``) become constraints, and everything else goes to ``arrays`` and ``info``
        under the name the input gave it. What a structure lacks is absent. Provenance is in
        ``info["source"]`` and ``info["frame"]``.

        Parameters
        ----------
        structure
            As for `isel`; all if not given.

        Returns
        -------
        ase.Atoms or list of ase.Atoms
            One for an integer, else a list.

        Raises
        ------
        IndexError
            If there are no such structures.
        InputError
            If the Dataset has lost `offsets` or `n_atoms`.
        KeyError
            If the Dataset has no numbers or positions.
        """
        from zstruct.explore.atoms import to_atoms

        for name in ("numbers", "positions"):
            self._variable(name)
        part = self.isel(slice(None) if structure is None else structure)
        made = to_atoms(part.compute())
        return made[0] if isinstance(structure, int | np.integer) else made

    def has(self, field: str) -> xr.DataArray:
        """Return which structures have a field; reads it unless all have.

        Parameters
        ----------
        field
            Name of a variable over structures or atoms.

        Returns
        -------
        xarray.DataArray
            Booleans, shape (structure,). A structure without atoms has no fields over atoms,
            except those that all structures have.

        Raises
        ------
        KeyError
            If there is no such field.
        """
        variable = self._variable(field)
        if always_given(variable, self._ds):
            values = np.ones(self.n_structures, dtype=bool)
        elif variable.dims[0] == STRUCTURE:
            values = given(variable).to_numpy()
        elif field in FIELDS or variable.attrs.get("kind") != "float":
            # The build sees to it that all atoms of a structure have the field, or none.
            starts, counts = self._segments()
            values = counts > 0
            first = variable.isel({ATOM: starts[values], **dict.fromkeys(variable.dims[1:], 0)})
            values[values] = given(first).to_numpy()
        else:
            values = self._reduced(given(variable), "max").astype(bool) & (self._segments()[1] > 0)
        attrs = {"long_name": f"whether the structure has {field}"}
        return xr.DataArray(values, dims=(STRUCTURE,), name=f"has_{field}", attrs=attrs)

    def features(self, name: str) -> xr.DataArray:
        """Return features that `zstruct.featurize` stored for the atoms of this Dataset, lazily.

        They go with the atoms: ``ds.zs.isel(...).zs.features(name)`` has those of the structures
        picked. So does a variable made of them, ``ds.assign(cheb=ds.zs.features("cheb"))``.

        Parameters
        ----------
        name
            The name that they were given.

        Returns
        -------
        xarray.DataArray
            Shape (atom, feature), with the names of the features as labels. Its attributes tell
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
        return of_store(self._ds, open_features(self._ds, name))

    def reduce(self, values: str | xr.DataArray, how: str) -> xr.DataArray:
        """Reduce values of atoms to one per structure; reads them, in blocks of bounded size.

        Parameters
        ----------
        values
            A field by name, or any array whose first dimension is the ``atom`` of this Dataset.
        how
            ``"sum"``, ``"mean"``, ``"max"`` or ``"min"``. Over no atoms, the sum is zero and the
            others are NaN.

        Returns
        -------
        xarray.DataArray
            Shape (structure, ...), in the unit of the values. NaN among them gives NaN.

        Raises
        ------
        KeyError
            If there is no field of that name.
        ValueError
            If the values are not numbers over the atoms, or `how` is none of the four.
        """
        if isinstance(values, str):
            self._variable(values)
            values = self._ds[values]
        if values.dims[:1] != (ATOM,) or values.sizes[ATOM] != self._ds.sizes.get(ATOM):
            raise ValueError(
                f"reduce takes values over the {self._ds.sizes.get(ATOM, 0):,} atoms of this Dataset, "
                f"but these have the dimensions {dict(values.sizes)}"
            )
        if values.dtype.kind not in "fiub":
            raise ValueError(f"reduce takes numbers; {values.name} holds {values.dtype} values")
        attrs = {"long_name": f"{how} of {values.attrs.get('long_name', values.name)} in the structure"}
        if "units" in values.attrs:
            attrs["units"] = values.attrs["units"]
        coords = {dim: values.coords[dim] for dim in values.dims[1:] if dim in values.coords}
        name = None if values.name is None else f"{values.name}_{how}"
        reduced = self._reduced(values.variable, how)
        return xr.DataArray(reduced, coords, (STRUCTURE, *values.dims[1:]), name=name, attrs=attrs)

    @property
    def fmax(self) -> xr.DataArray:
        """Largest norm of the forces in each structure, eV/angstrom; NaN without forces. Reads them."""
        self._variable("forces")
        squares = self.reduce((self._ds["forces"] ** 2).sum("xyz", skipna=False), "max")
        units = self._ds["forces"].attrs.get("units", "eV angstrom-1")
        attrs = {"long_name": "largest force", "units": units}
        return xr.DataArray(np.sqrt(squares.to_numpy()), dims=(STRUCTURE,), name="fmax", attrs=attrs)

    @property
    def volume(self) -> xr.DataArray:
        """Volume of each cell in cubic angstrom, lazily; NaN where lattice vectors are missing."""
        self._variable("cell")
        return (
            xr.apply_ufunc(
                _volume,
                self._ds["cell"],
                input_core_dims=[["cell_vector", "xyz"]],
                dask="parallelized",
                output_dtypes=[np.float64],
                keep_attrs=False,
            )
            .rename("volume")
            .assign_attrs(long_name="volume of the cell", units="angstrom3")
        )

    @property
    def energy_per_atom(self) -> xr.DataArray:
        """Energy divided by the number of atoms, eV, lazily; NaN without energy."""
        self._variable("energy")
        attrs = {"long_name": "energy per atom", "units": self._ds["energy"].attrs.get("units", "eV")}
        per_atom = self._ds["energy"] / self._counts()
        return per_atom.drop_attrs().rename("energy_per_atom").assign_attrs(attrs)

    @property
    def volume_per_atom(self) -> xr.DataArray:
        """Volume divided by the number of atoms, cubic angstrom, lazily."""
        attrs = {"long_name": "volume per atom", "units": "angstrom3"}
        per_atom = self.volume / self._counts()
        return per_atom.drop_attrs().rename("volume_per_atom").assign_attrs(attrs)

    @property
    def elements(self) -> list[str]:
        """Chemical symbols in this Dataset, by atomic number; reads `numbers` of a part of a store."""
        starts, counts = self._segments()
        whole = self._ds.attrs.get("n_atoms") == int(counts.sum()) == self._ds.sizes.get(ATOM)
        if (
            whole
            and "species" in self._ds.attrs
            and rows_of(starts, counts) == slice(0, self._ds.sizes[ATOM])
        ):
            return list(self._ds.attrs["species"])
        return elements(self._numbers())

    @property
    def composition(self) -> xr.DataArray:
        """Number of atoms of each element, shape (structure, element); reads `numbers`."""
        symbols, counts = self._composition()
        attrs = {"long_name": "number of atoms"}
        return xr.DataArray(
            counts, {"element": symbols}, (STRUCTURE, "element"), name="composition", attrs=attrs
        )

    @property
    def formula(self) -> xr.DataArray:
        """Hill formula of each structure, as text; reads `numbers`."""
        texts = formulas(*self._composition())
        attrs = {"long_name": "chemical formula"}
        return xr.DataArray(texts, dims=(STRUCTURE,), name="formula", attrs=attrs)

    def plot_energies(self, ax: Axes | None = None, bins: int = 100) -> Axes:
        """Draw a histogram of the energy per atom; reads the energies.

        Parameters
        ----------
        ax
            Where to draw; new axes if not given.
        bins
            Number of bins.
        """
        import matplotlib.pyplot as plt

        axes: Axes = plt.subplots()[1] if ax is None else ax
        values = self.energy_per_atom.to_numpy()
        axes.hist(values[np.isfinite(values)], bins=bins)
        axes.set_xlabel("energy per atom (eV)")
        axes.set_ylabel("structures")
        return axes

    def _variable(self, name: str) -> xr.Variable:
        """Return a variable over structures or atoms by name."""
        usable = [
            str(key)
            for key, v in self._ds.data_vars.variables.items()
            if v.dims[:1] in ((STRUCTURE,), (ATOM,))
        ]
        if name not in usable:
            raise KeyError(f"this Dataset has no field {name!r}; it has {', '.join(usable)}")
        return self._ds.variables[name]

    def _counts(self) -> xr.DataArray:
        """Return the atoms to divide by, NaN for none."""
        self._variable("n_atoms")
        return self._ds["n_atoms"].where(self._ds["n_atoms"] > 0)

    def _segments(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return first rows and numbers of atoms, read once as long as they are the same arrays."""
        variables = self._ds.variables
        if "offsets" not in variables or "n_atoms" not in variables:
            return segments(self._ds)  # which says what is wrong
        now = variables["offsets"]._data, variables["n_atoms"]._data
        if self._found is None or self._found[0] is not now[0] or self._found[1] is not now[1]:
            self._found = *now, segments(self._ds)
        return self._found[2]

    def _cut(self, which: Rows) -> xr.Dataset:
        return cut(self._ds, which, self._segments() if ATOM in self._ds.dims else None)

    def _numbers(self) -> xr.Variable:
        """Return the atomic numbers of the structures, end to end."""
        return self._variable("numbers").isel({ATOM: rows_of(*self._segments())})

    def _composition(self) -> tuple[list[str], NDArray[np.int32]]:
        return composition(self._numbers(), counts_to_offsets(self._segments()[1]))

    def _reduced(self, values: xr.Variable, how: str) -> NDArray:
        starts, counts = self._segments()
        packed, offsets = values.isel({ATOM: rows_of(starts, counts)}), counts_to_offsets(counts)
        parts = [segment_reduce(rows, edges, how) for _, rows, edges in row_blocks(packed, offsets)]
        if not parts:
            return segment_reduce(np.empty((0, *values.shape[1:]), values.dtype), offsets, how)
        return np.concatenate(parts)


def _volume(cell: NDArray) -> NDArray:
    volume = np.abs(np.linalg.det(cell))
    return np.where(volume > 0, volume, np.nan)
