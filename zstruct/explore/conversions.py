"""Structures of a Dataset as those of other packages, and as files: what `ds.zs` hands on.

Packages and exporters are imported when they are needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from zstruct.explore.arguments import check_labels, the_structures
from zstruct.explore.ragged_dataset import RaggedDataset
from zstruct.explore.selection import picked

if TYPE_CHECKING:
    from ase import Atoms

    from zstruct.exporters import Exporter, ExportReport

__all__ = ["to_ase", "to_file", "to_pymatgen"]


def to_ase(ragged: RaggedDataset, structure: Any = None) -> Atoms | list[Atoms]:
    """Return structures as `ase.Atoms`; reads them.

    Parameters
    ----------
    ragged
        The Dataset.
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
    from zstruct.explore.to_ase import to_atoms

    for name in ("numbers", "positions"):
        ragged.variable(name)
    which = the_structures(slice(None) if structure is None else structure, "isel")
    check_labels(which, ragged.dataset)
    made = to_atoms(ragged.cut(picked(which, ragged.n_structures)).compute())
    return made[0] if isinstance(structure, int | np.integer) else made


def to_pymatgen(ragged: RaggedDataset, structure: Any = None) -> Any:
    """Return structures as Structures and Molecules of pymatgen; reads them.

    Parameters
    ----------
    ragged
        The Dataset.
    structure
        As for `isel`; all if not given.

    Returns
    -------
    pymatgen.core.Structure or Molecule, or list of them
        One for an integer, else a list.

    Raises
    ------
    IndexError, InputError, KeyError
        As for `to_ase`, and if a cell has no volume.
    MissingExtraError
        If pymatgen is not installed.
    """
    from zstruct.explore.to_pymatgen import to_structure

    made = to_ase(ragged, structure)
    return list(map(to_structure, made)) if isinstance(made, list) else to_structure(made)


def to_file(
    ragged: RaggedDataset,
    path: str | os.PathLike[str],
    format: str | Exporter | None = None,
    *,
    fields: Iterable[str] | None = None,
    exclude: Iterable[str] = (),
    with_split: str | None = None,
    overwrite: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> ExportReport:
    """Write structures into a file of another format; reads them.

    Parameters
    ----------
    ragged
        The Dataset.
    path, format, with_split, overwrite, workers, progress
        As for `zstruct.export`.
    fields
        The variables to export, besides numbers, positions, cell and pbc.
    exclude
        Variables to leave out.

    Raises
    ------
    InputError, BuildLockedError, WriteError, StoreExistsError, MissingExtraError
        As for `zstruct.export`; and if the Dataset has lost `offsets` or `n_atoms`.

    Examples
    --------
    >>> import tempfile, ase.build, ase.io, zstruct
    >>> folder = tempfile.mkdtemp()
    >>> molecules = [ase.build.molecule(name) for name in ("CH4", "H2O", "CO2")]
    >>> report = zstruct.build(molecules, folder + "/a.zarr", progress=False)
    >>> ds = zstruct.open(folder + "/a.zarr").zs.select("O")
    >>> ds = ds.assign(score=2.0 * ds.n_atoms)
    >>> report = ds.zs.export(folder + "/oxygen.xyz", progress=False)
    >>> [(str(atoms.symbols), float(atoms.info["score"])) for atoms in ase.io.iread(folder + "/oxygen.xyz")]
    [('OH2', 6.0), ('CO2', 6.0)]
    """
    from zstruct.explore.exported import DatasetStructures
    from zstruct.exporters.export import write_structures

    chosen = DatasetStructures(ragged, fields, exclude, with_split)
    return write_structures(chosen, path, format, overwrite=overwrite, workers=workers, progress=progress)
