"""What one call of `rewrite` asks for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal

from zstruct.building.rewrite_plan import Form
from zstruct.building.run_options import RunOptions
from zstruct.keywords import set_fields
from zstruct.store.chunk_codec import Compression
from zstruct.store.store import Store

__all__ = ["RewriteRequest"]


@dataclass(frozen=True)
class RewriteRequest(RunOptions):
    """A store to rewrite, where to, in which form, and how.

    Parameters
    ----------
    store
        The store: a directory, a ``.zip`` file, a URL, or one that is open.
    out
        The store to make, a local directory (on a cluster: one that every worker can reach).
    encoding
        ``"decimal"`` stores float64 numbers that were written as decimals as whole numbers, in about half the
        bytes; an array that has others, or -0.0, stays as it is. ``"plain"`` stores all numbers as they
        are, which everything that reads Zarr can read. By default the encoding stays what it is.
    compression
        ``"fast"``, to be read in training, ``"small"``, to be kept, or ``"raw"``, for fast disks with
        room. By default it stays what it is.
    chunks
        Rows of a chunk, the unit of reading, of arrays over atoms or structures: a number for both, or
        ``{"atom": 65536, "structure": 16384}``. By default, and in groups, chunks stay what they are. Digests
        are made of those of pieces, so other chunks give the store another digest.
    storage_options
        Of a URL, for fsspec: keys, endpoints and the like.

    Raises
    ------
    InputError
        If an option can't be used.
    """

    store: str | os.PathLike[str] | Store
    out: str | os.PathLike[str]
    _: KW_ONLY
    encoding: Literal["decimal", "plain"] | None = None
    compression: Compression | None = None
    chunks: int | Mapping[str, int] | None = None
    storage_options: Mapping[str, Any] | None = None

    form: Form = field(init=False)

    def __post_init__(self) -> None:
        set_fields(self, form=Form(self.encoding, self.compression, self.chunks))
        super().__post_init__()
