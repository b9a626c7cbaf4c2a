"""Every edit of the metadata that changes what a reader sees is found by `zstruct.verify`."""

import json
import random
import shutil
import zipfile
from pathlib import Path

import pytest

import zstruct
from tests.edits import changed_at, keys_of, values_for
from tests.full_store import write_full_store

OLD = Path(__file__).parents[1] / "data" / "store-0.1.zip"


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    path = tmp_path_factory.mktemp("full") / "s.zarr"
    write_full_store(path)
    zstruct.verify(path)
    return path


def _text(document):
    return json.dumps(document, sort_keys=True)


@pytest.mark.slow
def test_random_edits_of_all_documents_are_found(full, tmp_path, long_run):
    seed = 7 if long_run else random.randrange(1000)
    chance = random.Random(seed)
    path = tmp_path / "s.zarr"
    shutil.copytree(full, path)
    files = sorted(path.rglob("zarr.json"))
    assert len({file.relative_to(path).parts[0] for file in files}) > 15
    edits = 0
    while edits < (2000 if long_run else 20):
        file = chance.choice(files)
        text = file.read_text()
        document = json.loads(text)
        key = chance.choice(list(keys_of(document)))
        if key == ("consolidated_metadata",):
            continue  # readers do without it
        value = document
        for part in key:
            value = value[part]
        changed = changed_at(document, key, chance.choice(values_for(value)))
        if _text(changed) == _text(document):
            continue
        file.write_text(json.dumps(changed))
        try:
            zstruct.verify(path)
        except zstruct.ZstructError as error:
            found = str(error)
        else:
            found = ""
        file.write_text(text)
        assert str(path) in found, f"{file.relative_to(path)}: {key}, with seed {seed}"
        edits += 1
    zstruct.verify(path)


@pytest.mark.parametrize(
    ("group", "key", "value"),
    [
        ("", "atomic_energies", {"H": -1.5, "C": -2.0, "O": -3.0, "Ti": -4.0}),
        ("energy", "units", "hartree"),
        ("forces", "rotates", "scalar"),
        ("stress", "coverage", 7),
        ("splits/default", "labels", ["val", "train"]),
        ("references/default", "energies", {"H": 0.0, "C": 0.0, "O": 0.0, "Ti": 0.0}),
        ("statistics/all", "structures", 7),
        ("features/chebyshev", "cutoff", 3.0),
        ("neighbors/rc2/indices", "long_name", "others"),
    ],
)
def test_an_edit_that_is_made_everywhere_is_found(full, tmp_path, group, key, value):
    path = tmp_path / "s.zarr"
    shutil.copytree(full, path)
    own = json.loads((path / group / "zarr.json").read_text())
    assert own["attributes"][key] != value
    own["attributes"][key] = value
    (path / group / "zarr.json").write_text(json.dumps(own))
    if group:
        root = json.loads((path / "zarr.json").read_text())
        root["consolidated_metadata"]["metadata"][group]["attributes"][key] = value
        (path / "zarr.json").write_text(json.dumps(root))
    with pytest.raises(zstruct.CorruptStoreError, match="are not those that were written"):
        zstruct.verify(path)


def test_a_fill_value_or_a_chunk_size_of_another_store_is_found(full, tmp_path):
    for key, value in (("fill_value", 0.0), ("dimension_names", ["atom", "x"])):
        path = tmp_path / key
        shutil.copytree(full, path)
        root = json.loads((path / "zarr.json").read_text())
        for file, said in (
            (path / "positions" / "zarr.json", json.loads((path / "positions" / "zarr.json").read_text())),
            (path / "zarr.json", root),
        ):
            array = said["consolidated_metadata"]["metadata"]["positions"] if said is root else said
            array[key] = value
            file.write_text(json.dumps(said))
        with pytest.raises(zstruct.CorruptStoreError):
            zstruct.verify(path)


def test_a_group_taken_out_of_the_consolidated_metadata_is_found(full, tmp_path):
    path = tmp_path / "s.zarr"
    shutil.copytree(full, path)
    root = json.loads((path / "zarr.json").read_text())
    del root["consolidated_metadata"]["metadata"]["splits/default/codes"]
    (path / "zarr.json").write_text(json.dumps(root))
    with pytest.raises(zstruct.CorruptStoreError, match="does not list splits/default/codes"):
        zstruct.verify(path)


def test_a_store_without_consolidated_metadata_verifies(full, tmp_path):
    path = tmp_path / "s.zarr"
    shutil.copytree(full, path)
    root = json.loads((path / "zarr.json").read_text())
    del root["consolidated_metadata"]
    (path / "zarr.json").write_text(json.dumps(root))
    zstruct.verify(path)


def test_a_store_of_version_0_1_verifies(tmp_path):
    with zipfile.ZipFile(OLD) as packed:
        packed.extractall(tmp_path)
    zstruct.verify(tmp_path / "store-0.1.zarr")
