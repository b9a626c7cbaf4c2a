"""Methods of ``Dataset.zs`` that draw, by matplotlib; each returns the axes that it drew in; and pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from zstruct.docstrings import documented
from zstruct.explore import parity, plots
from zstruct.explore.accessor.base import AccessorBase
from zstruct.explore.origin import rows_of_store
from zstruct.keywords import keywords, takes
from zstruct.parallel import WORKERS
from zstruct.reporting.options import PageOptions
from zstruct.stats.scan import Part

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from zstruct.reporting.writing import Report

__all__ = ["Drawings"]


class Drawings(AccessorBase):
    """Draws what structures have."""

    @takes(PageOptions, WORKERS)
    def view(self, options: PageOptions) -> Report:
        """Return a page about these structures, with a map and a viewer, which a notebook shows; reads them.

        It is what `zstruct.report` makes of a store. It has what the store has: what was changed in memory is
        not seen.

        Raises
        ------
        InputError
            If the Dataset no longer knows its store or its structures, or an argument can't be used.
        UnknownNameError
            If there is no such field.
        StaleGroupError
            If features or references that are asked for are of other content than the store has now.
        """
        from zstruct.reporting.writing import report_of

        store, rows = rows_of_store(self._ds, "and look at that")
        chosen = np.unique(rows)
        part = Part(store, None if len(chosen) == store.n_structures else chosen)
        return report_of(part, options)

    @keywords()
    @documented(plots.plot_energies)
    def plot_energies(
        self,
        ax: Axes | None = None,
        bins: int | None = None,
        *,
        by: str | xr.DataArray | None = None,
        references: bool | str | Mapping[str, float] | None = None,
    ) -> Axes:
        """Draw how energies per atom are distributed, of all structures or of each group; reads the energies.

        ``ds.zs.plot_energies(by="config_type", references=True)`` shows which groups are bound how strongly.
        """
        return plots.plot_energies(self._ragged, ax, bins, by=by, references=references)

    @keywords()
    @documented(plots.plot_forces)
    def plot_forces(
        self, ax: Axes | None = None, bins: int | None = None, *, by: str | xr.DataArray | None = None
    ) -> Axes:
        """Draw how the norms of forces on atoms are distributed; reads the forces, in blocks.

        The axis of forces is logarithmic, so that a few large ones are seen as well as many small ones; what
        is below a millionth of the largest is drawn with the smallest.
        """
        return plots.plot_forces(self._ragged, ax, bins, by=by)

    @keywords()
    @documented(parity.plot_labels)
    def plot_parity(
        self,
        labels: str,
        truth: str | None = None,
        quantity: str = "energy_per_atom",
        ax: Axes | None = None,
        most: int | None = 100_000,
    ) -> Axes:
        """Draw labels of structures over other labels of the same ones; reads both."""
        return parity.plot_labels(self._ragged, labels, truth, quantity, ax, most)

    @keywords()
    @documented(plots.plot_sizes)
    def plot_sizes(self, ax: Axes | None = None, bins: int = 100) -> Axes:
        """Draw how many structures have how many atoms; reads `n_atoms`."""
        return plots.plot_sizes(self._ragged, ax, bins)

    @keywords()
    @documented(plots.plot_composition)
    def plot_composition(self, ax: Axes | None = None) -> Axes:
        """Draw how many structures have how large a share of each element, as a map; reads `numbers`.

        There is a row for each element and a column for each twentieth of the atoms; the first are the
        structures that have a little of it. Structures without an element are in none of its columns.
        """
        return plots.plot_composition(self._ragged, ax)
