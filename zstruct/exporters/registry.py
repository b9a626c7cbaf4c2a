"""The exporters, by the name of their format, and which of them a file name asks for.

They are imported when they are first used.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zstruct.errors import InputError
from zstruct.exporters.exporter import Exporter, TextExporter
from zstruct.sources.compression import stem
from zstruct.text import nearest

__all__ = ["FORMATS", "Format", "exporter_of"]


@dataclass(frozen=True)
class Format:
    """A row of the table of formats that can be written.

    Parameters
    ----------
    name
        What ``format=`` calls it.
    module, exporter
        Where its exporter is, and the name of that class.
    suffixes
        Ends of file names, in lower case, that ask for it.
    title
        What people call it.
    extra
        What must be installed to write it, as pip has it: ``zstruct[hdf5]``.
    """

    name: str
    module: str
    exporter: str
    suffixes: Sequence[str] = ()
    title: str = ""
    extra: str = ""


#: The formats that can be written. Adding one is adding its exporter and a row.
FORMATS: tuple[Format, ...] = (
    Format("xyz", "zstruct.exporters.xyz", "XYZExporter", (".xyz", ".extxyz"), "extended XYZ"),
    Format("extxyz", "zstruct.exporters.xyz", "XYZExporter", title="extended XYZ"),
    Format("xsf", "zstruct.exporters.xsf", "XSFExporter", (".xsf",), "aenet, XCrySDen: a file each, or one"),
    Format("traj", "zstruct.exporters.ase", "ASETrajectoryExporter", (".traj",), "ASE trajectory"),
    Format("ase-db", "zstruct.exporters.ase", "ASEDatabaseExporter", (".db",), "ASE database, SQLite"),
    Format(
        "aselmdb",
        "zstruct.exporters.ase",
        "ASELMDBExporter",
        (".aselmdb",),
        "ASE database, LMDB",
        "zstruct[aselmdb]",
    ),
    Format(
        "parquet",
        "zstruct.exporters.parquet",
        "ParquetExporter",
        (".parquet",),
        "Parquet table, a row each",
        "zstruct[parquet]",
    ),
    Format(
        "packed-memmap",
        "zstruct.exporters.packed_memmap",
        "PackedMemmapExporter",
        title="packed memmap directory (mmml)",
    ),
    Format(
        "deepmd-npy",
        "zstruct.exporters.deepmd",
        "DeePMDExporter",
        title="DeePMD-kit, npy: a system for each composition",
    ),
    Format(
        "runner",
        "zstruct.exporters.runner",
        "RunnerExporter",
        ("input.data",),
        title="RuNNer and n2p2, input.data in angstrom and eV",
    ),
    Format(
        "mtp-cfg",
        "zstruct.exporters.mtp",
        "MTPExporter",
        (".cfg",),
        title="moment tensor potentials (MLIP), .cfg",
    ),
    Format("npz", "zstruct.exporters.npz", "NPZExporter", (".npz",), title="NPZ, padded arrays"),
    Format(
        "hdf5-flat",
        "zstruct.exporters.hdf5",
        "FlatHDF5Exporter",
        (".h5", ".hdf5"),
        title="HDF5, flat arrays",
        extra="zstruct[hdf5]",
    ),
    Format(
        "hdf5",
        "zstruct.exporters.hdf5",
        "HDF5Exporter",
        title="HDF5, a group for each structure",
        extra="zstruct[hdf5]",
    ),
    Format(
        "mace-hdf5",
        "zstruct.exporters.mace_hdf5",
        "MACEHDF5Exporter",
        title="HDF5 of MACE, preprocessed",
        extra="zstruct[hdf5]",
    ),
    Format("npz-ragged", "zstruct.exporters.npz", "RaggedNPZExporter", title="NPZ, packed arrays"),
)


def exporter_of(path: str, format: Any = None) -> Exporter:
    """Return the exporter that `format` names, or the name of the target.

    Parameters
    ----------
    path
        The target.
    format
        The name of a format, or an `Exporter`.

    Raises
    ------
    InputError
        If there is no such format, or none has this suffix.
    """
    if isinstance(format, Exporter):
        return format
    known = ", ".join(repr(row.name) for row in FORMATS)
    if format is not None:
        row = next((row for row in FORMATS if row.name == format), None)
        if row is None:
            near = nearest(str(format), [row.name for row in FORMATS])
            meant = f"; is it {near!r}?" if near else ""
            raise InputError(f"there is no format {format!r} to export to{meant}; those are {known}")
    else:
        name = stem(os.path.basename(path.rstrip("/"))).lower()
        row = next((row for row in FORMATS if name.endswith(tuple(row.suffixes))), None)
        if row is None:
            raise InputError(
                f"the name does not say which format it is to have: give format= (--format), one of {known}",
                path,
            )
    made: Exporter = getattr(importlib.import_module(row.module), row.exporter)()
    if stem(path) != path and not isinstance(made, TextExporter):
        raise InputError(f"only text is compressed as a whole, and {row.name} is none", path)
    return made
