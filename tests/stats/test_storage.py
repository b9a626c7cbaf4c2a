"""Statistics that are kept with a store, and read again."""

import pytest

import zstruct
from tests.stats.conftest import check_same
from zstruct import InputError, StaleGroupError, StoreExistsError


def test_kept_and_read_again(path):
    zstruct.split(path, [0.5, 0.5], name="default")
    found = zstruct.statistics(path, "train", references={"H": 1, "C": 2, "O": 3, "Ti": 4}, name="train")
    again = zstruct.open_statistics(path, "train")
    check_same(again, found)
    assert dict(again.force_quantiles) == dict(found.force_quantiles)
    assert repr(again) == repr(found)
    assert "<table>" in again._repr_html_()
    zstruct.verify(path)
    zstruct.statistics(path, name="all")
    assert zstruct.open_statistics(path).structures == 60
    with pytest.raises(StoreExistsError, match="another set of statistics 'all'"):
        zstruct.statistics(path, "val", name="all")
    with pytest.raises(InputError, match="it has all, train"):
        zstruct.open_statistics(path, "val")
    zstruct.split(path, [0.5, 0.5], seed=1, name="default", overwrite=True)
    with pytest.raises(StaleGroupError, match="which is another one now"):
        zstruct.open_statistics(path, "train")
