"""The readers of file formats, by name, and which of them knows a file.

Readers are imported when they are first used.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from zstruct.errors import InputError
from zstruct.keywords import keywords
from zstruct.sources.ase.detection import DetectionError, UnreadableSource, ase_format, ase_format_by_name
from zstruct.sources.compression import stem
from zstruct.sources.content import Content
from zstruct.sources.options import SourceOptions
from zstruct.sources.source import Source

__all__ = [
    "CLASSES",
    "FORMATS",
    "NAME_IT",
    "UNREAD",
    "Factory",
    "Format",
    "added",
    "detect",
    "folder_reader",
    "forced",
    "is_archive",
    "is_input",
    "reader_name",
    "reader_of",
    "register",
]

Factory = Callable[..., Source]
_DEFAULTS = SourceOptions()


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
    """

    name: str
    module: str
    source: str
    suffixes: Sequence[str] = ()
    matches: Callable[[Content], bool] | None = None
    ase: tuple[str, ...] = ()
    folder: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    title: str = ""
    extra: str = ""
    units: str = "eV, angstrom"


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
        "zstruct.sources.ase.source",
        "ASEDatabaseSource",
        (".db", ".aselmdb"),
        ase=("db", "json"),
        title="ASE databases",
        units="eV, angstrom, or what the metadata say",
    ),
    Format(
        "npz",
        "zstruct.sources.npz.source",
        "NPZSource",
        (".npz",),
        options=("places",),
        title="NPZ: MD17, padded and packed arrays",
        units="kcal/mol of MD17, else open",
    ),
    Format(
        "hdf5",
        "zstruct.sources.hdf5.source",
        "HDF5Source",
        (".h5", ".hdf5"),
        options=("places", "allow_pickle"),
        title="HDF5: ANI, SPICE, MACE, aenet, groups and flat arrays",
        extra="zstruct[hdf5]",
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
        "archive",
        "zstruct.sources.archive.source",
        "ArchiveSource",
        (".tar", ".tgz", ".tbz", ".tbz2", ".txz", ".tzst", ".zip"),
        options=("places", "allow_pickle"),
        title="tar and zip archives of any of these",
        units="of each file",
    ),
)

#: The modules of the classes of sources: of files, and of what is in memory.
CLASSES = {row.source: row.module for row in FORMATS} | {
    "ArraySource": "zstruct.sources.arrays.source",
    "AtomsSource": "zstruct.sources.ase.source",
}

# The reader of ours by ASE's word for the format.
_BETTER = {format: row.name for row in FORMATS for format in row.ase}
_ARCHIVES = next(tuple(row.suffixes) for row in FORMATS if row.name == "archive")

NAME_IT = (
    f"name the format with reader={', '.join(repr(row.name) for row in FORMATS)}, 'ase:FORMAT' (one of "
    "ASE's) or one given to zstruct.sources.register"
)


@dataclass(frozen=True)
class _Reader:
    name: str
    factory: Factory
    suffixes: tuple[str, ...]
    matches: Callable[[Content], bool] | None
    options: tuple[str, ...] = ()
    folder: tuple[str, ...] = ()

    def with_options(self, given: SourceOptions) -> Factory:
        """Return what makes a source with the options that it takes."""
        if given.places and "places" not in self.options:
            name = next(iter(given.places))
            raise InputError(
                f"keys={{{name!r}: ...}}: the reader {self.name!r} knows where {name} are by itself"
            )
        return partial(self.factory, **given.of(self.options))

    def knows(self, content: Content, name: str) -> bool:
        """Tell whether content is of this format, given with its name in lower case, without compression."""
        return name.endswith(self.suffixes) or (self.matches is not None and self.matches(content))


_READERS: dict[str, _Reader] = {}


def is_archive(name: str) -> bool:
    """Tell whether a file of this name holds others.

    Examples
    --------
    >>> is_archive("a.tar.bz2"), is_archive("a.xyz.bz2")
    (True, False)
    """
    return stem(name).lower().endswith(_ARCHIVES)


def added() -> tuple[_Reader, ...]:
    """Return the readers that are not built in: what workers have to be told of."""
    return tuple(reader for name, reader in _READERS.items() if _BUILT_IN.get(name) is not reader)


@keywords()
def register(
    name: str,
    factory: Factory,
    suffixes: Sequence[str] = (),
    matches: Callable[[Content], bool] | None = None,
) -> None:
    """Make a file format known to `zstruct.build`.

    Parameters
    ----------
    name
        What ``reader=`` calls it; a name in use is given to the new reader.
    factory
        Returns the `Source` of a `Content`, for instance a subclass of `FileSource`. Sources are
        sent to worker processes by pickle.
    suffixes
        Ends of file names, in any case, that are this format; that of a compression, such as ``.gz``,
        may follow. Readers registered later are asked first.
    matches
        Tells of a `Content` whether it is of this format, where suffixes don't.

    Raises
    ------
    InputError
        If the name is empty or contains a colon, or suffixes is one text.

    Examples
    --------
    >>> from zstruct.sources import XYZSource, expand
    >>> register("my-xyz", lambda content: XYZSource(content), suffixes=[".myxyz"])
    >>> expand("frames.myxyz")  # doctest: +SKIP
    ([XYZSource('frames.myxyz')], [])
    """
    if not name or ":" in name:
        raise InputError(f"a reader can't be called {name!r}; use a name without a colon")
    if isinstance(suffixes, str):
        raise InputError(f"suffixes must be a list of texts, such as [{suffixes!r}]")
    _READERS.pop(name, None)
    _READERS[name] = _Reader(name, factory, tuple(s.lower() for s in suffixes), matches)


