"""`ZarrStructureDataset`: a store as a torch dataset.

It turns what users ask for (fields, dtypes, any kind of index) into lists of structures, has them
gathered, and makes samples, batches and loaders of them. How blocks are decoded and kept is
`blocks`' affair, how batches are laid out is `collate`'s.
"""

from __future__ import annotations

import copy
import operator
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NoReturn, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from zstruct.loading import collate
from zstruct.loading.batch import PackedBatch, Sample
from zstruct.loading.blocks import CACHE_BYTES, BlockCache
from zstruct.loading.gather import Gather, given, kept_dtype
from zstruct.schema import ATOM
from zstruct.store import Store

__all__ = ["ZarrStructureDataset"]

Layout = Literal["graph", "padded", "list"]

_DTYPES: dict[torch.dtype, np.dtype] = {torch.float32: np.dtype("f4"), torch.float64: np.dtype("f8")}
_PROVENANCE = ("source", "frame")


def _apart(samples: PackedBatch) -> PackedBatch:
    """Leave a batch as the sequence of samples that it is.

    A list of samples would cross from a worker process as one shared-memory file per tensor, and
    a few large batches of those exhaust the files a process may have open.
    """
    return samples


_LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "graph": collate.graph,
    "padded": collate.padded,
    "list": _apart,
}


