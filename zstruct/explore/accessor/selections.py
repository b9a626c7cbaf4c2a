"""Methods of ``Dataset.zs`` that select structures and take their atoms along."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import xarray as xr

from zstruct.coverage.samplings import Sampling
from zstruct.docstrings import documented
from zstruct.errors import InputError
from zstruct.explore.accessor.base import AccessorBase
from zstruct.explore.arguments import check_labels, labelled, mask_over, the_structures
from zstruct.explore.dataset_table import selected
from zstruct.explore.selection import picked
from zstruct.keywords import keywords
from zstruct.query import Choice, Selection, asked
from zstruct.schema import STRUCTURE

__all__ = ["Selections"]


class Selections(AccessorBase):
    """Selects structures; the atoms that are no longer anyone's are left out."""

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
        """Return the structures for which a boolean mask is true, or an expression holds, with their atoms.

        With a mask, this is ``ds.where(mask, drop=True)`` for structures that have atoms: that of xarray
        would repeat all atoms for each structure.

        Parameters
        ----------
        mask
            One boolean per structure, as in ``ds.zs.where(ds.energy < 0)``, or a function of the Dataset
            that returns it. Or what `select` takes: an expression, ``ds.zs.where("Ti and fmax < 10")``, a
            `zstruct.Selection`, or a sampling such as `zstruct.farthest`.

        Raises
        ------
        IndexError
            If it is not a boolean mask over the structures, or one of other structures.
        InputError, UnknownNameError
            If an expression makes no sense; as for `select`.
        """
        if isinstance(mask, str | Selection | Sampling):
            return self.select(mask)
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
        sample: Any = None,
    ) -> xr.Dataset:
        """Return the structures that an expression or other means choose; reads what that needs.

        The language is on the page on selecting. It may name any variable over structures, also one that
        was added: ``ds.assign(score=...).zs.select("score > 2 and Ti")``. How the structures were chosen is
        in the attribute ``selection`` of the Dataset that is returned. In place of an expression there may be
        a `zstruct.Selection`, the choices of which are made one after the other, or a sampling such as
        `zstruct.farthest`.

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
            sample=sample,
        )
        return selected(self._ragged, selection)
