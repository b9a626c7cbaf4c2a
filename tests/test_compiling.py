"""Whoever waits for a compiler is told so, once, and not when kernels come from the disk."""

import os
import subprocess
import sys
import textwrap

SENTENCE = "zstruct compiles its kernels, which takes some seconds and is done once\n"


def errors(tmp_path, code):
    """Return what a fresh process prints to its error stream."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr


def test_the_first_compilation_is_announced(tmp_path):
    code = """
        import numpy as np
        from zstruct.features.kernels.statistics import summarize
        for dtype in (np.float32, np.float64):
            counts, outs = np.zeros(1, np.int64), [np.zeros((1, 2)) for _ in range(4)]
            summarize(np.ones((3, 2), dtype), np.zeros(3, np.int64), counts, *outs)
            assert counts[0] == 3
    """
    assert errors(tmp_path, code) == SENTENCE
    assert errors(tmp_path, code) == ""


def test_kernels_of_others_are_not_mentioned(tmp_path):
    code = """
        import numba
        import zstruct.features.kernels
        assert numba.njit(lambda x: x + 1)(1) == 2
    """
    assert errors(tmp_path, code) == ""
