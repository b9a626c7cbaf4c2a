"""What users have, behind one protocol: from paths and objects to sources.

Readers register under a name, with the file names they know (``registry``); `expand` turns whatever
the user gave into a list of sources. Nothing is opened here, and readers are imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zstruct.lazy import lazy_names
from zstruct.sources.formats import CLASSES
from zstruct.sources.inputs import expand
from zstruct.sources.registry import register
from zstruct.sources.source import BadFrame, FileSource, Raw, RawColumn, Slice, Source

if TYPE_CHECKING:
    from zstruct.sources.archive.source import ArchiveSource
    from zstruct.sources.ase.database import ASEDatabaseSource
    from zstruct.sources.ase.source import ASESource, AtomsSource
    from zstruct.sources.cp2k.source import CP2KOutputSource
    from zstruct.sources.deepmd.source import DeePMDSource
    from zstruct.sources.hdf5.source import HDF5Source
    from zstruct.sources.json_records.source import JSONSource
    from zstruct.sources.lammps.source import LAMMPSDumpSource
    from zstruct.sources.memory_arrays.source import arrays
    from zstruct.sources.mtp.source import MTPSource
    from zstruct.sources.npz.source import NPZSource
    from zstruct.sources.pacemaker.source import PacemakerSource
    from zstruct.sources.packed_memmap.source import PackedMemmapSource
    from zstruct.sources.parquet.source import ParquetSource
    from zstruct.sources.runner.source import RunnerSource
    from zstruct.sources.store.source import StoreSource
    from zstruct.sources.vasp.source import OutcarSource, VasprunSource
    from zstruct.sources.xsf.source import XSFSource
    from zstruct.sources.xyz.cp2k import CP2KSource
    from zstruct.sources.xyz.source import XYZSource

__all__ = [
    "ASEDatabaseSource",
    "ASESource",
    "ArchiveSource",
    "AtomsSource",
    "BadFrame",
    "CP2KOutputSource",
    "CP2KSource",
    "DeePMDSource",
    "FileSource",
    "HDF5Source",
    "JSONSource",
    "LAMMPSDumpSource",
    "MTPSource",
    "NPZSource",
    "OutcarSource",
    "PacemakerSource",
    "PackedMemmapSource",
    "ParquetSource",
    "Raw",
    "RawColumn",
    "RunnerSource",
    "Slice",
    "Source",
    "StoreSource",
    "VasprunSource",
    "XSFSource",
    "XYZSource",
    "arrays",
    "expand",
    "register",
]

__getattr__, __dir__ = lazy_names(__name__, CLASSES)
