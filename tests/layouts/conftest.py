"""Frames of every kind as a store, and as a dataset with their pairs."""

import pytest

from tests.layouts.frames import CUTOFF, write_frames


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store of the frames."""
    return write_frames(tmp_path_factory.mktemp("layouts") / "frames.zarr")


@pytest.fixture(scope="module")
def paired(store):
    """The frames in double precision, with their pairs."""
    torch = pytest.importorskip("torch")
    from zstruct.loading import ZarrStructureDataset

    return ZarrStructureDataset(store, dtype=torch.float64, neighbors=CUTOFF)
