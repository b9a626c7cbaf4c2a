"""Splits: which structures to train, validate and test on, drawn once and kept with the store.

A split gives every structure one of a few labels. Here it is drawn, written into the group
``splits/<name>`` and read again; this module knows fields, not samples, batches or torch.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zstruct.arguments import check, integer, names, shown
from zstruct.errors import InputError, StoreExistsError, UnknownNameError
from zstruct.schema import STRUCTURE
from zstruct.splits.allocation import dealt, dealt_whole, rounded
from zstruct.splits.strata import By, grouped, stratified
from zstruct.store.groups import check_place, keep, open_kept
from zstruct.store.spec import ArraySpec, choose_grid
from zstruct.store.store import Store
from zstruct.text import counted, html_list, html_table

__all__ = ["Dataset", "Split", "kfold", "open_split", "split"]

_KIND = "splits"


class Dataset(Protocol):
    """What has a store and says which of its structures it holds, as `ZarrStructureDataset` does."""

    store: Store

    @property
    def structures(self) -> NDArray[np.int64]:
        """Which structures of the store these are, shape (n,)."""
        ...


Strata = By | Sequence[By]


@dataclass(frozen=True, eq=False)
class Split:
    """The parts of a store or dataset, by label.

    ``parts["train"]`` are the indices of that part, ascending, int64; iterating goes over the parts in
    the order of their labels, so ``train, val, test = parts`` works. Indices count the structures of
    what was split: those of a dataset that is a subset are positions in it.

    Parameters
    ----------
    labels
        Names of the parts.
    codes
        The place of its label in `labels` for every structure, int8; -1 for those in no part.
    recipe
        How it was drawn: ``method``, ``sizes``, ``seed``, ``stratify`` and the number of
        ``structures`` that were split.
    """

    labels: tuple[str, ...]
    codes: NDArray[np.int8]
    recipe: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, label: str) -> NDArray[np.int64]:
        if not isinstance(label, str) or label not in self.labels:
            raise UnknownNameError(f"the split has no part {shown(label)}; it has {', '.join(self.labels)}")
        return np.flatnonzero(self.codes == self.labels.index(label)).astype(np.int64, copy=False)

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        return (self[label] for label in self.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def keys(self) -> tuple[str, ...]:
        """Return the labels: ``dict(parts)`` and ``np.savez(file, **parts)`` work."""
        return self.labels

    def __repr__(self) -> str:
        parts = ", ".join(f"{label}: {len(self[label]):,}" for label in self.labels)
        return f"Split({parts})"

    def _repr_html_(self) -> str:
        parts = [(label, len(self[label])) for label in self.labels]
        left = int(np.count_nonzero(self.codes < 0))
        counts = [(label, f"{n:,}") for label, n in [*parts, *([("in no part", left)] if left else [])]]
        recipe = [f"{key}: {value}" for key, value in self.recipe.items() if value is not None]
        return html_table(counts, ("part", "structures")) + html_list(recipe)


def split(
    store: str | os.PathLike[str] | Store | Dataset,
    sizes: Sequence[float] | Mapping[str, ArrayLike] | Split | str | os.PathLike[str],
    seed: int = 42,
    by: By = "random",
    stratify: Strata | None = None,
    *,
    bins: int = 10,
    labels: Sequence[str] | None = None,
    name: str | None = None,
    overwrite: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> Split:
    """Divide the structures of a store or a dataset into parts, every structure into exactly one.

    The same store, arguments and seed give the same parts on every machine.

    Parameters
    ----------
    store
        A store or its path; or a dataset, also one that is a part of a store.
    sizes
        Fractions that sum to 1, or whole numbers that sum to the number of structures. Fractions are
        rounded by the method of largest remainders: no part is off by one structure or more. Or the
        parts themselves: a mapping of labels to indices or boolean masks, in which structures may
        be left out, but none may be in two parts; or an ``.npz`` file of such, whose names lose
        ``idx_`` or ``_idx``: the split files of SchNetPack, say. Of a file that holds other things
        beside indices called so, as kinoml's, these alone are taken. Or a `Split`, to keep it.
    seed
        Of the random order. Not used by ``"order"`` or where parts are given.
    by
        How structures are dealt out.

        * ``"random"``: each on its own.
        * ``"order"``: the first ones to the first part, and so on.
        * ``"formula"``: those of the same formula stay together, in one part.
        * The name of a field with one text, integer or boolean for each structure, such as
          ``"source"`` or ``"config_type"``: those of the same value stay together. Those without one
          are a group, too.
        * A function of the `Store` that returns one value for each of its structures; those of the
          same value stay together.

        Groups make sizes inexact: they are as near to those asked for as a few draws get them, and no
        part that is to have structures is empty.
    stratify
        As `by` groups, but each value is spread over all parts in proportion, to within one
        structure; sizes stay exact. Only for ``by="random"``. Numbers of many values are cut into
        `bins` of about equal number: floats, ``"energy_per_atom"``, ``"n_atoms"``, and whole numbers
        that have more values than bins and fewer than ten structures for each, be they of a field
        or of a function. Of several criteria in a list, each combination of values is spread.
    bins
        How many of these there are; those without a value are one more.
    labels
        Names of the parts; by default those of ``"train"``, ``"val"``, ``"test"`` that are needed.
    name
        Where to keep the parts in the store: ``splits/<name>``. By default they are only returned.
        `ZarrStructureDataset` looks for a split named ``"default"`` if it is asked for ``split="train"``.
    overwrite
        Whether another split of this name may be replaced.
    storage_options
        Of a store that is given as a URL, for fsspec: keys, endpoints and the like.

    Returns
    -------
    Split
        The indices of each part.

    Raises
    ------
    InputError
        If sizes don't sum up, a field can't group structures, there are fewer groups than parts, or
        another argument can't be used.
    StoreExistsError
        If the store has another split of this name and `overwrite` was not given.
    BuildLockedError
        If another process is writing groups into the store.
    StoreFormatError
        If there is no finished store.
    ChangedInputError
        If the store was replaced meanwhile.

    Examples
    --------
    >>> import tempfile, ase.build, zstruct
    >>> path = tempfile.mkdtemp() + "/water.zarr"
    >>> report = zstruct.build([ase.build.molecule("H2O")] * 10, path, progress=False)
    >>> zstruct.split(path, [0.8, 0.1, 0.1], name="default")
    Split(train: 8, val: 1, test: 1)
    >>> train, val = zstruct.split(path, [7, 3], by="order")
    >>> val
    array([7, 8, 9])
    """
    check(seed=seed, bins=bins, overwrite=overwrite)
    check_place(store, name, "split")
    opened, rows = _opened(store, storage_options)
    recipe: dict[str, Any]
    codes: NDArray[Any]
    if isinstance(sizes, os.PathLike) or (isinstance(sizes, str) and sizes.endswith((".npz", ".npy"))):
        sizes = _of_file(sizes)
    if isinstance(sizes, Split):
        if by != "random" or stratify is not None or labels is not None:
            raise InputError("a split that is given needs no by, stratify or labels")
        if len(sizes.codes) != len(rows):
            raise InputError(
                f"the split is one of {len(sizes.codes):,} structures, and there are {len(rows):,} here"
            )
        named, codes, recipe = sizes.labels, sizes.codes, dict(sizes.recipe)
    elif isinstance(sizes, Mapping):
        if by != "random" or stratify is not None or labels is not None:
            raise InputError("parts that are given need no by, stratify or labels")
        named, codes = _labels(list(sizes), len(sizes)), _given(sizes, len(rows))
        recipe = {"method": "given", "seed": None, "stratify": None}
        recipe["sizes"] = [int(np.count_nonzero(codes == k)) for k in range(len(named))]
    else:
        if isinstance(sizes, str) or not _is_row(sizes):
            raise InputError(f"sizes is a list of one size for each part, not {shown(sizes)}")
        named = _labels(labels, len(sizes))
        codes = _drawn(opened, rows, _counts(sizes, len(rows)), seed, by, stratify, bins)
        recipe = _recipe(by, seed, stratify, bins) | {
            "sizes": [int(x) if isinstance(x, Integral) else float(x) for x in sizes]
        }
    parts = Split(named, codes.astype(np.int8), recipe | {"structures": len(rows)})
    if name is not None:
        _keep(opened, rows, parts, name, overwrite)
    return parts


def kfold(
    store: str | os.PathLike[str] | Store | Dataset,
    k: int = 5,
    seed: int = 42,
    by: By = "random",
    stratify: Strata | None = None,
    *,
    bins: int = 10,
    name: str | None = None,
    overwrite: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> list[Split]:
    """Return `k` splits into ``"train"`` and ``"val"``; every structure is in ``"val"`` of exactly one.

    Parameters
    ----------
    store, seed, by, stratify, bins, overwrite, storage_options
        As for `split`; with ``by="order"``, ``"val"`` is one stretch after the other.
    k
        Number of splits. The sizes of ``"val"`` differ by one at most, if there are no groups.
    name
        Where to keep them in the store: ``splits/<name>-0`` and so on.

    Raises
    ------
    InputError
        If `k` is not from 2 to the number of structures, and as for `split`.
    StoreExistsError, BuildLockedError, StoreFormatError, ChangedInputError
        As for `split`.

    Examples
    --------
    >>> import tempfile, ase.build, zstruct
    >>> path = tempfile.mkdtemp() + "/water.zarr"
    >>> report = zstruct.build([ase.build.molecule("H2O")] * 10, path, progress=False)
    >>> [len(parts["val"]) for parts in zstruct.kfold(path, 3)]
    [4, 3, 3]
    """
    check(seed=seed, bins=bins, overwrite=overwrite)
    check_place(store, name, "split")
    opened, rows = _opened(store, storage_options)
    if (integer(k) or 0) < 2 or k > len(rows):
        raise InputError(
            f"k is a whole number from 2 to the {len(rows):,} structures there are, not {shown(k)}"
        )
    folds = _drawn(opened, rows, rounded(np.full(k, 1 / k), len(rows)), seed, by, stratify, bins)
    recipe = _recipe(by, seed, stratify, bins) | {"structures": len(rows), "folds": int(k)}
    made = [
        Split(("train", "val"), (folds == fold).astype(np.int8), recipe | {"fold": fold}) for fold in range(k)
    ]
    if name is not None:
        _check_folds(opened, rows, made, name, overwrite)
        for fold, parts in enumerate(made):
            _keep(opened, rows, parts, f"{name}-{fold}", overwrite)
    return made


def _check_folds(
    opened: Store, rows: NDArray[np.int64], made: Sequence[Split], name: str, overwrite: bool
) -> None:
    """Refuse to write folds, before any is written, where those of another call would be among them."""
    there = opened.again().group_names(_KIND)
    more = [x for x in there if re.fullmatch(re.escape(name) + r"-\d+", x) and _fold_of(x) >= len(made)]
    if more:
        raise StoreExistsError(
            f"{opened.path} has {', '.join(more)}, of more folds than {len(made)}, and they would stay "
            "there: choose another name"
        )
    for fold, parts in enumerate(made):
        if f"{name}-{fold}" in there and not overwrite:
            kept = opened.read(f"{_KIND}/{name}-{fold}/codes")
            if not np.array_equal(kept, _codes(opened, rows, parts)):
                raise StoreExistsError(
                    f"{opened.path} has another split '{name}-{fold}' already; pass overwrite=True to "
                    "replace it, or another name"
                )


def _fold_of(name: str) -> int:
    return int(name.rpartition("-")[2])


def open_split(
    store: str | os.PathLike[str] | Store,
    name: str = "default",
    *,
    storage_options: Mapping[str, Any] | None = None,
) -> Split:
    """Return a split that is kept in a store.

    Parameters
    ----------
    store
        A store or its path.
    name
        The name it was given by `split`.
    storage_options
        Of a store that is given as a URL, for fsspec: keys, endpoints and the like.

    Returns
    -------
    Split
        Its indices are those of structures of the store.

    Raises
    ------
    InputError
        If there is no such split; names those that there are.
    StaleGroupError
        If it was drawn for other content than the store has now.
    StoreFormatError
        If it was written by a newer zstruct.

    Examples
    --------
    >>> import tempfile, ase.build, zstruct
    >>> path = tempfile.mkdtemp() + "/water.zarr"
    >>> report = zstruct.build([ase.build.molecule("H2O")] * 4, path, progress=False)
    >>> parts = zstruct.split(path, {"train": [0, 3], "val": [1]}, name="mine")
    >>> zstruct.open_split(path, "mine")["train"]
    array([0, 3])
    """
    opened, attrs = open_kept(Store.of(store, storage_options), _KIND, name, "split", "zstruct.split")
    return Split(tuple(attrs["labels"]), opened.read(f"{_KIND}/{name}/codes"), attrs["recipe"])


def _opened(
    given: str | os.PathLike[str] | Store | Dataset, storage_options: Mapping[str, Any] | None
) -> tuple[Store, NDArray[np.int64]]:
    """Return the store and which of its structures are to be split."""
    if isinstance(given, str | os.PathLike | Store):
        opened = Store.of(given, storage_options)
        return opened, np.arange(opened.n_structures)
    if not (hasattr(given, "store") and hasattr(given, "structures")):
        raise InputError(f"a store, its path or a dataset of it can be split, not {shown(given)}")
    rows = np.asarray(given.structures)
    found, times = np.unique(rows, return_counts=True)
    if len(found) < len(rows):
        raise InputError(
            f"the dataset has structure {found[times > 1][0]} of the store more than once: "
            "it could be in two parts; split first, then repeat"
        )
    return given.store, rows


def _labels(labels: Sequence[str] | None, n: int) -> tuple[str, ...]:
    if labels is None and n > 3:
        raise InputError(f"{n} parts need labels=[...], a name for each")
    chosen = ("train", "val", "test")[:n] if labels is None else tuple(names("labels", labels))
    if not all(chosen):
        raise InputError(f"labels are names, not {shown(chosen)}")
    if len(chosen) != n or len(set(chosen)) < n or not 1 <= n <= 127:
        raise InputError(f"labels are 1 to 127 different names, one for each part, not {chosen!r} for {n}")
    return chosen


def _recipe(by: By, seed: int, stratify: Strata | None, bins: int) -> dict[str, Any]:
    criteria = _criteria(stratify)
    said = ["function" if callable(how) else how for how in criteria]
    together: Any = said if isinstance(stratify, list | tuple) else said[0] if said else None
    return {
        "method": "function" if callable(by) else by,
        "seed": None if by == "order" else int(seed),
        "stratify": together,
        **({"bins": int(bins)} if criteria else {}),
    }


def _criteria(stratify: Strata | None) -> list[By]:
    if stratify is None:
        return []
    return [stratify] if isinstance(stratify, str) or callable(stratify) else list(stratify)


def _is_row(sizes: Any) -> bool:
    try:
        return np.ndim(sizes) == 1
    except ValueError:  # lists of different lengths
        return False


def _of_file(path: str | os.PathLike[str]) -> dict[str, NDArray]:
    """Return the parts that a file holds."""
    where = os.fspath(path)
    wanted = "an .npz file of indices, as np.savez(file, train=..., val=...) writes it"
    try:
        with open(path, "rb") as opened:
            if opened.read(2) != b"PK":
                raise InputError(f"{where}: it is not {wanted}")
            opened.seek(0)
            with np.load(opened, allow_pickle=False) as file:
                names = [name for name in file.files if _part(name) != name] or file.files
                found = {name: file[name] for name in names}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{where}: it can't be read as {wanted}: {error}") from error
    parts = {_part(name): index for name, index in found.items()}
    if len(parts) < len(found):
        raise InputError(f"{where}: two of {', '.join(found)} are one part: rename one, or leave it out")
    return parts


def _part(name: str) -> str:
    """Return the label that an array of a file has."""
    return name.removeprefix("idx_").removesuffix("_idx")


def _counts(sizes: Sequence[float], n: int) -> NDArray[np.int64]:
    """Return how many structures each part gets."""
    if not all(isinstance(x, Real) and not isinstance(x, bool) and 0 <= x < np.inf for x in sizes):
        raise InputError(f"sizes are fractions or whole numbers, none below zero, not {sizes!r}")
    if all(isinstance(x, Integral) for x in sizes):
        if sum(sizes) != n:
            raise InputError(
                f"whole numbers as sizes sum to the {n:,} structures there are, not {sum(sizes):,}"
            )
        return np.array(sizes, dtype=np.int64)
    if abs(sum(sizes) - 1) > 1e-6:
        raise InputError(f"fractions sum to 1, not {sum(sizes):g}; give what is left a label of its own")
    return rounded(np.array(sizes, dtype=np.float64), n)


def _given(parts: Mapping[str, ArrayLike], n: int) -> NDArray[np.int64]:
    codes = np.full(n, -1, dtype=np.int64)
    for k, (label, chosen) in enumerate(parts.items()):
        index = np.asarray(chosen)
        if index.dtype == bool and index.shape == (n,):
            index = np.flatnonzero(index)
        elif index.size == 0 and index.ndim == 1:
            continue
        if index.dtype.kind not in "iu" or index.ndim != 1:
            raise InputError(
                f"the part {label!r} is neither a list of indices nor a mask of {n:,} structures"
            )
        if index.min() < 0 or index.max() >= n:
            raise InputError(f"the part {label!r} has an index outside 0 to {n - 1:,}")
        taken = index[codes[index] >= 0]
        if len(taken) or len(np.unique(index)) < len(index):
            where = f"structure {taken[0]}, which is in another part" if len(taken) else "a structure twice"
            raise InputError(f"the part {label!r} has {where}")
        codes[index] = k
    return codes


def _drawn(
    opened: Store,
    rows: NDArray[np.int64],
    counts: NDArray[np.int64],
    seed: int,
    by: By,
    stratify: Strata | None,
    bins: int,
) -> NDArray[np.int64]:
    """Return the part of every structure."""
    if not (stratify is None or isinstance(stratify, str | list | tuple) or callable(stratify)):
        raise InputError(f"stratify is a name, a function or a list of those, not {stratify!r}")
    for how in (by, *_criteria(stratify)):
        if not isinstance(how, str) and not callable(how):
            raise InputError(f"by and stratify are names or functions, not {how!r}")
    if stratify is not None and by != "random":
        raise InputError('stratify needs by="random": groups that stay together can\'t be spread')
    if by == "order":
        return np.repeat(np.arange(len(counts)), counts)
    if by == "random":
        return dealt(stratified(opened, rows, _criteria(stratify), bins), counts, int(seed))
    groups = grouped(opened, rows, by)
    n_groups, n_parts = int(groups.max(initial=-1)) + 1, np.count_nonzero(counts)
    if n_groups < n_parts:
        raise InputError(
            f"by={by!r} makes {counted(n_groups, 'group')}, which stay whole: too few for {n_parts} parts"
        )
    return dealt_whole(groups, counts, int(seed))


def _keep(opened: Store, rows: NDArray[np.int64], parts: Split, name: str, overwrite: bool) -> None:
    """Write a split into its store, unless it is there."""
    codes = _codes(opened, rows, parts)
    grid = choose_grid(len(codes), 1, STRUCTURE)
    said = {"long_name": "place of the structure's part in labels, -1 for none"}
    spec = ArraySpec("codes", (STRUCTURE,), codes.shape, "int8", said, -1, grid)
    attrs = {"labels": list(parts.labels), "recipe": parts.recipe}
    keep(opened, _KIND, name, "split", attrs, [(spec, codes)], overwrite)


def _codes(opened: Store, rows: NDArray[np.int64], parts: Split) -> NDArray[np.int8]:
    """Return the code of every structure of a store, of which some were split."""
    codes = np.full(opened.n_structures, -1, dtype=np.int8)
    codes[rows] = parts.codes
    return codes
