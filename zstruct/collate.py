"""The layouts of batches under their public name; `zstruct.loading.collate` has them."""

from zstruct.loading.collate import (
    LAYOUTS,
    Layout,
    as_list,
    fairchem,
    graph,
    mace,
    padded,
    physnet,
    pyg,
    schnetpack,
)

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
    "schnetpack",
]
