"""Stores that several modules of tests begin with."""

import shutil

import pytest

from tests.conftest import shrink_chunks
from tests.full_store import write_full_store


@pytest.fixture(scope="session")
def full_once(tmp_path_factory):
    """What `full` is copied from: to be read only."""
    with pytest.MonkeyPatch.context() as patch:
        shrink_chunks(patch)
        write_full_store(path := tmp_path_factory.mktemp("once") / "full.zarr")
    return path


@pytest.fixture
def full(tmp_path, full_once, small_chunks):
    """A store with groups of all kinds, and shards of two small chunks."""
    return shutil.copytree(full_once, tmp_path / "full.zarr")
