"""Splits: which structures to train, validate and test on, drawn once and kept with the store."""

from zstruct.splits.split import Split, kfold, open_split, split

__all__ = ["Split", "kfold", "open_split", "split"]
