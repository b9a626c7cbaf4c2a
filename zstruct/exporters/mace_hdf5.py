"""MACE's HDF5 files, as its preprocessing makes them: a group for each structure in ``config_batch_0``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from zstruct.exporters.exporter import Block, Contents, Exporter
from zstruct.exporters.hdf5 import h5py
from zstruct.schema import ATOM, GEOMETRY, STRUCTURE

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
_NOTHING = "None"  # as MACE writes what is not there


class MACEHDF5Exporter(Exporter):
    """Writes the file that ``mace_prepare_data`` would make, which ``mace_run_train`` reads.

    All structures are in ``config_batch_0``, in their order. A label that a structure lacks is ``"None"``,
    with a weight of zero. Properties are energy, forces, stress, virials, dipole, polarizability, charges and
    total charge, and ``total_spin`` and ``elec_temp`` if the store has them; beside them are ``weight`` and
    ``config_type``. Fields that are called ``config_energy_weight`` and so on are the weights of labels.
    """

    _file: Any = None

    def lost(self, contents: Contents) -> dict[str, str]:
        """Return the fields that MACE does not know."""
        kept = {*GEOMETRY, *self._known(contents), *self._weights(contents).values(), "weight", "config_type"}
        return {name: "MACE has no place for it" for name in contents.fields if name not in kept}

    def _known(self, contents: Contents) -> dict[str, str]:
        known = {name: key for name, key in _PROPERTIES.items() if name in contents.fields}
        return known | {name: name for name in _OWN if name in contents.fields}

    def _weights(self, contents: Contents) -> dict[str, str]:
        """Return the fields that are weights of labels, by MACE's names for these."""
        names = {key: f"config_{key}_weight" for key in self._known(contents).values()}
        alone = {
            name for name, spec in contents.fields.items() if spec.shape == () and spec.level == STRUCTURE
        }
        return {key: name for key, name in names.items() if name in alone}

    def begin(self, target: Path, contents: Contents) -> None:
        """Make the file.

        Raises
        ------
        MissingExtraError
            If h5py is not installed.
        """
        self._contents = contents
        self._properties, self._label_weights = self._known(contents), self._weights(contents)
        self._file = h5py().File(target, "w")
        self._file.attrs["drop_last"] = False
        self._batch = self._file.create_group("config_batch_0")
        self._done = 0

    def write(self, block: Block) -> None:
        """Append some structures."""
        offsets = block.offsets
        columns, fields = block.columns, self._contents.fields
        has = {name: block.has(name) for name in columns}
        for i in range(len(block)):
            rows = slice(offsets[i], offsets[i + 1])
            group = self._batch.create_group(f"config_{self._done + i}")
            group["atomic_numbers"] = columns["numbers"][rows].astype(np.int64)
            group["positions"] = columns["positions"][rows].astype(np.float64)
            properties, weights = group.create_group("properties"), group.create_group("property_weights")
            for name, key in self._properties.items():
                there = bool(has[name][i])
                value = columns[name][rows if fields[name].level == ATOM else i]
                properties[key] = value if there else _NOTHING
                weights[key] = self._number(self._label_weights.get(key), block, has, i) if there else 0.0
            group["cell"] = columns["cell"][i]
            group["pbc"] = columns["pbc"][i]
            group["weight"] = self._number("weight", block, has, i)
            group["config_type"] = self._config_type(block, has, i)
        self._done += len(block)

    def _number(self, name: str | None, block: Block, has: dict[str, Any], i: int) -> float:
        """Return a weight, which is one where nothing else is said."""
        if name is None or name not in block.columns or not has[name][i]:
            return 1.0
        return float(block.columns[name][i])

    def _config_type(self, block: Block, has: dict[str, Any], i: int) -> str:
        if "config_type" not in block.columns or not has["config_type"][i]:
            return "Default"
        return self._contents.categories["config_type"][int(block.columns["config_type"][i])]

    def end(self) -> None:
        """Close the file."""
        self.abort()

    def abort(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
