"""Draw splits: which structures to train, validate and test on.

`split` and `kfold` turn what users want into parts of a store or dataset, and keep them there if they
are given a name.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import check, integer, shown
from zstruct.errors import InputError
from zstruct.keywords import keywords
from zstruct.splits.allocation import dealt, dealt_whole, rounded
from zstruct.splits.said_parts import codes_of_parts
from zstruct.splits.sizes import counts_of, is_row, labels_of, parts_of_file
from zstruct.splits.strata import By, grouped, stratified
from zstruct.store.datasets import Dataset, store_and_rows
from zstruct.store.groups import check_place
from zstruct.store.split_parts import Split
from zstruct.store.splits import check_folds, keep_split
from zstruct.store.store import Store
from zstruct.text import counted

__all__ = ["kfold", "split"]


Strata = By | Sequence[By]


@keywords()
def split(
    store: str | os.PathLike[str] | Store | Dataset,
    sizes: Sequence[float] | Mapping[str, Any] | Split | str | os.PathLike[str],
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
        be left out, but none may be in two parts. A part may also be an expression, a `Selection`, what
        `farthest` or `leverage` returns, a function of the store that returns a mask, a dataset of the
        store, `Duplicates`, whose structures are meant, or ``...``, all that is in no other part. An
        expression for which no structure is left is an error. Or the
        parts are an ``.npz`` file of indices, whose names lose
        ``idx_`` or ``_idx``: the split files of SchNetPack, say. Of a file that holds other things
        beside indices called so, as kinoml's, these alone are taken. Or a `Split`, to keep it.
    seed
        Seed of the random order. Not used by ``"order"`` or where parts are given.
    by
        How structures are dealt out: ``"random"``, ``"order"``, ``"formula"``, ``"duplicate"`` or a field.

        * ``"random"``: each on its own.
        * ``"order"``: the first ones to the first part, and so on.
        * ``"formula"``: those of the same formula stay together, in one part.
        * ``"duplicate"``: those that are alike stay together, within 0.01 angstrom; see `zstruct.duplicates`,
          whose result is a function of the store for any other tolerance.
        * The name of a field with one text, integer or boolean for each structure, such as
          ``"source"`` or ``"config_type"``: those of the same value stay together. Those without one
          are a group, too.
        * A function of the `Store` that returns one value for each of its structures; those of the
          same value stay together.

        Groups make sizes inexact: they are as near to those asked for as a few draws get them, and no
        part that is to have structures is empty.
    stratify
        What is spread over all parts in proportion: one or several fields. As `by` groups, but each value
        is in every part, to within one structure; sizes stay exact. Only for ``by="random"``. Numbers of
        many values are cut into `bins` of about equal number: floats, ``"energy_per_atom"``,
        ``"n_atoms"``, and whole numbers that have more values than bins and fewer than ten structures for
        each, be they of a field or of a function. Of several criteria in a list, each combination of
        values is spread.
    bins
        Into how many ranges numbers to stratify by are cut; those without a value are one more.
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
        If sizes don't sum up, a part that is said in words would be empty, a field can't group structures,
        there are fewer groups than parts, or another argument can't be used.
    StoreExistsError
        If the store has another split of this name and `overwrite` was not given.
    BuildLockedError
        If another process is writing groups into the store.
    StoreFormatError
        If there is no finished store.
    ChangedInputError
        If the store was replaced meanwhile.

    Warns
    -----
    UserWarning
        If a fraction above zero comes to no structure.

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
        sizes = parts_of_file(sizes)
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
        named = labels_of(list(sizes), len(sizes))
        codes, said = codes_of_parts(sizes, opened, rows)
        recipe = {"method": "given", "seed": None, "stratify": None} | ({"parts": said} if said else {})
        recipe["sizes"] = [int(np.count_nonzero(codes == k)) for k in range(len(named))]
    else:
        if isinstance(sizes, str) or not is_row(sizes):
            raise InputError(f"sizes is a list of one size for each part, not {shown(sizes)}")
        named = labels_of(labels, len(sizes))
        counts = counts_of(sizes, len(rows))
        codes = _drawn(opened, rows, counts, seed, by, stratify, bins)
        for label, size, n in zip(named, sizes, counts.tolist(), strict=True):
            if size > 0 and n == 0:
                warnings.warn(
                    f"the part {label!r} has no structure: {size:g} of {counted(len(rows), 'structure')} "
                    "comes to none",
                    stacklevel=3,
                )
        recipe = _recipe(by, seed, stratify, bins) | {
            "sizes": [int(x) if isinstance(x, Integral) else float(x) for x in sizes]
        }
    parts = Split(named, codes.astype(np.int8), recipe | {"structures": len(rows)} | _selection_of(store))
    if name is not None:
        keep_split(opened, rows, parts, name, overwrite)
    return parts


@keywords()
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
    recipe |= _selection_of(store)
    made = [
        Split(("train", "val"), (folds == fold).astype(np.int8), recipe | {"fold": fold}) for fold in range(k)
    ]
    if name is not None:
        check_folds(opened, rows, made, name, overwrite)
        for fold, parts in enumerate(made):
            keep_split(opened, rows, parts, f"{name}-{fold}", overwrite)
    return made


def _selection_of(given: Any) -> dict[str, str]:
    """Return how the structures that are split were chosen, where what is given says so."""
    said = str(getattr(given, "selection", None) or "")
    return {"selection": said} if said else {}


def _opened(
    given: str | os.PathLike[str] | Store | Dataset, storage_options: Mapping[str, Any] | None
) -> tuple[Store, NDArray[np.int64]]:
    """Return the store and which of its structures are to be split."""
    opened, rows = store_and_rows(given, storage_options)
    if rows is None:
        return opened, np.arange(opened.n_structures)
    found, times = np.unique(rows, return_counts=True)
    if len(found) < len(rows):
        raise InputError(
            f"the dataset has structure {found[times > 1][0]} of the store more than once: "
            "it could be in two parts; split first, then repeat"
        )
    return opened, rows


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
