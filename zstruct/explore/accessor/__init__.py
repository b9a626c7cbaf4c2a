"""The accessor ``Dataset.zs``: what xarray can't know about structures and their atoms.

Selections that take the atoms along, reductions from atoms to structures, composition, and the
way back to `ase.Atoms`. It works on the Dataset at hand, not on the store it came from.
"""

from __future__ import annotations

import xarray as xr

from zstruct.explore.accessor.comparisons import Comparisons
from zstruct.explore.accessor.drawings import Drawings
from zstruct.explore.accessor.outputs import Outputs
from zstruct.explore.accessor.selections import Selections
from zstruct.explore.accessor.stored_groups import StoredGroups
from zstruct.explore.accessor.values import Values
from zstruct.explore.html import dataset_page
from zstruct.schema import ATOM

__all__ = ["StructureAccessor"]


@xr.register_dataset_accessor("zs")
class StructureAccessor(Selections, Values, StoredGroups, Comparisons, Outputs, Drawings):
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

    def __repr__(self) -> str:
        methods = ", ".join(name for part in type(self).__mro__[:-1] for name in vars(part) if name[0] != "_")
        atoms = f"{self._ds.sizes.get(ATOM, 0):,} rows of atoms"
        return f"<zs: {self.n_structures:,} structures, {atoms}; {methods}>"

    def _repr_html_(self) -> str:
        return dataset_page(self._ds)
