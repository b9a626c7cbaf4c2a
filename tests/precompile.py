"""Compile all kernels before the tests are run, in two processes, so that no two tests compile the same."""

import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from zstruct.jit import cache
from zstruct.jit.kernel import compiled_always
from zstruct.precompilation import FAMILIES, use_duplicates, use_features, use_stores, use_the_rest


def stores() -> None:
    """Compile what building, statistics and batches need."""
    with compiled_always(), tempfile.TemporaryDirectory() as folder:
        use_stores(Path(folder))


def duplicates() -> None:
    """Compile what the comparison of structures needs."""
    with compiled_always(), tempfile.TemporaryDirectory() as folder:
        use_duplicates(Path(folder))


def features() -> None:
    """Compile what descriptors and their derivatives need."""
    with compiled_always():
        use_features()


def rest() -> None:
    """Compile what some files of inputs need, and exports."""
    with compiled_always():
        use_the_rest()


def main() -> None:
    """Compile what is not kept on disk."""
    if all(cache.is_kept(family) for family in FAMILIES):
        return
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for task in [pool.submit(part) for part in (stores, duplicates, features, rest)]:
            task.result()


if __name__ == "__main__":
    main()
