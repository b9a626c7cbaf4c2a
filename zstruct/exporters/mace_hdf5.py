"""MACE's HDF5 files, as its preprocessing makes them: a group for each structure in ``config_batch_0``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.exporters.exporter import Block, Contents, Exporter
from zstruct.exporters.hdf5_objects import SmallObjects, created, refuse_zeros
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
_DEFAULT = "Default"  # its config_type of those that have none


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
        InputError
            If texts can't be written.
        MissingExtraError
            If h5py is not installed.
        """
        categories = contents.categories.get("config_type", [])
        refuse_zeros({"config_type": categories})
        self._contents = contents
        self._properties, self._label_weights = self._known(contents), self._weights(contents)
        self._file = created(target)
        self._objects = SmallObjects()
        self._file.attrs["drop_last"] = False
        self._batch = self._file.create_group("config_batch_0")
        self._nothing = self._objects.texts([_NOTHING]).reshape(())
        self._config_types = self._objects.texts([*categories, _DEFAULT])
        self._done = 0

    def write(self, block: Block) -> None:
        """Append some structures."""
        add, columns, offsets = self._objects.add, block.columns, block.offsets.tolist()
        numbers = columns["numbers"].astype(np.int64)
        positions = columns["positions"].astype(np.float64)
        labels = [
            (
                key,
                columns[name],
                block.has(name).tolist(),
                self._contents.fields[name].level == ATOM,
                self._weights_of(self._label_weights.get(key), block),
            )
            for name, key in self._properties.items()
        ]
        weights = self._weights_of("weight", block)
        config_types = self._config_types_of(block)
        none = np.zeros(())
        for i in range(len(block)):
            rows = slice(offsets[i], offsets[i + 1])
            group = self._objects.group(self._batch.id, f"config_{self._done + i}")
            add(group, "atomic_numbers", numbers[rows])
            add(group, "positions", positions[rows])
            properties = self._objects.group(group, "properties")
            label_weights = self._objects.group(group, "property_weights")
            for key, values, has, of_atoms, weight in labels:
                value = values[rows] if of_atoms else values[i, ...]
                add(properties, key, value if has[i] else self._nothing)
                add(label_weights, key, weight[i, ...] if has[i] else none)
            add(group, "cell", columns["cell"][i])
            add(group, "pbc", columns["pbc"][i])
            add(group, "weight", weights[i, ...])
            add(group, "config_type", config_types[i, ...])
        self._done += len(block)

    def _weights_of(self, name: str | None, block: Block) -> NDArray[np.float64]:
        """Return weights, shape (n,), which are one where nothing else is said."""
        if name is None or name not in block.columns:
            return np.ones(len(block))
        return np.where(block.has(name), block.columns[name], 1.0).astype(np.float64)

    def _config_types_of(self, block: Block) -> NDArray[Any]:
        """Return the text of each structure, shape (n,)."""
        if "config_type" not in block.columns:
            return self._config_types[np.full(len(block), -1)]
        return self._config_types[np.where(block.has("config_type"), block.columns["config_type"], -1)]

    def end(self) -> None:
        """Close the file."""
        self.abort()

    def abort(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
