"""Compile all kernels before the tests are run, in two processes, so that no two tests compile the same."""

import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from zstruct.jit import cache
from zstruct.jit.kernel import compiled_always
from zstruct.precompilation import FAMILIES, use_duplicates, use_features, use_stores, use_the_rest


def call(use: Callable[[], None]) -> None:
    """Compile what something needs, by its use."""
    with compiled_always():
        use()


def call_in_folder(use: Callable[[Path], None]) -> None:
    """Compile what something needs that writes files, by its use."""
    with tempfile.TemporaryDirectory() as folder:
        call(partial(use, Path(folder)))


def main() -> None:
    """Compile what is not kept on disk."""
    if all(cache.is_kept(family) for family in FAMILIES):
        return
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        tasks = [pool.submit(call_in_folder, use) for use in (use_stores, use_duplicates)]
        tasks += [pool.submit(call, use) for use in (use_features, use_the_rest)]
        for task in tasks:
            task.result()


if __name__ == "__main__":
    main()
