"""The attributes that a Dataset shows: those of the store, as any file can carry them.

NetCDF and most other formats know text and numbers only. So what is nested becomes JSON text. What people
look for comes first, the options of the build and digests last.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.store.spec import DATASET_TYPE

__all__ = ["flat", "nested", "of_dataset", "stands_for"]

_TYPE = "encoding-type"
_FIRST = ("n_structures", "n_atoms", "species", "atomic_energies")
_LAST = ("build", _TYPE, "encoding-version", "digest", "metadata_digest")


def of_dataset(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a Dataset, given those of its store.

    Examples
    --------
    >>> of_dataset({"status": "complete", "digest": "5a", "species": {"H": 2}, "n_atoms": 2})
    {'n_atoms': 2, 'species': '{"H": 2}', 'encoding-type': 'zstruct-dataset', 'digest': '5a'}
    """
    said = {**attrs, _TYPE: DATASET_TYPE}
    said.pop("status", None)
    between = [key for key in said if key not in _FIRST and key not in _LAST]
    return flat({key: said[key] for key in (*_FIRST, *between, *_LAST) if key in said})


def flat(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes of which each is text, a number, or a list of one kind of those.

    Examples
    --------
    >>> flat({"units": "eV", "range": [0, 1.5], "made": {"by": None}, "ok": True, "none": []})
    {'units': 'eV', 'range': [0, 1.5], 'made': '{"by": null}', 'ok': 'true', 'none': '[]'}
    """
    return {key: value if _is_flat(value) else json.dumps(value) for key, value in attrs.items()}


def nested(value: Any) -> Any:
    """Return an attribute as the store has it: what `flat` made text of, as it was.

    Examples
    --------
    >>> nested('{"H": 2}'), nested({"H": 2})
    ({'H': 2}, {'H': 2})
    """
    return json.loads(value) if isinstance(value, str) else value


def _is_flat(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return len(value) > 0 and all(_is_number(x) for x in value)
    return isinstance(value, str | np.ndarray) or _is_number(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_)


def stands_for(kind: Any, values: NDArray[Any]) -> bool:
    """Return whether floats stand for whole numbers or booleans, as the attribute ``kind`` of them says.

    Format 1.0 keeps these as floats where some structures have none. Xarray keeps attributes through
    arithmetic, so the values have to agree.

    Parameters
    ----------
    kind
        What the attribute says.
    values
        All of them.

    Examples
    --------
    >>> stands_for("bool", np.array([1.0, np.nan])), stands_for("bool", np.array([2.0, np.nan]))
    (True, False)
    """
    if values.dtype.kind != "f" or kind not in ("int", "bool"):
        return False
    given = values[~np.isnan(values)]
    if kind == "bool":
        return bool(np.isin(given, (0, 1)).all())
    return bool((np.isfinite(given) & (given == np.floor(given)) & (np.abs(given) < 2.0**63)).all())
