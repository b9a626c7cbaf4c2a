"""Keep labels from elsewhere in a store: energies, forces, stresses and any other field, as arrays."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from zstruct.arguments import check, choice, require, shown
from zstruct.errors import ArgumentTypeError, InputError, StoreExistsError
from zstruct.features.descriptor import make_manifest
from zstruct.features.external.rows import Counts
from zstruct.keywords import keywords
from zstruct.labels.given import check_label_name, column_of
from zstruct.labels.report import LabelReport
from zstruct.labels.units import LabelUnits
from zstruct.labels.virials import without_virial
from zstruct.paths_and_urls import check_writable
from zstruct.ragged import counts_to_offsets
from zstruct.schema import ATOM, STRUCTURE, Level
from zstruct.store.group_publication import check_distinct, check_name, publish
from zstruct.store.groups import writing_group
from zstruct.store.label_writer import LabelColumn, write_labels
from zstruct.store.labels import Labels, labels_digest
from zstruct.store.metadata import read_documents
from zstruct.store.spec import EXTERNAL, GROUP_VERSION, LABELS
from zstruct.store.store import Store

__all__ = ["add"]

_DTYPE = choice("float32", "float64", None)
_OPTIONS = ("units", "levels", "dtype", "description", "overwrite")


@keywords()
def add(
    store: str | os.PathLike[str] | Store,
    name: str,
    fields: Mapping[str, Any] | None = None,
    *,
    energy: Any = None,
    forces: Any = None,
    stress: Any = None,
    units: str | Mapping[str, str] | None = None,
    levels: Mapping[str, Level] | None = None,
    dtype: Literal["float32", "float64"] | None = None,
    description: str | None = None,
    overwrite: bool = False,
    **others: Any,
) -> LabelReport:
    """Keep labels of the structures of a store that were made elsewhere, beside its own.

    Writes the group ``labels/<name>``, which datasets train on as ``labels="<name>"``. Rows go with the
    atoms or structures of the store in their order. The rest of the store stays as it is. Killed at any
    instant, the same call does it; until the group is whole, nobody sees it. Called again with the same
    labels, it does nothing.

    Each label is an array, a tensor, a memory map, or what gives rows when it is sliced, as arrays of h5py
    do: a row for each structure, or for each atom, structures end to end. Or a list with an item for each
    structure, None where it is missing. A missing number is NaN, for all of a structure; masked arrays say
    which whole numbers are missing. Nothing is infinite.

    Parameters
    ----------
    store
        The store, in a local directory.
    name
        Name of the labels.
    fields
        Labels by name, as those below: whatever the store could have as a field, ``{"charges": ...}``. A file
        of `numpy.load` with such names will do.
    energy
        Total energies, (n_structures,).
    forces
        (n_atoms, 3); where all structures have as many atoms, also (n_structures, atoms, 3).
    stress
        Tensile positive: (n_structures, 6) in the order xx yy zz yz xz xy, or (n_structures, 3, 3).
    units
        Of what is given, where it is not the store's: as for `zstruct.build`, the name of a system, or units
        by field or quantity (``{"energy": "kcal/mol"}`` is also the energy in the unit of forces). Of a field
        that the field table does not know, its unit.
    levels
        For fields that the field table does not know, whether rows are those of ``"atom"`` or of
        ``"structure"``, where their number does not tell.
    dtype
        Precision of the floats of atoms in the store; by default as they come.
    description
        A text on what they are and where they come from.
    overwrite
        Whether other labels of this name may be replaced.
    **others
        More labels by name: ``virial=`` (n_structures, 3, 3), which becomes a stress where there is a volume,
        ``charges=``, ``dipole=``.

    Returns
    -------
    LabelReport
        What there is now.

    Raises
    ------
    InputError
        If there is no label, if one does not fit the store, is infinite, or given for a part of a structure
        only, or if there is no telling what is meant.
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
    >>> report = zstruct.labels.add(path, "pbe0", energy=[-327.0, None], units={"energy": "kcal/mol"})
    >>> report.coverage, zstruct.open_labels(path, "pbe0").read("energy").round(2)
    ({'energy': 1}, array([-14.18,    nan]))
    """
    began = time.perf_counter()
    given_path = check_writable(store.path if isinstance(store, Store) else store)
    check(overwrite=overwrite, units={} if units is None else units)
    require("dtype", _DTYPE, dtype)
    check_name(name, "labels")
    if not (description is None or isinstance(description, str)):
        raise ArgumentTypeError(f"description is a text, or None, not {shown(description)}")
    labels = _gathered(fields, {"energy": energy, "forces": forces, "stress": stress}, others)
    opened = Store(given_path)
    for called in labels:
        check_label_name(called, _OPTIONS, opened.fields)
    said = LabelUnits.given(units, labels)
    chosen = _levels(levels, labels)
    with writing_group(opened) as (there, scratch):
        counts = Counts(there.read("n_atoms").astype(np.int64), lambda: there.read("numbers"))
        columns = [
            column_of(
                called, values, there.fields, counts, scratch, said, level=chosen.get(called), dtype=dtype
            )
            for called, values in labels.items()
        ]
        columns = without_virial(columns, there)
        folder = scratch / LABELS
        write_labels(folder, columns, counts_to_offsets(counts.n_atoms), _attrs(there, columns, description))
        written = _is_new(there, name, folder, overwrite)
        if written:
            check_distinct(there, LABELS, name)
            publish(Path(there.path), scratch, name, [LABELS], "", opened.digest)
    return LabelReport.of(given_path, name, written, began)


def _gathered(fields: Any, usual: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Return all labels that were given, by name."""
    if not (fields is None or isinstance(fields, Mapping)):
        raise ArgumentTypeError(
            f"fields is a mapping of names to labels, not {shown(fields)}; energies are energy=..."
        )
    found = dict(fields or {})
    for name, values in {**usual, **others}.items():
        if values is None:
            continue
        if name in found:
            raise InputError(f"{name} is given twice, in fields and by name")
        found[name] = values
    if not found:
        raise InputError("there are no labels: give energy=..., forces=..., or any other field by its name")
    return found


