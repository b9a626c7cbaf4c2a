"""ASE's databases: all rows and what is beside them, in parts, and nothing written."""

import zlib

import ase.db
import numpy as np
import pytest
from ase.build import molecule

import zstruct
from tests.sources.ase.reading import assert_same, packed, read
from zstruct.errors import InputError
from zstruct.sources.ase import database as module
from zstruct.sources.ase.database import ASEDatabaseSource
from zstruct.sources.ase.lmdb_pages import LMDBPages
from zstruct.sources.inputs import expand


@pytest.fixture(params=["db", "json"])
def database(request, tmp_path, frames):
    path = tmp_path / f"a.{request.param}"
    with ase.db.connect(path) as db:
        for i, atoms in enumerate(frames):
            db.write(
                atoms,
                group="even" if i % 2 == 0 else "odd",
                serial=i,
                data={
                    "REF_forces": atoms.get_forces() * 2,
                    "node": np.arange(len(atoms)) + 0.5,
                    "dipole": [1.0, 2.0, 3.0],
                    "gap": 0.5 * i,
                    "note": {"by": "me"},
                },
            )
        db.delete([1, 5, 6])
    return path


def test_rows_of_a_database(database, frames):
    kept = [a for i, a in enumerate(frames) if i + 1 not in (1, 5, 6)]
    source = ASEDatabaseSource(database)
    block = packed(source, keys={"forces": "forces"}, exclude=frozenset({"REF_forces"}))
    assert_same(block, kept)
    assert block.columns["frame"].tolist() == list(range(27))
    assert block.columns["serial"].tolist() == [i for i in range(30) if i not in (0, 4, 5)]
    assert [block.categories["group"][c] for c in block.columns["group"][:2]] == ["odd", "even"]
    assert block.columns["dipole"].tolist() == [[1, 2, 3]] * 27
    assert np.array_equal(block.columns["node"][: len(kept[0])], np.arange(len(kept[0])) + 0.5)
    assert block.categories["note"] == ['{"by": "me"}']


def test_labels_in_row_data_can_be_ambiguous(database):
    with pytest.raises(InputError, match="'forces' and 'REF_forces' could both be"):
        packed(ASEDatabaseSource(database))


def test_slices_of_a_database(database, monkeypatch):
    whole = read(ASEDatabaseSource(database))
    monkeypatch.setattr(module, "_SLICE_ROWS", 10)
    monkeypatch.setattr(module, "_QUERY_ROWS", 4)
    source = ASEDatabaseSource(database)
    pieces = source.scan()
    assert sum(p.nbytes for p in pieces) == source.fingerprint()["size"]
    if database.suffix == ".db":
        assert [(p.start, p.stop, p.first_frame) for p in pieces] == [(2, 14, 0), (14, 24, 10), (24, 31, 20)]
    blocks = [raw for piece in reversed(pieces) for raw in source.read(piece)]
    serials = {
        int(f): s for b in blocks for f, s in zip(b.frames, b.structure["serial"][0].values, strict=True)
    }
    assert serials == dict(enumerate(whole[0].structure["serial"][0].values))


def test_databases_are_only_read(database):
    before = database.read_bytes()
    database.chmod(0o444)
    read(ASEDatabaseSource(database))
    assert database.read_bytes() == before
    assert [p.name for p in database.parent.iterdir()] == [database.name]


def test_what_is_no_database(tmp_path):
    for name, data in (("a.db", b"SQLite? no"), ("b.db", b""), ("a.json", b"{}"), ("b.json", b"[1")):
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(InputError, match="as an ASE database"):
            ASEDatabaseSource(path).scan()
        assert path.read_bytes() == data


def test_empty_database(tmp_path):
    path = tmp_path / "a.db"
    with ase.db.connect(path) as db:
        db.delete([db.write(molecule("H2"))])
    with pytest.raises(InputError, match="no rows"):
        ASEDatabaseSource(path).scan()


def test_lmdb_is_read_in_parts_and_left_as_it_is(tmp_path, frames, monkeypatch):
    """As OMat24 and OMol25 come: many rows, several readers, on disks that can't be written."""
    pytest.importorskip("ase_db_backends")
    folder = tmp_path / "set"
    folder.mkdir()
    path = folder / "a.aselmdb"
    with ase.db.connect(path, type="aselmdb") as db:
        for k, atoms in enumerate(frames):
            db.write(atoms, data={"source": f"row {k}"})
    with ase.db.connect(path, type="aselmdb") as db:
        db.delete([3])
    for name in folder.iterdir():
        if name != path:
            name.unlink()  # what those who write leave
    before = path.read_bytes(), path.stat().st_mtime_ns
    path.chmod(0o444)
    folder.chmod(0o555)
    monkeypatch.setattr(module, "_SLICE_ROWS", 7)
    try:
        assert len(ASEDatabaseSource(path).scan()) == 5
        report = zstruct.build(path, tmp_path / "s.zarr", progress=False, workers=2)
        assert [name.name for name in folder.iterdir()] == ["a.aselmdb"]
    finally:
        folder.chmod(0o755)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    store = zstruct.open(report.path)
    left = [atoms for k, atoms in enumerate(frames, start=1) if k != 3]
    np.testing.assert_array_equal(store.energy.values, [a.get_potential_energy() for a in left])
    np.testing.assert_array_equal(store.positions.values, np.concatenate([a.positions for a in left]))


