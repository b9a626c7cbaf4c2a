"""Splits: which structures to train, validate and test on, drawn once and kept with the store."""

from zstruct.splits.leaks import Leaks, leaks
from zstruct.splits.split import kfold, split
from zstruct.store.split_parts import Split
from zstruct.store.splits import open_split

__all__ = ["Leaks", "Split", "kfold", "leaks", "open_split", "split"]
