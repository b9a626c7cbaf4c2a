"""Labels by a calculator of ASE, one structure after the other. A structure that fails has a reason."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import shown
from zstruct.batch.packed import PackedBatch
from zstruct.errors import InputError
from zstruct.labels.labeller import reason_of
from zstruct.schema import ATOM, FIELDS, GEOMETRY
from zstruct.to_ase import atoms_of

__all__ = ["calculated", "calculator_of"]

_USUAL = ("energy", "forces", "stress")
_LEFT = "PropertyNotImplementedError"
_MADE = threading.local()  # the calculator of each thread: it holds one structure at a time
# What ASE calls inputs of calculators that stores have.
_INFO = {"total_charge": "charge", "spin_multiplicity": "spin"}


def calculator_of(how: Callable[[], Any]) -> Any:
    """Return the calculator of this thread, made once.

    Raises
    ------
    InputError
        If what should make it does not.
    """
    if getattr(_MADE, "how", None) is not how:
        made = how()
        if not (hasattr(made, "get_property") or hasattr(made, "get_potential_energy")):
            raise InputError(
                "how takes no arguments, so it should make a calculator of ASE, and it returned "
                f"{shown(made)}; a function that makes labels takes a batch"
            )
        _MADE.how, _MADE.calculator = how, made
    return _MADE.calculator


def calculated(
    how: Callable[[], Any],
    batch: PackedBatch,
    volume: NDArray[np.float64],
    fields: tuple[str, ...] | None,
) -> tuple[dict[str, NDArray[Any]], dict[int, str]]:
    """Return the labels of a batch by name, NaN where there are none, and why structures failed.

    Parameters
    ----------
    how
        Makes the calculator.
    batch
        The structures, with their geometry.
    volume
        Their volumes, shape (n,); without one there is no stress.
    fields
        What to compute; None: energy, forces and stress, as far as the calculator has them.

    Raises
    ------
    InputError
        If the calculator has not what is asked for.
    """
    calculator = calculator_of(how)
    wanted = _wanted(calculator, fields)
    found: dict[str, list[Any]] = {name: [None] * len(batch) for name in wanted}
    reasons: dict[int, str] = {}
    for k in range(len(batch)):
        try:
            atoms = _atoms(batch, k)
            atoms.calc = calculator
            for name in wanted:
                if name == "stress" and volume[k] == 0:
                    continue
                found[name][k] = _result(calculator, name, atoms)
        except Exception as error:  # noqa: BLE001 (whatever a calculator raises)
            reasons[k] = reason_of(error)
            for values in found.values():
                values[k] = None
            getattr(calculator, "reset", lambda: None)()
    return {name: rows for name in wanted if (rows := _packed(name, found[name], batch)) is not None}, reasons


def _wanted(calculator: Any, fields: tuple[str, ...] | None) -> tuple[str, ...]:
    there = getattr(calculator, "implemented_properties", None)
    if fields is None:
        return _USUAL if not there else tuple(name for name in _USUAL if name in there)
    lost = [name for name in fields if there and name not in there]
    if lost and there is not None:
        raise InputError(
            f"the calculator {type(calculator).__name__} has no {', '.join(lost)}; it has {', '.join(there)}"
        )
    return fields


def _atoms(batch: PackedBatch, k: int) -> Any:
    """Return a structure of a batch as Atoms."""
    start, stop = batch.offsets[k : k + 2].tolist()
    values: dict[str, Any] = {}
    for name, column in batch.columns.items():
        if name in GEOMETRY:
            values[name] = np.array(column[start:stop] if name in batch.per_atom else column[k])
    atoms = atoms_of(values, set(), {})
    for name in ("initial_charges", "initial_magmoms"):
        rows = batch.columns.get(name)
        if rows is not None and not np.isnan(rows[start:stop]).any():
            atoms.set_array(name, np.array(rows[start:stop]))
    for name, called in _INFO.items():
        value = batch.columns.get(name)
        if value is not None and not np.isnan(value[k]):
            atoms.info[called] = value[k].item()
    return atoms


def _result(calculator: Any, name: str, atoms: Any) -> Any:
    """Return a copy of a result; None for what the calculator has not for this structure."""
    try:
        if hasattr(calculator, "get_property"):
            return np.array(calculator.get_property(name, atoms))
        methods = {"energy": "get_potential_energy", "forces": "get_forces", "stress": "get_stress"}
        return np.array(getattr(calculator, methods.get(name, f"get_{name}"))(atoms))
    except Exception as error:
        if type(error).__name__ == _LEFT and name != "energy":
            return None
        raise


def _packed(name: str, values: list[Any], batch: PackedBatch) -> NDArray[Any] | None:
    """Return results of structures as rows; None if no structure has any."""
    there = [value for value in values if value is not None]
    if not there:
        return None
    per_atom = name in FIELDS and FIELDS[name].level == ATOM
    counts = batch.n_atoms.tolist()
    shape = there[0].shape[1:] if per_atom else there[0].shape
    rows = []
    for value, n in zip(values, counts, strict=True):
        wanted = (n, *shape) if per_atom else shape
        if value is not None and value.shape != wanted:
            raise InputError(f"{name} of the calculator has the shape {value.shape}, not {wanted}")
        rows.append(np.full(wanted, np.nan) if value is None else value)
    return np.concatenate(rows) if per_atom else np.array(rows)
