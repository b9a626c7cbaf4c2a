"""Maps of structures: a few numbers of each that keep apart what its features do, as features, too."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import FLAG, check, choice, count, require, shown
from zstruct.coverage.spectrum import Spectrum, blocks_of, first_axes
from zstruct.coverage.vectors import Vectors, vectors_of
from zstruct.errors import ArgumentTypeError, InputError, MissingExtraError
from zstruct.features.external.group import add
from zstruct.features.groups import open_group
from zstruct.keywords import keywords
from zstruct.paths_and_urls import check_writable
from zstruct.schema import STRUCTURE
from zstruct.store.group_publication import check_name
from zstruct.store.store import Store
from zstruct.text import counted

__all__ = ["ProjectReport", "project"]

_METHOD = choice("pca", "umap")


@dataclass(frozen=True)
class ProjectReport:
    """Result of `zstruct.project`; printing it gives a summary.

    Parameters
    ----------
    path
        The store.
    group
        Path of the group with the map in it.
    method
        ``"pca"`` or ``"umap"``.
    n_structures
        Structures of the store.
    n
        Numbers of each.
    explained
        Which part of the variance of all features each axis has, one for each; none of UMAP.
    added
        Whether this call wrote it; it may have been there.
    seconds
        How long this call took.
    """

    path: str
    group: str
    method: str
    n_structures: int
    n: int
    explained: tuple[float, ...]
    added: bool
    seconds: float

    def __str__(self) -> str:
        did = f"made in {self.seconds:.2f} s" if self.added else "there already, nothing to do"
        line = f"{self.path}: {self.group}: {self.method} of {counted(self.n_structures, 'structure')}"
        if self.explained:
            parts = ", ".join(f"{part:.1%}" for part in self.explained)
            line += f", with {parts} of the variance"
        return f"{line}, {did}"


@keywords()
def project(
    store: str | os.PathLike[str] | Store,
    features: str,
    name: str = "map",
    *,
    method: Literal["pca", "umap"] = "pca",
    n: int = 2,
    standardise: bool = True,
    seed: int = 0,
    overwrite: bool = False,
) -> ProjectReport:
    """Keep a map of all structures in a store: where each lies in two dimensions, by its features.

    Writes the group ``features/<name>``, with `n` numbers of each structure, as `zstruct.features.add` does;
    ``ds.zs.features("map")`` has them. A structure's vector is the mean of the features of its atoms, as for
    `zstruct.farthest`.

    Parameters
    ----------
    store
        The store, in a local directory.
    features
        Name of stored features.
    name
        Name of the group.
    method
        ``"pca"``: principal components, out of core; the axes are exact up to 4,096 features, and those of a
        randomised singular value decomposition beyond that. ``"umap"``: by umap-learn, if that is installed,
        which needs all vectors in memory.
    n
        How many numbers each structure has.
    standardise
        Whether each feature has its mean over the store taken off and is divided by its standard deviation.
    seed
        Of UMAP.
    overwrite
        Whether another group of this name may be replaced.

    Returns
    -------
    ProjectReport
        What there is now, and how much of the variance it has.

    Raises
    ------
    InputError
        If there are no such features, they don't tell structures apart or are missing somewhere, or they have
        fewer independent axes.
    MissingExtraError
        If umap-learn is needed and not installed.
    StoreExistsError
        If there is another group of this name, and `overwrite` was not given.
    StaleGroupError, BuildLockedError, StoreFormatError, ChangedInputError, WriteError
        As for `zstruct.features.add`.

    Examples
    --------
    >>> import tempfile, ase.build, numpy as np, zstruct
    >>> path = tempfile.mkdtemp() + "/water.zarr"
    >>> report = zstruct.build([ase.build.molecule("H2O")] * 4, path, progress=False)
    >>> rows = np.array([[0, 0, 1.0], [2, 0, 1], [4, 0, 1], [6, 0, 1.5]])
    >>> report = zstruct.features.add(path, "x", rows, level="structure")
    >>> [round(part, 3) for part in zstruct.project(path, "x", standardise=False).explained]
    [0.996, 0.004]
    """
    began = time.perf_counter()
    path = check_writable(store.path if isinstance(store, Store) else store)
    check(seed=seed, overwrite=overwrite)
    require("method", _METHOD, method)
    require("standardise", FLAG, standardise)
    wanted = count("n", n, 1)
    check_name(name, "a group")
    if not isinstance(features, str):
        raise ArgumentTypeError(f"features is the name of stored features, not {shown(features)}")
    if name == features:
        raise InputError(f"the map of features {features!r} needs a name of its own")
    opened = Store(path)
    found = open_group(opened, "features", features)
    standard = "standardised " if standardise else ""
    said = f"{method} of the {standard}features {features!r}, sha256 {found.manifest['sha256'][:12]}"
    if method == "umap":
        said += f", seed {seed}"
    explained: tuple[float, ...] = ()
    with vectors_of(opened, features, standardise=standardise) as vectors:
        values: Any
        if method == "umap":
            values = _by_umap(vectors, wanted, seed)
        else:
            spectrum = first_axes(vectors, wanted)
            if spectrum.rank < wanted:
                raise InputError(
                    f"the features {features!r} of {path} have only {counted(spectrum.rank, 'axis', 'axes')} "
                    f"along which structures differ, not {wanted}"
                )
            explained = tuple(float(part) for part in spectrum.squares / spectrum.total)
            values = _along(vectors, spectrum)
        names = [f"{method}_{k}" for k in range(wanted)]
        report = add(
            path,
            name,
            values,
            level=STRUCTURE,
            feature_names=names,
            dtype="float32",
            description=said,
            overwrite=overwrite,
        )
    seconds = time.perf_counter() - began
    return ProjectReport(
        path, report.group, method, opened.n_structures, wanted, explained, report.added, seconds
    )


def _along(vectors: Vectors, spectrum: Spectrum) -> Iterator[NDArray[np.float64]]:
    for _, block in blocks_of(vectors):
        yield spectrum.along(block)


def _by_umap(vectors: Vectors, n: int, seed: int) -> NDArray[np.float32]:
    try:
        from umap import UMAP
    except ModuleNotFoundError as error:
        if error.name != "umap":
            raise
        raise MissingExtraError(
            'a map by UMAP needs umap-learn, which is not installed: pip install "zstruct[umap]"'
        ) from error
    made = UMAP(n_components=n, random_state=seed).fit_transform(vectors.block(0, len(vectors)))
    return np.asarray(made, np.float32)