class ZarrStructureDataset(Dataset[Sample]):
    """The structures of a store as samples for torch.

    A sample is a dict of tensors, named and shaped as in the store: ``numbers`` (n_atoms,),
    ``positions`` (n_atoms, 3), ``cell`` (3, 3), ``pbc`` (3,), ``energy`` (), and so on, in the units
    of the field table (angstrom, eV). It is new memory, free to be changed.

    * Floating-point fields come in `dtype`, all of them: a total energy of -19517.094 eV keeps
      about 1e-3 eV in float32, so ask for ``dtype={"energy": torch.float64}`` where that matters.
    * Integers come as int64, booleans as bool. Integers and booleans that some structures lack are
      stored as floats and come as float64.
    * Categories come as int64 codes; `categories` returns their texts.
    * A missing value is NaN, or -1 for a category, never zero. Every field that not all structures
      of the store have is accompanied by a boolean ``has_<field>``.

    Decoded blocks are kept in memory, by every process on its own. The dataset pickles and forks,
    also after it was read from: ``num_workers`` and start methods are free to choose.

    Parameters
    ----------
    path
        The store: a path, a URL that zarr can open, or a `Store`.
    fields
        The fields of a sample; by default all but the provenance, ``source`` and ``frame``.
    dtype
        ``torch.float32`` or ``torch.float64`` for all floating-point fields, or a mapping of names
        to these; fields it does not name come as ``torch.float32``.
    cache_bytes
        Bytes of decoded blocks to keep in each process, by default 2 GiB. A single read keeps
        all it needs for as long as it takes.

    Raises
    ------
    StoreFormatError
        If `path` is no finished store of a known version.
    KeyError
        If a field is not in the store.
    ValueError
        If a field has a name that batches need for themselves, or `cache_bytes` is negative.
    TypeError
        If `dtype` is none of those above.

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
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | Store,
        fields: Iterable[str] | None = None,
        dtype: torch.dtype | Mapping[str, torch.dtype] = torch.float32,
        *,
        cache_bytes: int = CACHE_BYTES,
    ):
        if cache_bytes < 0:
            raise ValueError(f"cache_bytes must not be negative, but is {cache_bytes}")
        self.store = path if isinstance(path, Store) else Store(path)
        names = _chosen(self.store, fields)
        self._dtypes = _dtypes(self.store, names, dtype)
        self._per_atom = frozenset(n for n in names if self.store.fields[n].level == ATOM)
        self._partial = tuple(n for n in names if self.store.coverage(n) < self.store.n_structures)
        _check_names([*names, *map(_mask_name, self._partial)])
        kept = {n: kept_dtype(np.dtype(self.store.fields[n].dtype), self._dtypes[n]) for n in names}
        self._gather = Gather(BlockCache(self.store, kept, cache_bytes), self._dtypes)
        self._rows: NDArray[np.int64] | None = None  # structures of a subset; None: all

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a sample, without their masks."""
        return tuple(self._dtypes)

    def categories(self, field: str) -> list[str]:
        """Return the texts that the codes of a category field stand for.

        Raises
        ------
        KeyError
            If the store has no such category field.
        """
        found = [name for name, row in self.store.fields.items() if row.kind == "category"]
        if field not in found:
            raise KeyError(
                f"{field!r} is no category field of {self.store.path}; those are {', '.join(found) or 'none'}"
            )
        return self.store.categories(field)

    def __len__(self) -> int:
        return self.store.n_structures if self._rows is None else len(self._rows)

    def __repr__(self) -> str:
        return (
            f"ZarrStructureDataset({self.store.path!r}, {len(self):,} structures: {', '.join(self.fields)})"
        )

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice | list[int] | NDArray | torch.Tensor) -> ZarrStructureDataset: ...
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
        if type(index) is not int:
            if isinstance(index, slice):
                return self._subset(np.arange(len(self), dtype=np.int64)[index])
            if isinstance(index, list | range) or getattr(index, "ndim", 0) > 0:
                return self._subset(self._positions(index))
            index = _as_int(index)
        n = len(self)
        if not -n <= index < n:
            raise _out_of_range(index, n)
        return self._packed(np.array([index % n]))[0]

    def __getitems__(self, indices: list[int] | NDArray | torch.Tensor) -> PackedBatch:
        """Return several samples in one gather; a torch ``DataLoader`` calls this by itself.

        Raises
        ------
        IndexError
            If an index is out of range.
        """
        return self._packed(self._positions(indices))

    def _packed(self, positions: NDArray[np.int64]) -> PackedBatch:
        structures = positions if self._rows is None else self._rows[positions]
        offsets, columns = self._gather(structures)
        for name in self._partial:
            edges = offsets if name in self._per_atom else np.arange(len(structures) + 1)
            columns[_mask_name(name)] = given(columns[name], edges)
        return PackedBatch(structures, offsets, columns, self._per_atom)

    def loader(
        self,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        layout: Layout | Callable[[PackedBatch], Any] = "graph",
        num_workers: int = 0,
        generator: torch.Generator | None = None,
        drop_last: bool = False,
        pin_memory: bool = False,
        persistent_workers: bool = False,
        prefetch_factor: int | None = None,
        **options: Any,
    ) -> DataLoader[Any]:
        """Return a torch ``DataLoader`` over the dataset.

        Parameters
        ----------
        batch_size
            Structures in a batch.
        shuffle
            Whether to draw the structures in a new random order in every epoch.
        layout
            ``"graph"``: atoms end to end (`collate.graph`); ``"padded"``: rectangular tensors
            (`collate.padded`); ``"list"``: a sequence of samples; or a function that takes a
            `PackedBatch`, such as ``functools.partial(collate.padded, num_atoms=64)``.
        num_workers
            Worker processes. With none, batches are made in this process, which is often faster:
            moving a batch between processes takes longer than making it.
        generator
            The source of randomness of the shuffle; a seeded one makes it repeatable.
        drop_last, pin_memory, persistent_workers, prefetch_factor, **options
            As for ``torch.utils.data.DataLoader``.

        Raises
        ------
        ValueError
            If `layout` is unknown.
        TypeError
            If `options` has a ``collate_fn``, which `layout` is here.
        """
        if "collate_fn" in options:
            raise TypeError("loader() takes the collate function as layout=, not as collate_fn=")
        join: Callable[[Any], Any] | None = layout if callable(layout) else _LAYOUTS.get(layout)
        if join is None:
            raise ValueError(f"layout is {', '.join(map(repr, _LAYOUTS))} or a function, not {layout!r}")
        return DataLoader(
            self,
            batch_size=batch_size,
            shuffle=shuffle,
            collate_fn=join,
            num_workers=num_workers,
            generator=generator,
            drop_last=drop_last,
            pin_memory=pin_memory,
            persistent_workers=persistent_workers,
            prefetch_factor=prefetch_factor,
            **options,
        )

    def _subset(self, positions: NDArray[np.int64]) -> ZarrStructureDataset:
        subset = copy.copy(self)
        subset._rows = positions if self._rows is None else self._rows[positions]
        return subset

    def _positions(self, indices: Any) -> NDArray[np.int64]:
        """Return positions in ``range(len(self))`` for any list of indices or mask."""
        array, n = np.asarray(indices), len(self)
        if array.ndim == 1 and array.size == 0:
            return np.empty(0, dtype=np.int64)
        if array.ndim != 1 or array.dtype.kind not in "iub":
            _refuse(f"{array.ndim}-dimensional {array.dtype} {type(indices).__name__}")
        if array.dtype.kind == "b":
            if len(array) != n:
                raise IndexError(f"the mask has {len(array)} entries, the dataset {n} structures")
            return np.flatnonzero(array)
        low, high = int(array.min()), int(array.max())
        if low < -n or high >= n:
            raise _out_of_range(high if high >= n else low, n)
        array = array.astype(np.int64)
        return np.where(array < 0, array + n, array) if low < 0 else array


