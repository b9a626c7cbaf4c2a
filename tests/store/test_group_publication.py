"""Nothing is published that can't be opened: the store stays as it was."""

import json
import shutil

import numpy as np
import pytest

import zstruct
from tests.conftest import random_atoms, tree_bytes
from zstruct.features import NeighborList, featurize_groups
from zstruct.store import groups, write


@pytest.fixture(scope="module")
def built_once(tmp_path_factory):
    path, rng = tmp_path_factory.mktemp("built") / "s.zarr", np.random.default_rng(1)
    zstruct.build([random_atoms(rng) for _ in range(6)], path, progress=False)
    return path


@pytest.fixture
def built(tmp_path, built_once):
    return shutil.copytree(built_once, tmp_path / "s.zarr")


def _damage_documents(path, array):
    file = path / array / "zarr.json"
    said = json.loads(file.read_text())
    said["codecs"][0]["configuration"]["chunk_shape"] = [0]
    file.write_text(json.dumps(said))


def _damage_shards(path, array):
    for file in (path / array / "c").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:-3] + b"...")


@pytest.mark.parametrize("damage", [_damage_documents, _damage_shards])
@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("what", ["featurize", "split"])
def test_groups_that_can_not_be_opened_are_not_published(built, monkeypatch, what, damage, overwrite):
    def add(cutoff, share):
        if what == "featurize":
            options = {"name": "list", "overwrite": overwrite, "progress": False}
            return zstruct.featurize(built, NeighborList(cutoff), **options)
        return zstruct.split(built, [share, 1 - share], name="list", overwrite=overwrite)

    if overwrite:
        add(2.0, 0.5)
    before = tree_bytes(built)
    real = write.complete

    def complete(path, *arguments):
        real(path, *arguments)
        damage(path, "indices" if what == "featurize" else "codes")

    with monkeypatch.context() as patch:
        patch.setattr(featurize_groups, "complete", complete)
        patch.setattr(groups, "complete", complete)
        with pytest.raises(zstruct.CorruptStoreError, match="it is not published"):
            add(3.0, 0.2)
    assert tree_bytes(built) == before
    zstruct.verify(built)
    add(3.0, 0.2)  # and it can be made when it works again
    zstruct.verify(built)
