"""MACE's HDF5 files, as its preprocessing makes them: a group for each structure in ``config_batch_0``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.exporters.blocks import Block, Contents
from zstruct.exporters.exporter import Exporter
from zstruct.exporters.hdf5_groups import ZEROS, GroupsFile, Part, Texts
from zstruct.exporters.limits import NO_UNICODE, Entry, FieldLimit, Limits, StructureLimit
from zstruct.schema import ATOM, GEOMETRY, STRUCTURE
from zstruct.sources.hdf5.file import h5py

__all__ = ["MACEHDF5Exporter"]

# What MACE knows: its name, by the field.
_PROPERTIES = {
    "energy": "energy",
    "forces": "forces",
    "stress": "stress",
    "virial": "virials",
    "dipole": "dipole",
    "polarizability": "polarizability",
    "charges": "charges",
    "total_charge": "total_charge",
}
# Those that are whatever their inputs call so.
_OWN = ("total_spin", "elec_temp")
_KNOWN = {**_PROPERTIES, **{name: name for name in _OWN}}
# The fields that are weights of labels.
_WEIGHTS = {name: f"config_{key}_weight" for name, key in _KNOWN.items()}
_ALL_WEIGHTS = ("weight", *_WEIGHTS.values())
_NOTHING, _DEFAULT = "None", "Default"  # as MACE writes what is not there, and what has no type


def _has_no_place(entry: Entry) -> str:
    name, field = entry.name, entry.field
    weights = {weight for label, weight in _WEIGHTS.items() if label in entry.contents.fields}
    if name not in (*GEOMETRY, *_KNOWN, *weights, "weight", "config_type"):
        return "MACE has no place for it"
    number = field.shape == () and field.level == STRUCTURE and field.kind in ("float", "int")
    return "MACE has a number there" if name in (*weights, *_OWN) and not number else ""


def _is_default_weight(block: Block) -> NDArray[np.bool_]:
    found = np.zeros(len(block), dtype=bool)
    for name in _ALL_WEIGHTS:
        if name in block.columns and block.columns[name].ndim == 1:
            found |= block.has(name) & (block.columns[name] == 1)
    return found


def _is_weight_of_nothing(block: Block) -> NDArray[np.bool_]:
    found = np.zeros(len(block), dtype=bool)
    for label, weight in _WEIGHTS.items():
        found |= block.has(weight) & ~block.has(label)
    return found


def _no_type(entry: Entry) -> str:
    unclear = entry.name == "config_type" and {"", _NOTHING, _DEFAULT} & {*entry.texts}
    return f"MACE has {_NOTHING!r} and {_DEFAULT!r} where there is none" if unclear else ""


def _no_float(entry: Entry) -> str:
    return "weights are no whole numbers" if entry.name in _ALL_WEIGHTS and entry.field.kind == "int" else ""


_LIMITS = Limits(
    (
        FieldLimit(
            f"all fields but {', '.join(_KNOWN)}, config_type, weight, and numbers that are called "
            "config_energy_weight and so on",
            _has_no_place,
        ),
        FieldLimit("a config_type that is 'Default', 'None' or empty", _no_type, "defaults"),
        FieldLimit("that weights are whole numbers", _no_float, "dtype"),
        NO_UNICODE,
        ZEROS,
    ),
    (
        StructureLimit(
            "weights of one", "which is what MACE has without one", _is_default_weight, _ALL_WEIGHTS
        ),
        StructureLimit(
            "weights of labels that a structure lacks", "they are zero", _is_weight_of_nothing, _ALL_WEIGHTS
        ),
    ),
)


class MACEHDF5Exporter(Exporter):
    """Writes the file that ``mace_prepare_data`` would make, which ``mace_run_train`` reads.

    All structures are in ``config_batch_0``, in their order. A label that a structure lacks is ``"None"``,
    with a weight of zero. Properties are energy, forces, stress, virials, dipole, polarizability, charges and
    total charge, and ``total_spin`` and ``elec_temp`` if the store has them; beside them are ``weight`` and
    ``config_type``. Fields that are called ``config_energy_weight`` and so on are the weights of labels.
    """

    limits = _LIMITS
    _file: Any = None

    def begin(self, target: Path, contents: Contents) -> None:
        """Make the file.

        Raises
        ------
        MissingExtraError
            If h5py is not installed.
        """
        self._contents = contents
        kept = set(contents.fields) - self.limits.left_out(contents)
        self._has_types = "config_type" in kept
        categories = contents.categories["config_type"] if self._has_types else []
        self._properties = {name: key for name, key in _KNOWN.items() if name in kept}
        self._label_weights = {
            _KNOWN[name]: weight for name, weight in _WEIGHTS.items() if name in kept and weight in kept
        }
        self._nothing, self._config_types = Texts([_NOTHING]), Texts([*categories, _DEFAULT])
        self._target = target
        self._file = GroupsFile(target, "config_batch_0", "config_", ("properties", "property_weights"))

    def write(self, block: Block) -> None:
        """Append some structures."""
        columns, everywhere = block.columns, np.ones(len(block), dtype=bool)
        parts = [
            Part("atomic_numbers", columns["numbers"].astype(np.int64), everywhere, of_atoms=True),
            Part("positions", columns["positions"].astype(np.float64), everywhere, of_atoms=True),
            Part("cell", columns["cell"], everywhere),
            Part("pbc", columns["pbc"], everywhere),
            Part("weight", self._weights_of("weight", block), everywhere),
            *self._config_types.parts("config_type", self._config_types_of(block), everywhere),
        ]
        for name, key in self._properties.items():
            here, of_atoms = block.has(name), self._contents.fields[name].level == ATOM
            weights = np.where(here, self._weights_of(self._label_weights.get(key), block), 0.0)
            parts += [
                Part(f"properties/{key}", columns[name], here, of_atoms),
                *self._nothing.parts(f"properties/{key}", np.full(len(block), -1), ~here),
                Part(f"property_weights/{key}", weights, everywhere),
            ]
        self._file.add(block.n_atoms, parts)

    def _weights_of(self, name: str | None, block: Block) -> NDArray[np.float64]:
        """Return weights, shape (n,), which are one where nothing else is said."""
        if name is None or name not in block.columns:
            return np.ones(len(block))
        return np.where(block.has(name), block.columns[name], 1.0).astype(np.float64)

    def _config_types_of(self, block: Block) -> NDArray[np.integer[Any]]:
        """Return the code of each structure, shape (n,); -1 is what has no type."""
        if "config_type" not in block.columns or not self._has_types:
            return np.full(len(block), -1)
        return np.where(block.has("config_type"), block.columns["config_type"], -1)

    def end(self) -> None:
        """Say how MACE is to batch structures, and close the file."""
        self._file.end()
        with h5py().File(self._target, "r+") as file:
            file.attrs["drop_last"] = False

    def abort(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.abort()
