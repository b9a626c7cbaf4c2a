"""What the tests of batches and of layouts share: structures of the store made by hand, and equality."""

import torch

PICK = [5, 0, 60, 17, 5, 12]


def same(a, b):
    """Check that two samples or batches hold the same tensors."""
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=0, equal_nan=True)