def _out_of_range(index: int, n: int) -> IndexError:
    return IndexError(f"structure {index} is out of range: the dataset has {n} structures")


def _as_int(index: Any) -> int:
    if not isinstance(index, bool | np.bool_) and getattr(index, "dtype", None) is not torch.bool:
        try:
            return operator.index(index)
        except TypeError:
            pass
    _refuse(f"{index!r}")


def _refuse(what: str) -> NoReturn:
    raise TypeError(
        "a dataset is indexed by an integer, a slice, or a one-dimensional list or array of integers "
        f"or booleans, not by {what}"
    )


def _chosen(store: Store, fields: Iterable[str] | None) -> list[str]:
    if fields is None:
        return [name for name in store.fields if name not in _PROVENANCE]
    if isinstance(fields, str):
        raise TypeError(f"fields is a list of names: write fields=[{fields!r}]")
    names = list(dict.fromkeys(fields))
    for name in names:
        if name not in store.fields:
            raise KeyError(f"the store {store.path} has no field {name!r}; it has {', '.join(store.fields)}")
    return names


def _dtypes(
    store: Store, names: list[str], dtype: torch.dtype | Mapping[str, torch.dtype]
) -> dict[str, np.dtype]:
    """Return the dtype of every field in a batch."""
    asked: dict[str, torch.dtype] = dict(dtype) if isinstance(dtype, Mapping) else {}
    default = torch.float32 if isinstance(dtype, Mapping) else dtype
    for name, choice in [("dtype", default), *asked.items()]:
        if choice not in _DTYPES:
            raise TypeError(f"{name} must be torch.float32 or torch.float64, not {choice!r}")
    chosen: dict[str, np.dtype] = {}
    for name in names:
        field = store.fields[name]
        stored = np.dtype(field.dtype)
        if stored.kind == "f":
            # Integers with gaps are stored as float64: float32 would not hold all of them.
            plain = default if field.kind == "float" else torch.float64
            chosen[name] = _DTYPES[asked.pop(name, plain)]
        else:
            chosen[name] = np.dtype(np.bool_) if field.kind == "bool" else np.dtype(np.int64)
    if asked:
        floats = ", ".join(name for name in names if store.fields[name].dtype.startswith("float"))
        raise KeyError(
            f"dtype names {', '.join(asked)}; only loaded floating-point fields have one: {floats}"
        )
    return chosen


def _mask_name(field: str) -> str:
    return f"has_{field}"


def _check_names(names: list[str]) -> None:
    for name in names:
        if name in collate.OWN or names.count(name) > 1:
            raise ValueError(
                f"the store's field {name!r} has a name that batches use themselves; "
                "choose the fields to load without it (fields=...)"
            )
