"""Label all structures of a store by a model, a function or a calculator, and keep the labels in it.

Parts are made in a directory beside the store; when all are there, a group is made of them, and renamed into
the store when it is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from zstruct import parallel
from zstruct.arguments import check, choice, count, names, require, shown
from zstruct.building.markers import mark, results
from zstruct.building.parts import read_blocks
from zstruct.disk import writing
from zstruct.errors import ArgumentTypeError, InputError, StoreExistsError, WriteError, ZstructError
from zstruct.features.descriptor import make_manifest
from zstruct.keywords import keywords
from zstruct.labels.calls import Call, StructureFailedError
from zstruct.labels.completion import completed, kept_structures, unlabelled
from zstruct.labels.given import check_label_name
from zstruct.labels.label_tasks import Job, do_part, forget_damaged, part_tasks
from zstruct.labels.labeller import is_factory, name_of, state_of
from zstruct.labels.outcome import Expected
from zstruct.labels.part_columns import columns_of_parts
from zstruct.labels.report import LabelReport
from zstruct.labels.units import LabelUnits
from zstruct.loading.dataset_options import Cache
from zstruct.loading.reader import StructureReader
from zstruct.parallel import WORKERS, RunsIn
from zstruct.paths_and_urls import check_writable
from zstruct.progress import Runner
from zstruct.ragged import counts_to_offsets
from zstruct.schema import ATOM, GEOMETRY, STRUCTURE, Level
from zstruct.store.digests import rows_digest
from zstruct.store.group_publication import (
    JOB,
    LABELLING,
    check_distinct,
    check_name,
    check_same,
    publish,
    recover,
    remove_job,
    working_directory,
)
from zstruct.store.label_writer import write_labels
from zstruct.store.labels import Labels
from zstruct.store.spec import FAILURE, GROUP_VERSION, LABELS
from zstruct.store.store import Store
from zstruct.store.workdir import read_json, write_json

if TYPE_CHECKING:
    from zstruct.parallel import Client

__all__ = ["label"]

#: What calculations are told beside the geometry, of stores that have it.
_INPUTS = (*GEOMETRY, "total_charge", "spin_multiplicity", "initial_charges", "initial_magmoms")
_KEPT_BYTES = 64 << 20  # of decoded chunks: structures are read in their order
_ON_ERROR = choice("missing", "raise")
_DTYPE = choice("float32", "float64", None)


@keywords(WORKERS)
def label(
    data: str | os.PathLike[str] | Store | StructureReader,
    how: Callable[..., Any],
    name: str,
    *,
    version: str | int | None = None,
    fields: Iterable[str] | None = None,
    units: str | Mapping[str, str] | None = None,
    levels: Mapping[str, Level] | None = None,
    max_atoms: int = 1 << 14,
    dtype: Literal["float32", "float64"] | None = None,
    description: str | None = None,
    on_error: Literal["missing", "raise"] = "missing",
    overwrite: bool = False,
    workers: int | Client | None = None,
    progress: bool = True,
) -> LabelReport:
    """Compute labels of the structures of a store, and keep them there beside its own.

    Writes the group ``labels/<name>``, which datasets train on as ``labels="<name>"``. The rest of the store
    stays as it is. Until the group is whole, nobody sees it. What is interrupted or killed goes on where it
    was when the same call is made with the same `version`, or with a model of torch in the same state;
    without either, nobody knows whether what was made before is still what would be made, and it begins
    anew. Called again when all is there, it then does nothing; where some structures have neither labels nor
    a reason why not, as those that were appended to a store, it labels these, and the others keep theirs.

    Parameters
    ----------
    data
        A store in a local directory, or its path. Or a reader or dataset of one: only its structures are
        labelled, and a function gets batches that have what it says, edges or features, say, in its
        precision. Else they have ``numbers``, ``positions``, ``cell`` and ``pbc``, and charges and spins that
        the store has for calculations, floats in double precision.
    how
        * A function of a `PackedBatch` that returns a mapping of labels by name: arrays or tensors with a row
          for each structure (``energy``, ``stress``, ``dipole``) or atom (``forces``, ``energies``) of the
          batch. A model of torch, on any device, is called in such a function, with tensors that
          `zstruct.layouts` makes of a batch. A missing label is NaN.
        * What makes a calculator of ASE: a class, or a function of nothing, such as ``lambda: EMT()``. It is
          called once in each process.
    name
        Name of the labels.
    version
        What tells this `how` from others: change it when its numbers change.
    fields
        The labels to keep. By default all that a function returns; of a calculator energy, forces and stress,
        as far as it has them.
    units
        Of what comes back, where it is not the store's: as for `zstruct.labels.add`.
    levels
        For labels that the field table does not know, whether rows are those of ``"atom"`` or of
        ``"structure"``, where their number does not tell.
    max_atoms
        Most atoms of a batch; a larger structure is one by itself.
    dtype
        Precision of the floats of atoms in the store; by default as they come.
    description
        A text on what they are and where they come from.
    on_error
        What becomes of a structure for which `how` raises, or returns what is infinite or NaN in part:
        ``"missing"``: it has no labels, and the group says why. ``"raise"``: the error is raised. A batch
        that fails is halved, to find out which structure it is; so one that is too large for a memory goes
        on.
    overwrite
        Whether other labels of this name may be replaced; they stay until the new ones are whole.
    workers
        Processes to run in, or a `distributed.Client`. By default a function is called in this process, batch
        after batch, and calculators run in a process for each processor.
    progress
        Whether to show a progress bar.

    Returns
    -------
    LabelReport
        What there is now, and why structures have no labels.

    Raises
    ------
    InputError
        If an argument can't be used, if what comes back can't be labels (names, shapes, numbers of rows), or
        if no structure could be labelled.
    StoreExistsError
        If there are other labels of this name, and `overwrite` was not given.
    BuildLockedError
        If another process is writing groups into the store.
    StoreFormatError
        If there is no finished store.
    ChangedInputError
        If the store was replaced meanwhile.

    Examples
    --------
    >>> import tempfile, ase.build, numpy as np, zstruct
    >>> path = tempfile.mkdtemp() + "/molecules.zarr"
    >>> report = zstruct.build([ase.build.molecule(m) for m in ("H2O", "CO2")], path, progress=False)
    >>> def springs(batch):
    ...     positions = batch.columns["positions"]
    ...     energies = (positions**2).sum(axis=1)
    ...     return {"energy": np.add.reduceat(energies, batch.offsets[:-1]), "forces": -2 * positions}
    >>> report = zstruct.label(path, springs, "springs", version=1, progress=False)
    >>> report.coverage
    {'forces': 2, 'energy': 2}
    """
    began = time.perf_counter()
    check(overwrite=overwrite, progress=progress, units={} if units is None else units)
    require("on_error", _ON_ERROR, on_error)
    require("dtype", _DTYPE, dtype)
    check_name(name, "labels")
    if not (description is None or isinstance(description, str)):
        raise ArgumentTypeError(f"description is a text, or None, not {shown(description)}")
    if not (version is None or isinstance(version, str | int)) or isinstance(version, bool):
        raise ArgumentTypeError(f"version is a text or a whole number, or None, not {shown(version)}")
    factory = is_factory(how)
    reader, chosen = _reader_of(data, factory)
    given = check_writable(reader.store.path)
    wanted = None if fields is None else tuple(dict.fromkeys(names("fields", fields)))
    for one in wanted or ():
        check_label_name(one, (), reader.store.fields)
    expected = Expected(reader.store.fields, LabelUnits.given(units), _levels(levels), wanted, dtype)
    call = Call(how, factory, expected, on_error == "raise")
    place, runs_in = _place(factory, workers)
    said = _attrs(reader.store, _manifest(how, factory, version, wanted, units, dtype), description)
    identity = _identity(name, said, chosen)
    path = Path(os.path.realpath(given))
    work = working_directory(path)
    job = Job(work.path / LABELLING / name, reader, call, count("max_atoms", max_atoms, 1))
    safe = f"what is whole stays in {work.path}, and nothing of the store is lost"
    written = True
    with writing(work.path, safe), work:
        try:
            recovered = recover(path, work.path)  # of whoever was killed while cleaning up
            if identity is None or recovered != identity:
                check_same(path, reader.store.digest)
                there = Store(path)
                check_distinct(there, LABELS, name)
                base = _there(there, name, said, identity is not None, overwrite)
                todo = chosen if base is None else unlabelled(base, chosen)
                written = bool(len(todo)) or (base is not None and base.is_stale)
                if written:
                    runner = Runner(place, progress, " structures")
                    _make(job, name, said, identity, base, todo, runner, runs_in)
            if job.work.exists():
                remove_job(job.work)
        finally:
            if [entry.name for entry in work.path.iterdir()] == ["lock"]:
                work.remove()  # else something was interrupted and will go on
    return LabelReport.of(given, name, written, began)


def _reader_of(data: Any, factory: bool) -> tuple[StructureReader, NDArray[np.int64]]:
    """Return what has all structures of a store as batches, and which of them are to be labelled."""
    if isinstance(data, StructureReader):
        if data.recipe.transform is not None:
            raise InputError(
                "a transform changes structures, and labels are those of structures as they are stored: give "
                "a reader without"
            )
        chosen = np.unique(data.structures)
        reader = _double(data.store) if factory else _whole_reader(data)
    else:
        store = Store.of(data)
        reader, chosen = _double(store), np.arange(store.n_structures)
    if not len(chosen):
        raise InputError("there is nothing to label: there are no structures")
    return reader, chosen


def _double(store: Store) -> StructureReader:
    """Return a reader of what calculations are told, in double precision."""
    there = [name for name in _INPUTS if name in store.fields]
    return StructureReader(store, there, "float64", cache=Cache("memory", bytes=_KEPT_BYTES))


def _whole_reader(data: StructureReader) -> StructureReader:
    """Return a reader that makes batches as another does, of all structures of its store."""
    recipe: Any = data.recipe.of_all()
    return StructureReader(data.store, recipe)


def _levels(levels: Any) -> dict[str, Level]:
    if levels is None:
        return {}
    if not isinstance(levels, Mapping) or not all(level in (ATOM, STRUCTURE) for level in levels.values()):
        raise ArgumentTypeError(
            f"levels is a mapping of fields to 'atom' or 'structure', not {shown(levels)}"
        )
    return dict(levels)


def _manifest(
    how: Any,
    factory: bool,
    version: str | int | None,
    fields: tuple[str, ...] | None,
    units: Any,
    dtype: str | None,
) -> dict[str, Any]:
    """Return what says what made labels."""
    said = {
        "how": name_of(how),
        "version": version,
        "state": None if factory or version is not None else state_of(how),
        "fields": None if fields is None else list(fields),
        "units": dict(units) if isinstance(units, Mapping) else units,
        "dtype": dtype,
    }
    return make_manifest("Calculator" if factory else "Function", 1, said)


def _attrs(store: Store, manifest: dict[str, Any], description: str | None) -> dict[str, Any]:
    return {
        "encoding-type": f"zstruct-{LABELS}",
        "encoding-version": GROUP_VERSION,
        "store_digest": store.digest,
        "manifest": manifest,
        **({} if description is None else {"description": description}),
    }


def _identity(name: str, said: Mapping[str, Any], chosen: NDArray[np.int64]) -> str | None:
    """Return what tells a job from others; None if nobody can."""
    parameters = said["manifest"]["parameters"]
    if parameters["version"] is None and parameters["state"] is None:
        return None
    known = json.dumps([LABELS, name, said, rows_digest(chosen.astype("<i8"))], sort_keys=True)
    return hashlib.sha256(known.encode()).hexdigest()


def _there(there: Store, name: str, said: Mapping[str, Any], known: bool, overwrite: bool) -> Labels | None:
    """Return these very labels, if they are there; refuse if others are in their place."""
    if overwrite or name not in there.group_names(LABELS):
        return None
    found = Labels(there, name, there.group_attrs(f"{LABELS}/{name}"))
    same = all(found.attrs.get(key) == said.get(key) for key in ("manifest", "description"))
    kept = kept_structures(there, found.attrs["store_digest"])
    if same and known and kept is not None:
        return replace(found, n_structures=kept).checked()
    made = found.manifest["parameters"]
    by = made.get("how")
    why = "added by zstruct.labels.add" if by is None else f"by {by}"
    if made.get("version") is not None:
        why += f", version {made['version']!r}"
    if kept is None:
        why = "of other content than the store has now"
    elif same:
        why += ", of which nobody knows whether it is the same: say version="
    raise StoreExistsError(
        f"{there.path} has labels {name!r} already, {why}; pass overwrite=True (--overwrite) to replace "
        "them, or another name"
    )


def _make(
    job: Job,
    name: str,
    said: Mapping[str, Any],
    identity: str | None,
    base: Labels | None,
    chosen: NDArray[np.int64],
    runner: Runner,
    runs_in: RunsIn,
) -> None:
    """Make the group and publish it; with a base, of that and of what it lacks."""
    store = job.reader.store
    path = Path(os.path.realpath(store.path))
    n_atoms = store.read("n_atoms").astype(np.int64)
    tasks = part_tasks(job, chosen, n_atoms[chosen])
    key = [identity or uuid.uuid4().hex, job.max_atoms, None if base is None else base.digest]
    if read_json(job.work / JOB) != key:
        if job.work.exists():  # of other labels
            remove_job(job.work)
        (job.work / "parts").mkdir(parents=True)
        write_json(job.work / JOB, key)
    else:
        forget_damaged(tasks)
    try:
        done = results(runner, f"labels {name}", do_part, tasks, mark, runs_in)
        if base is None and not any(one["labelled"] for one in done):
            reason = read_blocks(tasks[0].file)[0].categories[FAILURE][0]
            raise InputError(f"no structure could be labelled; the first reason: {reason}")
        offsets = counts_to_offsets(n_atoms)
        columns, failures = columns_of_parts(tasks)
        if base is not None or len(chosen) < len(n_atoms):
            columns, failures = completed(base, chosen, columns, failures, offsets)
        write_labels(job.work / LABELS, columns, offsets, said, failures)
        publish(path, job.work, name, [LABELS], identity or "", store.digest)
    except BaseException as error:
        kept = identity is not None and (
            not isinstance(error, InputError) or isinstance(error, StructureFailedError)
        )
        if not kept and not isinstance(error, WriteError):
            remove_job(job.work)  # nobody can go on with it, or would end there again
        if isinstance(error, ZstructError):
            check_same(path, store.digest)  # or else the store may look damaged
        raise
    finally:
        runner.close()


def _place(factory: bool, workers: int | Client | None) -> tuple[int | Client | None, RunsIn]:
    """Return the workers, and where they run: a function here, unless somebody says otherwise."""
    if not factory and workers is None:
        return 1, "caller"
    found = parallel.chosen_workers(workers)
    return found, "caller" if found == 1 else "processes"
