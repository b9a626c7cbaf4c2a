"""Whoever waits for a compiler is told so, and how long, but not when kernels come from the disk."""


def errors(fresh, cache, code):
    """Return what a fresh process prints to its error stream."""
    return fresh.errors(code, NUMBA_CACHE_DIR=str(cache))[0]


def test_compilations_are_announced_with_what_they_take(tmp_path, fresh):
    code = """
        import gc
        import numpy as np
        from zstruct.features.kernels.statistics import summarize
        from zstruct.layouts.kernels import mark_rows
        counts, outs = np.zeros(1, np.int64), [np.zeros((1, 2)) for _ in range(4)]
        summarize(np.ones((3, 2)), np.zeros(3, np.int64), counts, *outs)
        assert counts[0] == 3
        real = np.zeros((1, 3), bool)
        mark_rows(np.array([2]), real)
        assert real.tolist() == [[True, True, False]]
        assert gc.isenabled()
    """
    first, second = errors(fresh, tmp_path, code).splitlines()
    assert first == (
        "zstruct compiles zstruct.features.kernels.statistics.summarize "
        "(about 1 s; done once, `zstruct warmup` does all at once)"
    )
    assert second == "zstruct compiles zstruct.layouts.kernels.mark_rows (about 1 s)"
    assert errors(fresh, tmp_path, code) == ""


def test_kernels_of_others_are_not_mentioned(tmp_path, fresh):
    code = """
        import numba
        from zstruct.jit.notice import watch
        watch()
        assert numba.njit(lambda x: x + 1)(1) == 2
    """
    assert errors(fresh, tmp_path, code) == ""


def test_garbage_that_nobody_collected_before_is_not_collected_after(tmp_path, fresh):
    code = """
        import gc
        import numpy as np
        from zstruct.layouts.kernels import mark_rows
        gc.disable()
        mark_rows(np.array([2]), np.zeros((1, 3), bool))
        assert not gc.isenabled()
    """
    assert "mark_rows" in errors(fresh, tmp_path, code)
