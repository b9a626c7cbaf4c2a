"""MACE's own data, for tests that compare with it."""

import warnings

import pytest


def imported():
    """Return ``mace.data`` and ``mace.tools``. Importing MACE makes torch.load unsafe, and it warns a lot."""
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        patch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # as MACE does; undone afterwards
        pytest.importorskip("mace", reason="needs mace-torch")
        import mace.data
        import mace.tools
    return mace.data, mace.tools
