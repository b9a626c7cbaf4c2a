"""Join samples into batches: the layouts that models take.

`graph` puts the atoms of all structures end to end, `padded` gives each structure the same number
of rows, `as_list` leaves them apart; `physnet`, `pyg`, `schnetpack`, `mace` and `fairchem` are what
other libraries train on. All are plain functions, so a ``DataLoader`` with worker processes can carry
them (`functools.partial` sets their options). They take what the dataset returns for a list of
indices, or a list of samples from anywhere. `register` gives another function a name; the table of
names is in ``registry``. Nothing here knows of stores.

Batches are made with NumPy, not torch: torch would start its thread pool for such small copies,
which slows them down wherever several processes or threads make batches. It is only loaded where
tensors are wanted.
"""

from __future__ import annotations

from zstruct.layouts.fairchem import fairchem
from zstruct.layouts.graph import as_list, graph
from zstruct.layouts.mace import mace
from zstruct.layouts.padded import padded
from zstruct.layouts.physnet import physnet
from zstruct.layouts.pyg import pyg
from zstruct.layouts.registry import LAYOUTS, Layout, register
from zstruct.layouts.schnetpack import schnetpack

__all__ = [
    "LAYOUTS",
    "Layout",
    "as_list",
    "fairchem",
    "graph",
    "mace",
    "padded",
    "physnet",
    "pyg",
    "register",
    "schnetpack",
]
