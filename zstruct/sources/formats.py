"""The table of file formats: which there are, what their files are called, and where their readers are.

Readers are imported when they are first used. What becomes of a file is decided by the registry.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zstruct.sources.compression import stem
from zstruct.sources.content import Content

__all__ = ["CLASSES", "FORMATS", "UNREAD", "Format"]


def _begins_as_runner(content: Content) -> bool:
    if not stem(content.name).lower().endswith(".data"):
        return False
    from zstruct.sources.runner.source import is_runner_file

    return is_runner_file(content)


def _begins_as_lammps(content: Content) -> bool:
    name = stem(content.name).lower()
    if not (name.endswith((".lammpstrj", ".dump", ".lammpsdump")) or name.startswith("dump.")):
        return False
    from zstruct.sources.lammps.source import is_lammps_dump

    return is_lammps_dump(content)


def _begins_as_mtp(content: Content) -> bool:
    if not stem(content.name).lower().endswith(".cfg"):
        return False
    from zstruct.sources.mtp.source import is_mtp_file

    return is_mtp_file(content)


def _begins_with_structures(content: Content) -> bool:
    if not stem(content.name).lower().endswith(".json"):
        return False
    from zstruct.sources.json_records.source import is_json_of_structures

    return is_json_of_structures(content)


def _begins_as_cp2k(content: Content) -> bool:
    if not stem(content.name).lower().endswith(".xyz"):
        return False
    from zstruct.sources.xyz.cp2k import is_cp2k_file

    return is_cp2k_file(content)


def _begins_as_cp2k_output(content: Content) -> bool:
    from zstruct.sources.cp2k.source import is_cp2k_output

    return is_cp2k_output(content)


def _begins_as_outcar(content: Content) -> bool:
    from zstruct.sources.vasp.source import is_outcar

    return is_outcar(content)


def _begins_as_vasprun(content: Content) -> bool:
    if not stem(content.name).lower().endswith(".xml"):
        return False
    from zstruct.sources.vasp.source import is_vasprun

    return is_vasprun(content)


@dataclass(frozen=True)
class Format:
    """A row of the table of formats.

    Parameters
    ----------
    name
        What ``reader=`` calls it.
    module, source
        Where its source is, and the name of that class.
    suffixes
        Ends of file names, in lower case, that are this format; that of a compression may follow.
    matches
        Tells of content whether it is of this format, where suffixes don't.
    begins
        The same, of files that are named themselves: those of directories are known by their names.
    ase
        Formats of ASE that this reads better: units that a file states, labels that ASE drops.
    folder
        Names of files; a directory that has all of them is of this format as a whole.
    options
        Those of `SourceOptions` that its source takes, by their names.
    title
        What people call the format.
    extra
        What must be installed to read it, as pip has it: ``zstruct[hdf5]``.
    units
        Those of lengths and energies, or who says them.
    seeks
        Whether files are read here and there, which they can't be if they are compressed as a whole.
    """

    name: str
    module: str
    source: str
    suffixes: Sequence[str] = ()
    matches: Callable[[Content], bool] | None = None
    begins: Callable[[Content], bool] | None = None
    ase: tuple[str, ...] = ()
    folder: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    title: str = ""
    extra: str = ""
    units: str = "eV, angstrom"
    seeks: bool = False


#: The formats that are built in. Adding one is adding its source and a row.
FORMATS = (
    Format(
        "xyz",
        "zstruct.sources.xyz.source",
        "XYZSource",
        (".xyz",),
        ase=("xyz", "extxyz"),
        title="extended XYZ, plain XYZ",
        units="eV, angstrom, or what the file says",
    ),
    Format(
        "extxyz",
        "zstruct.sources.xyz.source",
        "XYZSource",
        (".extxyz",),
        title="extended XYZ",
        units="as `xyz`",
    ),
    Format(
        "xsf", "zstruct.sources.xsf.source", "XSFSource", (".xsf",), ase=("xsf",), title="XSF, aenet's too"
    ),
    Format(
        "runner",
        "zstruct.sources.runner.source",
        "RunnerSource",
        matches=_begins_as_runner,
        ase=("runnerdata",),
        title="RuNNer and n2p2, input.data",
        units="open",
    ),
    Format(
        "lammps-dump",
        "zstruct.sources.lammps.source",
        "LAMMPSDumpSource",
        matches=_begins_as_lammps,
        ase=("lammps-dump-text",),
        title="dumps of LAMMPS, as text",
        units="what `ITEM: UNITS` says, else open",
    ),
    Format(
        "deepmd",
        "zstruct.sources.deepmd.source",
        "DeePMDSource",
        folder=("type.raw",),
        title="DeePMD-kit: npy, mixed npy and raw",
    ),
    Format(
        "mtp-cfg",
        "zstruct.sources.mtp.source",
        "MTPSource",
        matches=_begins_as_mtp,
        title="moment tensor potentials (MLIP), .cfg",
    ),
    Format(
        "cp2k-xyz",
        "zstruct.sources.xyz.cp2k",
        "CP2KSource",
        matches=_begins_as_cp2k,
        title="trajectories of CP2K, -pos-1.xyz with -frc-1.xyz and -1.cell",
        units="CP2K: hartree, bohr, angstrom",
    ),
    Format(
        "cp2k-out",
        "zstruct.sources.cp2k.source",
        "CP2KOutputSource",
        begins=_begins_as_cp2k_output,
        title="output of CP2K, of one geometry",
        units="what CP2K says: hartree, bohr, angstrom, GPa",
    ),
    Format(
        "vasprun",
        "zstruct.sources.vasp.source",
        "VasprunSource",
        begins=_begins_as_vasprun,
        ase=("vasp-xml",),
        title="vasprun.xml of VASP",
        units="VASP: eV, angstrom, kbar",
    ),
    Format(
        "outcar",
        "zstruct.sources.vasp.source",
        "OutcarSource",
        begins=_begins_as_outcar,
        ase=("vasp-out",),
        title="OUTCAR of VASP",
        units="VASP: eV, angstrom, kbar",
    ),
    Format(
        "json",
        "zstruct.sources.json_records.source",
        "JSONSource",
        matches=_begins_with_structures,
        title="JSON of pymatgen, MPtrj, mlearn and FitSNAP",
        units="eV, angstrom, or what FitSNAP says",
    ),
    Format(
        "ase",
        "zstruct.sources.ase.source",
        "ASESource",
        (".traj", ".cif"),
        title="whatever ASE reads",
        units="ASE converts",
    ),
    Format(
        "ase-db",
        "zstruct.sources.ase.database",
        "ASEDatabaseSource",
        (".db", ".aselmdb"),
        ase=("db", "json"),
        title="ASE databases: SQLite, JSON, LMDB (OMat24, OMol25)",
        units="eV, angstrom, or what the metadata say",
        seeks=True,
    ),
    Format(
        "npz",
        "zstruct.sources.npz.source",
        "NPZSource",
        (".npz",),
        options=("places",),
        title="NPZ: MD17, padded and packed arrays",
        units="kcal/mol of MD17, else open",
        seeks=True,
    ),
    Format(
        "hdf5",
        "zstruct.sources.hdf5.source",
        "HDF5Source",
        (".h5", ".hdf5"),
        options=("places", "allow_pickle"),
        title="HDF5: ANI, SPICE, MACE, aenet, groups and flat arrays",
        extra="zstruct[hdf5]",
        seeks=True,
    ),
    Format(
        "parquet",
        "zstruct.sources.parquet.source",
        "ParquetSource",
        (".parquet",),
        options=("places",),
        title="Parquet: a row for each structure, as ColabFit and LeMaterial have them",
        extra="zstruct[parquet]",
        units="what the file says, eV and angstrom of ColabFit, else open",
        seeks=True,
    ),
    Format(
        "pacemaker",
        "zstruct.sources.pacemaker.source",
        "PacemakerSource",
        (".pckl.gzip", ".pkl.gzip", ".pckl"),
        options=("allow_pickle",),
        title="data frames of pacemaker",
    ),
    Format(
        "packed-memmap",
        "zstruct.sources.packed_memmap.source",
        "PackedMemmapSource",
        folder=("offsets.npy", "Z_pack.int32", "R_pack.f32"),
        title="packed memmap directory (mmml)",
        units="open",
    ),
    Format(
        "store",
        "zstruct.sources.store.source",
        "StoreSource",
        options=("storage_options",),
        title="zstruct's own stores: directories, zip files, URLs",
    ),
    Format(
        "archive",
        "zstruct.sources.archive.source",
        "ArchiveSource",
        (".tar", ".tgz", ".tbz", ".tbz2", ".txz", ".tzst", ".zip"),
        options=("places", "allow_pickle"),
        title="tar and zip archives of any of these",
        units="of each file",
    ),
)

#: The modules of what makes sources: of files, and of what is in memory.
CLASSES = {row.source: row.module for row in FORMATS} | {
    "AtomsSource": "zstruct.sources.ase.source",
    "arrays": "zstruct.sources.memory_arrays.source",
}

_OBJECTS = "load it yourself if you trust it, and give what is in it: ase.Atoms, structures or arrays"
_ARRAYS = "read it yourself and give its arrays: zstruct.sources.arrays(...)"
_TOPOLOGY = (
    "it names no elements; read it together with its topology, with MDAnalysis or mdtraj, and give ase.Atoms"
)
#: What files are that no reader knows, and what to do, by the ends of their names.
UNREAD = {
    (".pkl", ".pickle", ".p", ".joblib"): f"this is a pickle, which can run any code; {_OBJECTS}",
    (".pt", ".pth", ".ckpt"): f"this is made by torch.save, and is a pickle; {_OBJECTS}",
    (".lmdb", ".mdb"): f"this is an LMDB of pickles, as OCP has them, and no .aselmdb; {_OBJECTS}",
    (".h5", ".hdf5", ".hdf"): f"this is HDF5 of no kind that is known; {_ARRAYS}",
    (".h5md",): "this is H5MD; read it with MDAnalysis or h5py, and give ase.Atoms or arrays",
    (".xtc", ".trr", ".dcd", ".nc", ".ncdf", ".mdcrd", ".tng"): f"this is a trajectory; {_TOPOLOGY}",
    (".arrow", ".feather", ".lance"): (
        "this is a table, and of tables Parquet is read: write it as that, with pyarrow.parquet.write_table "
        "or datasets.Dataset.to_parquet"
    ),
    (".csv", ".tsv", ".xlsx", ".jsonl"): f"this is a table, and no format of structures; {_ARRAYS}",
    (".npy", ".mat"): f"these are arrays that don't say what they are; {_ARRAYS}",
    (".tfrecord", ".tfrecords", ".msgpack", ".bson"): f"records of this kind are not read; {_OBJECTS}",
    (".tar", ".tgz", ".zip", ".7z", ".rar"): "this archive is not read; unpack it and give the directory",
    (".xml",): "of XML, vasprun.xml is known by how it begins; name others with reader='ase:qbox', ...",
    (
        ".log",
        ".out",
        ".dat",
    ): "many programs write files of this name, and this one begins as none of them",
}
