"""Splits: which structures to train, validate and test on, drawn once and kept with the store."""

from zstruct.splits.leaks import Leaks, leaks
from zstruct.splits.parts import Split
from zstruct.splits.split import kfold, split
from zstruct.splits.storage import open_split

__all__ = ["Leaks", "Split", "kfold", "leaks", "open_split", "split"]