def _class(name: str) -> Any:
    return getattr(importlib.import_module(CLASSES[name]), name)


def _by_class(name: str) -> Factory:
    return lambda content, **options: _class(name)(content, **options)


def forced(reader: str, options: SourceOptions = _DEFAULTS) -> Factory:
    """Return the reader that users ask for by name.

    Raises
    ------
    InputError
        If there is none of that name, or if it does not take what is said.
    """
    if not isinstance(reader, str):
        raise InputError(f"reader={reader!r}: {NAME_IT}")
    name, _, format = reader.partition(":")
    if reader == "archive":
        return _READERS[reader].with_options(options)
    if name == "ase" and format:
        from ase.io.formats import ioformats

        if format not in ioformats or not ioformats[format].can_read:
            known = ", ".join(sorted(n for n, f in ioformats.items() if f.can_read))
            raise InputError(f"ASE has no format {format!r} that it can read; it reads {known}")
        return _of_members(_of_ase(format, options))
    if reader not in _READERS:
        raise InputError(f"there is no reader {reader!r}; {NAME_IT}")
    asked = _READERS[reader]
    return _of_members(asked.with_options(options), asked)


def _of_members(factory: Factory, known: _Reader | None = None) -> Factory:
    """Return what reads files, and the members of archives unless the reader knows these as a whole."""

    def made(content: Content) -> Source:
        name = stem(content.name).lower()
        if is_archive(content.name) and not (known is not None and known.knows(content, name)):
            source: Source = _class("ArchiveSource")(content, reader=factory)
            return source
        return factory(content)

    return made


def _of_ase(format: str, options: SourceOptions) -> Factory:
    """Return the reader of one of ASE's formats: ours, where ours reads it better."""
    if format in _BETTER:
        return _READERS[_BETTER[format]].with_options(options)
    source = _class("ASESource")
    return lambda content: source(content, format=format)


def reader_name(source: Source) -> str:
    """Return what ``reader=`` calls the reader of a source; the name of its class if that is none of ours."""
    kind = type(source).__name__
    format = getattr(source, "format", None)
    if kind == "ASESource" and format:
        return f"ase:{format}"
    return next((row.name for row in FORMATS if row.source == kind), kind)


_OBJECTS = "load it yourself if you trust it, and give what is in it: ase.Atoms, structures or arrays"
_ARRAYS = "read it yourself and give its arrays: zstruct.sources.ArraySource(...)"
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
    (
        ".parquet",
        ".arrow",
        ".feather",
        ".lance",
    ): f"this is a table of no kind that is known; {_ARRAYS}",
    (".csv", ".tsv", ".xlsx", ".jsonl"): f"this is a table, and no format of structures; {_ARRAYS}",
    (".npy", ".mat"): f"these are arrays that don't say what they are; {_ARRAYS}",
    (".tfrecord", ".tfrecords", ".msgpack", ".bson"): f"records of this kind are not read; {_OBJECTS}",
    (".tar", ".tgz", ".zip", ".7z", ".rar"): "this archive is not read; unpack it and give the directory",
    (
        ".xml",
    ): "of XML, vasprun.xml is known by that name; name others with reader='ase:vasp-xml', 'ase:qbox', ...",
    (
        ".log",
        ".out",
        ".dat",
    ): "many programs write files of this name, and this one begins as none of them",
}


def _unread(content: Content) -> str:
    """Return what is said of content that no reader knows."""
    name = stem(content.name).lower()
    found = next((sentence for ends, sentence in UNREAD.items() if name.endswith(ends)), "")
    return f"{found}; or {NAME_IT}" if found else f"no reader knows this kind of file; {NAME_IT}"


def reader_of(content: Content, options: SourceOptions = _DEFAULTS) -> Factory:
    """Return the reader that knows content, by its name or by how it begins.

    Raises
    ------
    InputError
        If there is none.
    """
    factory = detect(content, by_content=True, options=options)
    if factory is None:
        raise InputError(_unread(content), content.label)
    return factory


def detect(
    content: Content,
    by_content: bool,
    options: SourceOptions = _DEFAULTS,
    more: Sequence[_Reader] = (),
) -> Factory | None:
    """Return the factory of the reader that knows content, or None; `more` readers are asked first."""
    if content.path is not None and os.path.isdir(content.path):
        return folder_reader(content.path, options)
    name = stem(content.name).lower()
    for known in (*reversed(more), *reversed(_READERS.values())):
        if known.knows(content, name):
            return known.with_options(options)
    try:
        format = ase_format(content) if by_content else ase_format_by_name(content.name)
    except DetectionError as error:
        reason = str(error)
        return lambda content: UnreadableSource(content, reason)
    return None if format is None else _of_ase(format, options)


def is_input(folder: str) -> bool:
    """Tell whether a directory is an input as a whole."""
    return folder_reader(folder) is not None


def folder_reader(folder: str, options: SourceOptions = _DEFAULTS) -> Factory | None:
    """Return the factory of the reader that reads a directory as a whole, or None."""
    for known in reversed(_READERS.values()):
        if known.folder and all(os.path.isfile(os.path.join(folder, name)) for name in known.folder):
            return known.with_options(options)
    return None


for _row in FORMATS:
    _READERS[_row.name] = _Reader(
        _row.name, _by_class(_row.source), tuple(_row.suffixes), _row.matches, _row.options, _row.folder
    )
_BUILT_IN = dict(_READERS)