def _levels(levels: Any, labels: Mapping[str, Any]) -> dict[str, Level]:
    if levels is None:
        return {}
    if not isinstance(levels, Mapping):
        raise ArgumentTypeError(
            f"levels is a mapping of fields to 'atom' or 'structure', not {shown(levels)}"
        )
    for name, level in levels.items():
        if name not in labels:
            raise InputError(f"levels={{{name!r}: {level!r}}}: there is no label {name!r}")
        if not (isinstance(level, str) and level in (ATOM, STRUCTURE)):
            raise InputError(f"levels={{{name!r}: {shown(level)}}}: that is 'atom' or 'structure'")
    return dict(levels)


def _attrs(there: Store, columns: Iterable[LabelColumn], description: str | None) -> dict[str, Any]:
    names = sorted(column.field.name for column in columns)
    return {
        "encoding-type": f"zstruct-{LABELS}",
        "encoding-version": GROUP_VERSION,
        "store_digest": there.digest,
        "manifest": make_manifest(EXTERNAL, 1, {"fields": names}),
        **({} if description is None else {"description": description}),
    }


def _is_new(there: Store, name: str, folder: Path, overwrite: bool) -> bool:
    """Return whether labels that were made are not there; refuse if others are in their place."""
    if name not in there.group_names(LABELS):
        return True
    found = Labels(there, name, there.group_attrs(f"{LABELS}/{name}"))
    documents = read_documents(folder)
    made = documents.pop("")["attributes"]
    same = all(found.attrs.get(key) == made.get(key) for key in ("store_digest", "manifest", "description"))
    if same and found.digest == labels_digest(documents):
        return False
    if overwrite:
        return True
    why = "with other values, or another description"
    if found.manifest["class"] != EXTERNAL:
        why = f"made by {found.manifest['parameters'].get('how', found.manifest['class'])}"
    if found.attrs["store_digest"] != there.digest:
        why = "of other content than the store has now"
    raise StoreExistsError(
        f"{there.path} has labels {name!r} already, {why}; pass overwrite=True (--overwrite) to replace "
        "them, or another name"
    )
