"""`Mixture`: several stores as one torch dataset. A `MixtureReader` whose samples are tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from zstruct.loading.dataset import ZarrStructureDataset
from zstruct.loading.mixture.reader import MixtureReader
from zstruct.loading.reader import StructureReader
from zstruct.loading.torch_dataset import TorchDataset

__all__ = ["Mixture"]


class Mixture(TorchDataset, MixtureReader):
    """The structures of several stores as one dataset for torch, each with the head that it trains.

    Indices go through the parts, one after the other, as in torch's ``ConcatDataset``; but batches come from
    all stores at once, and an epoch may have the parts in any proportion.

    * Each part is a dataset of its own: its references, transforms and selections are what its own samples
      are made by. `select` and `with_forces` of the mixture ask all parts.
    * ``head`` (), an int64, counts `heads`: the names by which the parts are given, in this order. A list
      without names is one dataset of one head, unless each of its stores has a field ``head``; heads are
      said, never guessed.
    * A sample has the fields of all parts. What a store lacks is missing, never zero, and ``has_<field>``
      says so, in every batch. Codes of categories count the texts of all stores: `categories`. Units and
      dtypes are made one, or refused with a sentence.
    * ``structure`` is the number of a structure were all stores one; `locate` says which structure of which
      store that is.

    Parameters
    ----------
    parts
        Datasets, readers, or stores or their paths, which are opened as they come: by the names of their
        heads, as pairs of these, or in a list. In place of one, by its name, there may be several in a list.
    weights, temperature, window, length
        As for `zstruct.loading.Proportions`: how much of each part an epoch has. By default, every structure
        comes once.

    Examples
    --------
    >>> import tempfile, ase.build, zstruct
    >>> folder = tempfile.mkdtemp()
    >>> for name, formulas in (("pbe", ["H2O", "CO2", "CO"]), ("scan", ["CH4"])):
    ...     molecules = [ase.build.molecule(formula) for formula in formulas]
    ...     report = zstruct.build(molecules, f"{folder}/{name}.zarr", progress=False)
    >>> pbe, scan = (zstruct.ZarrStructureDataset(f"{folder}/{name}.zarr") for name in ("pbe", "scan"))
    >>> mixture = zstruct.Mixture({"pbe": pbe, "scan": scan}, weights={"pbe": 0.5, "scan": 0.5})
    >>> for batch in mixture.loader(batch_size=4):
    ...     print(batch["head"], batch["structure"])
    tensor([0, 1, 0, 1]) tensor([0, 3, 1, 3])
    """

    _opens: Callable[[Any], StructureReader] = ZarrStructureDataset

    def __getitem__(self, index: Any) -> Any:
        """Return a sample, or a view of several structures.

        Parameters
        ----------
        index
            An integer (of Python, NumPy or torch) for a sample. A slice, or a list, array or tensor of
            integers, or a boolean mask, for a mixture of these structures in this order.

        Raises
        ------
        IndexError
            If an index is out of range or a mask is not as long as the mixture.
        TypeError
            If it is anything else.
        """
        index = self._position_or_view(index)
        return self._packed(np.array([index]))[0] if isinstance(index, int) else index
