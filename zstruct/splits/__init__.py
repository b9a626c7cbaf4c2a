"""Splits: which structures to train, validate and test on, drawn once and kept with the store."""

from zstruct.splits.parts import Split
from zstruct.splits.split import kfold, split
from zstruct.splits.storage import open_split

__all__ = ["Split", "kfold", "open_split", "split"]
