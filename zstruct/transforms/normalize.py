"""`Normalize` and `Denormalize`: energies and forces for a model, and back.

Forces are minus the derivatives of energies, so both are scaled by one number, or the forces that
a model derives from its energy would not be those it is trained on. What is an energy or a
derivative of one is what the field table says.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import element_number, real, shown
from zstruct.batch.pack import pack, which
from zstruct.batch.packed import PackedBatch, Sample
from zstruct.batch.tensors import as_array, beside
from zstruct.elements import SYMBOLS, by_number
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.keywords import keywords
from zstruct.schema import ATOM, Field
from zstruct.transforms.transform import Transform, column_of

__all__ = ["Denormalize", "Normalize"]

_CHUNK = 4096  # structures


class _Takes(Protocol):
    """What `Normalize.fit` needs of a dataset."""

    def __len__(self) -> int: ...

    def take(self, indices: Any) -> PackedBatch: ...


@keywords()
@dataclass(frozen=True, eq=False)
class Normalize(Transform):
    r"""Scales energies and forces by one number, after taking a mean off the energy.

    With n atoms, :math:`E' = (E - n \cdot mean - \sum_a reference_a) / scale`, and the derivatives of
    energies become :math:`F' = F / scale` (so do stress and virial): still F' = -dE'/dR. Energies of
    single atoms (``energies``) are treated as that of one atom. Computed in double precision, in
    which datasets load total energies unless they are told otherwise.

    Parameters
    ----------
    mean
        Energy per atom to take off, in eV; where there are references, what is left after them.
    scale
        What energies, forces, stresses and virials are divided by.
    references
        Energies in eV to take off for each atom, by chemical symbol or atomic number.
    force_scale
        What forces alone are divided by instead. They are then no derivatives of the normalised
        energy any more: for models that predict them apart.

    Raises
    ------
    ValueError
        If a scale is not above zero, if an element is unknown or has no reference, or if there are
        references and energies, but no ``numbers``.

    Examples
    --------
    >>> water = {"numbers": np.array([8, 1, 1]), "energy": np.array(-14.0), "forces": np.ones((3, 3))}
    >>> normalize = Normalize(mean=-4.0, scale=2.0)
    >>> normalized = normalize(water)
    >>> normalized["energy"], normalized["forces"][0]
    (array(-1.), array([0.5, 0.5, 0.5]))
    >>> float(normalize.inverse(normalized)["energy"])
    -14.0
    """

    mean: float = 0.0
    scale: float = 1.0
    references: Mapping[str | int, float] | None = None
    force_scale: float | None = None
    _table: NDArray[np.float64] | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("scale", "force_scale"):
            value = real(name, getattr(self, name))
            if value is None and name == "scale":
                raise ArgumentTypeError("scale is a number, not None")
            if value is not None and not 0.0 < value < float("inf"):
                raise ValueError(f"{name} is what values are divided by, above zero, not {value}")
        if self.mean is None or not math.isfinite(real("mean", self.mean)):
            raise InputError(f"mean is an energy per atom in eV, not {self.mean}")
        object.__setattr__(self, "_table", _by_number(self.references))

    @classmethod
    def fit(
        cls,
        data: _Takes,
        *,
        scale: Literal["forces", "energy"] = "forces",
        references: Mapping[str | int, float] | None = None,
    ) -> Self:
        """Return the transform that fits a dataset, in one pass over it.

        Parameters
        ----------
        data
            A dataset with energies, and with forces if they make the scale: that of training, for a
            mean over test structures would tell about them. Load only these fields, and quickly.
        scale
            ``"forces"``: the root mean square of all force components, as is usual. ``"energy"``: the
            standard deviation of the energy per atom (divided by n, not n - 1).
        references
            As for `Normalize`; mean and deviation are then those of what is left.

        Raises
        ------
        ValueError
            If no structure has what is needed, or if the scale would be zero.
        """
        if scale not in ("forces", "energy"):
            raise ValueError(f"scale is 'forces' or 'energy', not {scale!r}")
        offset = cls(references=references)
        per_atom, squares, n_components = [], 0.0, 0
        for start in range(0, len(data), _CHUNK):
            batch = data.take(np.arange(start, min(start + _CHUNK, len(data))))
            energy = column_of(offset, batch, "energy")
            energy = energy - offset._offsets(batch, energy)
            per_atom.append((energy / batch.n_atoms)[np.isfinite(energy) & (batch.n_atoms > 0)])
            if scale == "forces":
                forces = column_of(offset, batch, "forces").astype(np.float64)
                forces = forces[np.isfinite(forces)]
                squares, n_components = squares + float(forces @ forces), n_components + forces.size
        energies = np.concatenate([np.empty(0), *per_atom])
        if energies.size == 0 or (scale == "forces" and n_components == 0):
            raise ValueError(f"no structure has {'an energy' if energies.size == 0 else 'forces'} to fit to")
        size = np.sqrt(squares / n_components) if scale == "forces" else energies.std()
        if size == 0.0:
            what = "forces are" if scale == "forces" else "energies per atom differ by"
            raise ValueError(f"all {what} zero, which can't be the scale; choose one: Normalize(scale=...)")
        return cls(float(energies.mean()), float(size), references)

    @property
    def inverse(self) -> Denormalize:
        """What turns predictions of a model back into energies and forces."""
        return Denormalize(self)

    def _offsets(self, batch: PackedBatch, energies: NDArray[Any] | None = None) -> NDArray[np.float64]:
        """Return what is taken off the energy of each structure, shape (n,); see `_atomic`."""
        if self._table is None:
            return np.multiply(batch.n_atoms, self.mean, dtype=np.float64)
        of_atoms = None if energies is None else energies[batch.batch]
        return np.bincount(batch.batch, self._atomic(batch, of_atoms), len(batch)).astype(np.float64)

    def _atomic(self, batch: PackedBatch, energies: NDArray[Any] | None = None) -> NDArray[np.float64]:
        """Return what is taken off the energy of each atom, shape (atoms,).

        Where there are energies and one is missing, its atoms need no reference.
        """
        if self._table is None:
            return np.full(len(batch.batch), self.mean)
        numbers = column_of(self, batch, "numbers")
        atomic = self._table[numbers]
        lost = np.isnan(atomic) if energies is None else np.isnan(atomic) & ~np.isnan(energies)
        if len(missing := np.flatnonzero(lost)):
            symbol, where = SYMBOLS[int(numbers[missing[0]])], which(batch, int(batch.batch[missing[0]]))
            raise ValueError(f"{where} has {symbol}, for which references give no energy")
        return atomic + self.mean

    def on_batch(self, batch: PackedBatch, epoch: int = 0) -> PackedBatch:
        """Normalise energies and forces; see `Transform.on_batch`."""
        for name, column in batch.columns.items():
            role = _role(self._fields.get(name))
            if role == "energy":
                of = self._atomic if name in batch.per_atom else self._offsets
                offsets = of(batch, column)
                batch.columns[name] = ((column - offsets) / self.scale).astype(column.dtype)
            elif role == "derivative":
                column /= self._scale_of(name)
        return batch

    def _scale_of(self, name: str) -> float:
        return self.scale if name != "forces" or self.force_scale is None else self.force_scale

    def _check(self, fields: Mapping[str, Field], extras: Collection[str]) -> None:
        energies = [name for name, known in fields.items() if _role(known) == "energy"]
        if self.references and energies and "numbers" not in fields:
            raise ValueError(f"Normalize needs numbers to take references off {energies[0]}: load them, too")


def _by_number(references: Mapping[str | int, float] | None) -> NDArray[np.float64] | None:
    """Return reference energies by atomic number, NaN where there is none."""
    if references is None:
        return None
    if not isinstance(references, Mapping):
        raise ArgumentTypeError(
            f"references are energies in eV by chemical symbol or atomic number, not {shown(references)}"
        )
    checked: dict[str, float] = {}
    for element, energy in references.items():
        number = element_number(element)
        if real(f"the reference energy of {shown(element)}", energy) is None:
            raise ArgumentTypeError(f"the reference energy of {shown(element)} is a number, not None")
        if number is None:
            raise ValueError(f"references are by chemical symbol or atomic number, not {element!r}")
        checked[SYMBOLS[number]] = energy
    return by_number(checked)


def _role(known: Field | None) -> Literal["energy", "derivative", None]:
    """Return whether a field is an energy, which has an offset, or a derivative of one, which has none."""
    if known is None or "eV" not in known.unit.split():
        return None
    return "energy" if known.unit == "eV" and known.rotates == "scalar" else "derivative"


@keywords()
@dataclass(frozen=True, eq=False)
class Denormalize(Transform):
    """Undoes `Normalize`, for batches and for predictions of a model.

    Parameters
    ----------
    normalize
        What to undo.
    """

    normalize: Normalize

    def __post_init__(self) -> None:
        if not isinstance(self.normalize, Normalize):
            raise ArgumentTypeError(f"Denormalize undoes a Normalize, not {shown(self.normalize)}")

    def on_batch(self, batch: PackedBatch, epoch: int = 0) -> PackedBatch:
        """Undo the normalisation; see `Transform.on_batch`."""
        forward = self.normalize
        for name, column in batch.columns.items():
            role = _role(forward._fields.get(name))
            if role == "energy":
                offsets = forward._atomic(batch) if name in batch.per_atom else forward._offsets(batch)
                batch.columns[name] = (column * float(forward.scale) + offsets).astype(column.dtype)
            elif role == "derivative":
                column *= forward._scale_of(name)
        return batch

    def __call__(self, data: Any, epoch: int = 0, *, batch: Mapping[str, Any] | None = None) -> Any:
        """Return energies, forces and so on in eV and angstrom.

        Parameters
        ----------
        data
            A `PackedBatch`, a `Sample`, or a mapping of predictions by the names of the fields, tensors
            or arrays; gradients of tensors pass through. Energies come
            back in double precision, where the device has it.
        epoch
            Makes no difference.
        batch
            What the predictions are for, in the graph or the padded layout: its ``n_atoms``, and with
            references its ``numbers``. By default they are in `data`, or `data` is one structure.

        Raises
        ------
        ValueError
            If there is no telling how many atoms, or which, a predicted energy is of.
        """
        if isinstance(data, PackedBatch | Sample):
            return super().__call__(data, epoch)
        about = _packed_about(data if batch is None else batch)
        changed = dict(data)
        for name, value in data.items():
            role = _role(self.normalize._fields.get(name))
            if role == "derivative":
                changed[name] = value * self.normalize._scale_of(name)
            elif role == "energy":
                offsets = self._offsets(name, about)
                changed[name] = value * self.normalize.scale + _alike(offsets, value)
        return changed

    def _offsets(self, name: str, about: PackedBatch | None) -> NDArray[np.float64]:
        if about is None:
            raise ValueError(
                f"there is no telling of how many atoms the {name} is; give the batch that it was predicted "
                "for: inverse(predictions, batch=batch)"
            )
        per_atom = self.normalize._fields[name].level == ATOM
        return self.normalize._atomic(about) if per_atom else self.normalize._offsets(about)


def _packed_about(batch: Mapping[str, Any]) -> PackedBatch | None:
    """Return how many atoms, and which, the structures of a batch have; None if that isn't known."""
    found = {name: as_array(batch[name]) for name in ("n_atoms", "numbers") if name in batch}
    numbers = found.get("numbers")
    if "n_atoms" not in found:
        return None if numbers is None or numbers.ndim != 1 else pack([{"numbers": numbers}])
    counts = found["n_atoms"].reshape(-1).astype(np.int64)
    if numbers is not None and numbers.ndim == 2:
        numbers = numbers[np.arange(numbers.shape[1]) < counts[:, None]]
    columns = {} if numbers is None else {"numbers": numbers}
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return PackedBatch(None, offsets, counts, columns, frozenset(columns))


def _alike(offsets: NDArray[np.float64], value: Any) -> Any:
    """Return offsets in the shape of a prediction, (n,), (n, 1) or (), and of its kind."""
    if math.prod(value.shape) != len(offsets):
        raise ValueError(
            f"predictions have the shape {tuple(value.shape)}, but the batch says {len(offsets)}"
        )
    return beside(offsets.reshape(value.shape), value)
