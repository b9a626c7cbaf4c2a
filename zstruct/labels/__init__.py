"""Labels beside a store's own: further truths about the same structures, kept in groups of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zstruct.lazy import lazy_names

if TYPE_CHECKING:
    from zstruct.labels.addition import add
    from zstruct.store.labels import Labels

__all__ = ["Labels", "add"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Labels": "zstruct.store.labels",
        "add": "zstruct.labels.addition",
    },
)
