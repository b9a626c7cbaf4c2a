"""Kernels run both ways: as Python runs them, and compiled."""


def both(run, *kernels):
    """Return what `run` makes of the kernels as Python runs them, and compiled."""
    return run(*(one.interpreted for one in kernels)), run(*kernels)