# LMDB


@pytest.fixture
def lmdb_file(tmp_path, frames):
    """A database as OMat24 and OMol25 are: one file, with labels and provenance beside them."""
    pytest.importorskip("ase_db_backends")
    path = tmp_path / "a.aselmdb"
    with ase.db.connect(path, type="aselmdb") as db:
        for k, atoms in enumerate(frames):
            db.write(atoms, data={"source": f"row {k}", "charge": k % 2, "mulliken": atoms.positions[:, 0]})
        db.metadata = {"energy_unit": "eV"}
    with ase.db.connect(path, type="aselmdb") as db:
        db.delete([1, 4, 30])
    return path


def test_rows_of_an_lmdb(lmdb_file, frames):
    kept = [atoms for k, atoms in enumerate(frames, start=1) if k not in (1, 4, 30)]
    block = packed(ASEDatabaseSource(lmdb_file))
    assert_same(block, kept)
    assert block.columns["total_charge"].tolist() == [k % 2 for k in range(30) if k + 1 not in (1, 4, 30)]
    mulliken = np.concatenate([atoms.positions[:, 0] for atoms in kept])
    np.testing.assert_array_equal(block.columns["mulliken"], mulliken)
    assert block.categories["input_source"][0] == "row 1"


def test_a_file_that_is_cut_off_is_a_bad_input(lmdb_file):
    """Its library would read beyond the end of the file, and the process were gone."""
    whole = lmdb_file.read_bytes()
    for size in (0, 100, 4096, 8192, len(whole) // 2, len(whole) - 4096):
        lmdb_file.write_bytes(whole[:size])
        with pytest.raises(
            InputError, match=r"a\.aselmdb: can't be read as an ASE database: .*(too short|cut off)"
        ):
            ASEDatabaseSource(lmdb_file).scan()


def test_a_damaged_row_is_a_bad_frame(lmdb_file):
    with LMDBPages(str(lmdb_file)) as pages:
        row = pages.get(b"7")
    lmdb_file.write_bytes(lmdb_file.read_bytes().replace(row, row[:20] + b"\0\0\0\0" + row[24:]))
    bad = [b for raw in read(ASEDatabaseSource(lmdb_file)) for b in raw.bad]
    assert [b.frame for b in bad] == [4]  # the fifth of those that are left
    assert bad[0].reason.startswith("row 7 can't be read: ValueError: its compression is damaged")


def test_what_rows_may_not_be(tmp_path):
    lmdb = pytest.importorskip("lmdb")
    path = tmp_path / "a.aselmdb"
    rows = {
        b"1": zlib.compress(b'{"numbers": [1], "cell": null}'),
        b"2": zlib.compress(b"[1, 2]"),
        b"3": zlib.compress(b'{"numbers": [1]}')[:-6],
        b"4": zlib.compress(b"[" * 100_000),
        b"5": b"text",
        b"99999999999999999999": b"",
        b"nextid": zlib.compress(b"1000000000000"),
    }
    with (
        lmdb.open(str(path), subdir=False, lock=False, map_size=1 << 24) as env,
        env.begin(write=True) as txn,
    ):
        for key, value in rows.items():
            txn.put(key, value)
    bad = {b.frame: b.reason for raw in read(ASEDatabaseSource(path)) for b in raw.bad}
    assert list(bad) == [0, 1, 2, 3, 4]
    for frame, words in enumerate(
        ("ASE can't use row 1", "no table", "cut off", "row 4 can't", "compression is")
    ):
        assert words in bad[frame]


def test_a_row_that_unpacks_to_too_much(lmdb_file, monkeypatch):
    monkeypatch.setattr("zstruct.sources.ase.rows._LARGEST_ROW", 300)
    bad = [b for raw in read(ASEDatabaseSource(lmdb_file)) for b in raw.bad]
    assert len(bad) == 27
    assert "unpacks to more than" in bad[0].reason


def test_the_table_of_sizes_beside_databases_is_left_out(lmdb_file, tmp_path):
    """As fairchem keeps one in the directories of OMat24 and OMol25."""
    np.savez(tmp_path / "metadata.npz", natoms=np.arange(27))
    sources, left = expand(tmp_path)
    assert [type(source) for source in sources] == [ASEDatabaseSource]
    assert str(tmp_path / "metadata.npz") in left
