"""`ZarrStructureDataset`: a store as a torch dataset.

A `StructureReader` whose samples are tensors, and that makes loaders, as `TorchDataset` does for all. What is
read and what is done to it is the reader's affair, how batches are laid out is `layouts`'s.
"""

from __future__ import annotations

from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, from_numpy

from zstruct.batch.packed import NO_PAIRS, Sample
from zstruct.loading.reader import StructureReader
from zstruct.loading.torch_dataset import TorchDataset

__all__ = ["ZarrStructureDataset"]


class ZarrStructureDataset(TorchDataset, StructureReader):
    """The structures of a store as samples for torch.

    A sample is a dict of tensors, named and shaped as in the store: ``numbers`` (n_atoms,),
    ``positions`` (n_atoms, 3), ``cell`` (3, 3), ``pbc`` (3,), ``energy`` (), and so on, in the units
    of the field table (angstrom, eV). It is new memory, free to be changed.

    * Floating-point fields come as float32, but total energies as float64: in float32, one of
      -17660 eV is a step of a ladder with rungs of 2 meV. `dtype` says otherwise.
    * Integers come as int64, exactly, unless `dtype` names them; booleans as bool. (In stores of
      format 1.0, those that some structures lack are floats and come as float64.)
    * Categories come as int64 codes; `categories` returns their texts.
    * Every field that not all structures of the store have is accompanied by a boolean ``has_<field>``.
      A missing value is NaN, or -1 for a category. Integers and booleans have no value that says
      so: where their mask is false they are 0 or False, which means nothing.

    * Features, edges and derivatives come beside the fields if `features`, `neighbors` or
      `derivatives` ask for them.

    What is read is decoded once, in the dtype asked for, and kept where `cache` says; `repr` tells
    where that is. The dataset pickles and forks, also after it was read from: ``num_workers`` and
    start methods are free to choose.

    Parameters
    ----------
    path
        The store: a path, a URL that zarr can open, or a `Store`.
    fields, dtype, split, features, derivatives, neighbors, labels, references, transform, cache
        As for `zstruct.loading.Recipe`.
    storage_options
        As for `zstruct.loading.Recipe`.

    Examples
    --------
    >>> import tempfile, ase.build, zstruct
    >>> path = tempfile.mkdtemp() + "/water.zarr"
    >>> report = zstruct.build([ase.build.molecule("H2O")] * 4, path, progress=False)
    >>> data = ZarrStructureDataset(path, fields=["numbers", "positions"])
    >>> data[0]["positions"].shape
    torch.Size([3, 3])
    >>> for batch in data.loader(batch_size=2):
    ...     print(batch["batch"])
    tensor([0, 0, 0, 1, 1, 1])
    tensor([0, 0, 0, 1, 1, 1])
    >>> from zstruct.loading import Edges
    >>> data = ZarrStructureDataset(path, ["numbers"], neighbors=Edges(1.2, carry="edge_dist"))
    >>> data[0]["edge_index"], data[0]["edge_dist"]
    (tensor([[0, 0, 1, 2],
            [1, 2, 0, 0]]), tensor([0.9686, 0.9686, 0.9686, 0.9686]))
    """

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice | list[int] | NDArray[Any] | Tensor) -> ZarrStructureDataset: ...
    def __getitem__(self, index: Any) -> Sample | ZarrStructureDataset:
        """Return a sample, or a view of several structures.

        Parameters
        ----------
        index
            An integer (of Python, NumPy or torch) for a sample. A slice, or a list, array or tensor
            of integers, or a boolean mask, for a dataset of these structures in this order, which
            shares this one's decoded blocks.

        Raises
        ------
        IndexError
            If an index is out of range or a mask is not as long as the dataset.
        TypeError
            If it is anything else.
        """
        index = self._position_or_view(index)
        if not isinstance(index, int):
            return index
        one = None
        if self._plain:
            one = self._gather.one(index if self._rows is None else self._rows.item(index))
        if one is None:
            return self._packed(np.array([index]))[0]
        structure, arrays, n_atoms = one
        gather = self._gather
        sample = Sample((), structure, n_atoms, gather.per_atom, NO_PAIRS, gather.wide, origin=gather.origin)
        for name in arrays:
            sample[name] = from_numpy(arrays[name])
        return sample
