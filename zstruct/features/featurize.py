"""Compute features, derivatives or neighbour lists of a whole store and keep them in it.

Work is done in a directory beside the store; what is there is whole before it is renamed into the
store, and the consolidated metadata shows it last. This module says what is to be done and in which
order; what the tasks do is in `zstruct.features.featurize_tasks` and `zstruct.features.featurize_pairs`.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zstruct import parallel
from zstruct.arguments import check, shown
from zstruct.disk import bytes_within, writing
from zstruct.errors import CorruptStoreError, InputError, StoreExistsError, ZstructError
from zstruct.features.descriptor import Descriptor, make_manifest
from zstruct.features.featurize_groups import make, prepare
from zstruct.features.featurize_tasks import Job
from zstruct.features.known_rows import NOTHING, KnownRows
from zstruct.geometry.neighbors import NeighborList
from zstruct.keywords import keywords
from zstruct.parallel import WORKERS
from zstruct.paths_and_urls import check_writable
from zstruct.progress import Runner
from zstruct.store.group_publication import (
    JOB,
    LABELLING,
    check_distinct,
    check_name,
    check_same,
    publish,
    recover,
    working_directory,
)
from zstruct.store.spec import GROUP_VERSION, GroupKind
from zstruct.store.store import Store
from zstruct.store.workdir import read_json, write_json
from zstruct.text import counted, sized

if TYPE_CHECKING:
    from zstruct.parallel import Client

__all__ = ["FeaturizeReport", "featurize"]


@dataclass(frozen=True)
class FeaturizeReport:
    """Result of `zstruct.featurize`; printing it gives a summary.

    Parameters
    ----------
    path
        The store.
    groups
        Paths of the groups in it that were asked for.
    computed
        Those of them that this call computed; the others were there.
    n_atoms
        Atoms of the store.
    n_known
        Those of them of which all groups that this call computed were known already.
    n_features
        Features of an atom; None for neighbour lists.
    n_pairs
        Pairs for which something is stored; None without derivatives or neighbours.
    nbytes
        Bytes of the groups on disk.
    seconds
        How long this call took.
    """

    path: str
    groups: list[str]
    computed: list[str]
    n_atoms: int
    n_known: int
    n_features: int | None
    n_pairs: int | None
    nbytes: int
    seconds: float

    def __str__(self) -> str:
        what = [counted(self.n_atoms, "atom")]
        if self.n_features is not None:
            what.append(counted(self.n_features, "feature"))
        if self.n_pairs is not None:
            what.append(counted(self.n_pairs, "pair"))
        new = f" for {counted(self.n_atoms - self.n_known, 'new atom')}" if self.n_known else ""
        did = f"computed{new} in {self.seconds:.2f} s" if self.computed else "there already, nothing to do"
        return f"{self.path}: {' and '.join(self.groups)}: {', '.join(what)}, {sized(self.nbytes)}, {did}"


@keywords(WORKERS)
def featurize(
    store: str | os.PathLike[str] | Store,
    descriptor: Descriptor | NeighborList,
    derivatives: bool = False,
    name: str | None = None,
    *,
    dtype: Literal["float32", "float64"] = "float32",
    only: Literal["forces"] | None = None,
    overwrite: bool = False,
    workers: int | Client | None = None,
    progress: bool = True,
) -> FeaturizeReport:
    """Compute a descriptor or a neighbour list for all structures of a store, and keep it there.

    Writes the groups ``features/<name>`` and, if asked for, ``derivatives/<name>``; of a neighbour
    list ``neighbors/<name>``. The rest of the store stays as it is. Killed at any instant, the same
    call resumes where it was and makes the same groups, byte for byte; until they are whole, none
    of them can be seen. Called again when all is there, it does nothing; after structures were
    appended to the store, it computes what is new, and has the rest in common with the groups before.

    Parameters
    ----------
    store
        The store, in a local directory (on a cluster: one that every worker can reach).
    descriptor
        A descriptor, such as `zstruct.features.Chebyshev` or what `zstruct.features.register` made
        of a function, or a `zstruct.features.NeighborList`.
    derivatives
        Whether to store derivatives too: some kilobytes for each atom. Those who train need not,
        the kernels are faster than most disks.
    name
        Name of the groups; by default that of the descriptor in lower case, and ``rc5`` for a
        neighbour list with a cutoff of 5.
    dtype
        Precision in which features and derivatives are stored; computed they are in float64. In float32 they
        keep 7 digits: a relative error up to 6e-8 of each number.
    only
        Which structures get derivatives: ``"forces"`` for those with forces. Others have no pairs then.
    overwrite
        Whether groups of this name may be replaced; they stay until the new ones are whole. Whoever
        opens them meanwhile gets the old or the new ones, and whoever has the old ones open is told that
        they were replaced when more of them is read.
    workers
        Number of workers of this machine, by default one per processor. Or a `distributed.Client` to
        run on, by default the active one.
    progress
        Whether to show a progress bar.

    Returns
    -------
    FeaturizeReport
        What there is now, and what of it was computed by this call.

    Raises
    ------
    InputError
        If an argument or a structure can't be used: an unknown element, say. Names the structure.
    StoreExistsError
        If there is a group of this name, but another one, and `overwrite` was not given.
    BuildLockedError
        If another process is writing groups into the store.
    StoreFormatError
        If there is no complete store.
    ChangedInputError
        If the store was replaced meanwhile.

    Examples
    --------
    >>> import tempfile, ase.build, zstruct
    >>> from zstruct.features import Chebyshev, open_group
    >>> out = tempfile.mkdtemp() + "/water.zarr"
    >>> report = zstruct.build([ase.build.molecule("H2O")], out, progress=False)
    >>> report = zstruct.featurize(out, Chebyshev(["H", "O"], 10, 4.0, 3, 1.5), progress=False)
    >>> report.groups, report.n_features
    (['features/chebyshev'], 30)
    >>> zstruct.Store(out).read("features/chebyshev/values").shape
    (3, 30)
    """
    began = time.perf_counter()
    given = check_writable(store.path if isinstance(store, Store) else store)
    check(derivatives=derivatives, only=only, overwrite=overwrite, progress=progress)
    workers = parallel.chosen_workers(workers)
    opened = Store(given)
    _check(opened, descriptor, derivatives, name, dtype, only)
    called = _default_name(descriptor) if name is None else name
    kinds: list[GroupKind] = ["features", "derivatives"] if derivatives else ["features"]
    if isinstance(descriptor, NeighborList):
        kinds = ["neighbors"]
    path = Path(os.path.realpath(opened.path))  # beside the store itself, not beside a link to it
    work = working_directory(path)
    safe = f"what is whole stays in {work.path}, and nothing of the store is lost"
    n_known = 0
    with writing(work.path, safe), work:
        recovered, there = recover(path, work.path), Store(path)  # others may have been at it until now
        wanted = {kind: _attrs(there, kind, descriptor, dtype, only) for kind in kinds}
        identity = hashlib.sha256(json.dumps([called, wanted], sort_keys=True).encode()).hexdigest()
        if recovered == identity:  # killed while cleaning up
            todo, whole = kinds, True
        else:
            for kind in kinds:
                check_distinct(there, kind, called)
            known = {}
            for kind in kinds:
                rows = _known(there, kind, called, wanted[kind], overwrite)
                if rows is not None:
                    known[kind] = rows
            todo, whole = list(known), not known
        if not whole:
            n_known = min(rows.n_atoms for rows in known.values())
            job = Job(os.fspath(path), work.path, descriptor, tuple(todo), dtype, known)
            runner = Runner(workers, progress)
            # What is known may have been replaced since it was interrupted.
            begun = [identity, todo, [rows.digest for rows in known.values()]]
            if read_json(work.path / JOB) != begun:
                work.clear(keep=[LABELLING])
                prepare(job, there, only)
                write_json(work.path / JOB, begun)
            try:
                make(job, there, wanted, runner)
                publish(path, work.path, called, todo, identity, there.digest)
            except ZstructError as error:
                check_same(path, there.digest)  # or else the store may look damaged
                if isinstance(error, InputError | CorruptStoreError):
                    work.remove([LABELLING])  # to go on would end there again: something has to change
                raise
            finally:
                runner.close()
        work.remove(keep=[LABELLING])
        return _report(given, called, kinds, todo, n_known, time.perf_counter() - began)


def _check(
    opened: Store,
    what: Descriptor | NeighborList,
    derivatives: bool,
    name: str | None,
    dtype: str,
    only: str | None,
) -> None:
    if not isinstance(what, Descriptor | NeighborList):
        raise InputError(f"a store is featurized by a Descriptor or a NeighborList, not by {shown(what)}")
    if derivatives and isinstance(what, NeighborList):
        raise InputError("a NeighborList has no derivatives")
    if derivatives and getattr(type(what), "derivatives", None) is Descriptor.derivatives:
        raise InputError(f"the descriptor {_default_name(what)} has no derivatives")
    if not (isinstance(dtype, str) and dtype in ("float32", "float64")):
        raise InputError(f"dtype is 'float32' or 'float64', not {shown(dtype)}")
    if only is not None and not derivatives:
        raise InputError(
            "only='forces' says for which structures derivatives are stored: pass derivatives=True"
        )
    if only is not None and "forces" not in opened.fields:
        raise InputError(f"only='forces': the store {opened.path} has no forces")
    if name is not None:
        check_name(name, "a group")


def _default_name(what: Descriptor | NeighborList) -> str:
    return f"rc{what.cutoff:g}" if isinstance(what, NeighborList) else what.manifest()["class"].lower()


def _attrs(
    opened: Store, kind: GroupKind, what: Descriptor | NeighborList, dtype: str, only: str | None
) -> dict[str, Any]:
    """Return the attributes that say what a group is: it is the same if they are."""
    said: dict[str, Any] = {
        "encoding-type": f"zstruct-{kind}",
        "encoding-version": GROUP_VERSION,
        "store_digest": opened.digest,
        "cutoff": float(what.cutoff),
    }
    if isinstance(what, NeighborList):
        return said | {"manifest": make_manifest("NeighborList", 1, {"cutoff": what.cutoff})}
    said |= {"manifest": what.manifest(), "dtype": dtype, "feature_names": what.feature_names}
    return said | ({"only": only} if kind == "derivatives" else {})


def _known(
    opened: Store, kind: GroupKind, name: str, wanted: dict[str, Any], overwrite: bool
) -> KnownRows | None:
    """Return what is known of a group that has to be made; None if it is there.

    Raises
    ------
    StoreExistsError
        If another one is in its place.
    """
    if name not in opened.group_names(kind) or overwrite:
        return NOTHING
    there = opened.group_attrs(f"{kind}/{name}")
    other = [key for key, value in wanted.items() if there.get(key) != value]
    if not other:
        return None
    found = KnownRows.of(opened, kind, name, there) if other == ["store_digest"] else None
    if found is not None:
        return found
    made = there["manifest"]
    reasons = {
        "manifest": f"by version {made['version']} of {made['class']} with {made['parameters']}",
        "dtype": f"as {there.get('dtype')}",
        "only": f"with only={there.get('only')!r}",
        "store_digest": "from other content than the store has now",
    }
    reason = next((text for key, text in reasons.items() if key in other), "in another format")
    raise StoreExistsError(
        f"{opened.path} has {kind} {name!r} already, computed {reason}; pass overwrite=True (--overwrite) "
        "to replace them, or another name"
    )


def _report(
    path: str, name: str, kinds: list[GroupKind], computed: list[GroupKind], n_known: int, seconds: float
) -> FeaturizeReport:
    opened = Store(path)
    paths = {kind: f"{kind}/{name}" for kind in kinds}
    by_pairs = next((path for kind, path in paths.items() if kind != "features"), None)
    return FeaturizeReport(
        path=path,
        groups=list(paths.values()),
        computed=[paths[kind] for kind in computed],
        n_atoms=opened.n_atoms,
        n_known=n_known,
        n_features=opened.shape(f"{paths['features']}/values")[1] if "features" in paths else None,
        n_pairs=None if by_pairs is None else opened.shape(f"{by_pairs}/indices")[0],
        nbytes=sum(bytes_within(os.path.join(opened.path, path)) for path in paths.values()),
        seconds=seconds,
    )
