"""Parameters of the built-in descriptors for those who have none in mind yet.

Cutoffs and orders are of the size that potentials of crystals and molecules use; whoever publishes numbers
should choose their own. Chemical symbols are those of a store.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zstruct.elements import SYMBOLS
from zstruct.store.store import Store

__all__ = ["completed"]

_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "chebyshev": {"rad_order": 10, "rad_cutoff": 6.0, "ang_order": 3, "ang_cutoff": 4.0},
    "acsf": {
        "r_cut": 6.0,
        "g2_params": [[eta, 0.0] for eta in (0.01, 0.05, 0.2, 0.5, 1.0, 3.0)],
        "g4_params": [[0.01, zeta, sign] for zeta in (1, 2, 4) for sign in (1, -1)],
    },
    "neighbors": {"cutoff": 5.0},
    "neighborlist": {"cutoff": 5.0},
}


def completed(name: str, parameters: Mapping[str, Any], store: Store) -> dict[str, Any]:
    """Return parameters of a descriptor with those put in that are not given.

    Parameters
    ----------
    name
        Of the descriptor, in any case.
    parameters
        Those that are given.
    store
        Where the structures are; their elements are the species, by atomic number.
    """
    defaults = dict(_DEFAULTS.get(name.lower(), {}))
    if name.lower() in ("chebyshev", "acsf") and "species" not in parameters:
        species = store.attrs.get("species") or {SYMBOLS[z] for z in set(store.read("numbers").tolist())}
        defaults = {"species": sorted(species, key=SYMBOLS.index), **defaults}
    return defaults | dict(parameters)
