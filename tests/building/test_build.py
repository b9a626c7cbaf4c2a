"""`zstruct.build` end to end: what goes in comes out, whatever the route."""

import io
import json

import numpy as np
import pytest
import xarray as xr
from ase import Atoms
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import zstruct
from tests.conftest import extxyz_text, random_atoms, tree_bytes
from zstruct import InputError
from zstruct.building import parts
from zstruct.store.store import Store


def _check_equal(path, frames):
    store = Store(path)
    assert store.n_structures == len(frames)
    assert store.read("n_atoms").tolist() == [len(a) for a in frames]
    np.testing.assert_array_equal(store.read("numbers"), np.concatenate([a.numbers for a in frames]))
    np.testing.assert_array_equal(store.read("positions"), np.concatenate([a.positions for a in frames]))
    np.testing.assert_array_equal(store.read("cell"), np.array([a.cell.array for a in frames]))
    np.testing.assert_array_equal(store.read("pbc"), np.array([a.pbc for a in frames]))
    forces = [a.calc.results["forces"] if a.calc else np.full((len(a), 3), np.nan) for a in frames]
    np.testing.assert_array_equal(store.read("forces"), np.concatenate(forces))
    energy = [a.calc.results["energy"] if a.calc else np.nan for a in frames]
    np.testing.assert_array_equal(store.read("energy"), energy)
    stress = [
        a.calc.results.get("stress", np.full(6, np.nan)) if a.calc else np.full(6, np.nan) for a in frames
    ]
    np.testing.assert_array_equal(store.read("stress"), np.array(stress))


def test_text_and_objects_give_the_same_numbers(tmp_path, frames, xyz_file):
    zstruct.build(xyz_file, tmp_path / "a.zarr", progress=False)
    zstruct.build(frames, tmp_path / "b.zarr", progress=False)
    zstruct.build(iter(frames), tmp_path / "c.zarr", progress=False)
    for name in "abc":
        _check_equal(tmp_path / f"{name}.zarr", frames)
        zstruct.verify(tmp_path / f"{name}.zarr")


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32), st.integers(1, 40), st.booleans())
def test_any_structures_come_back(tmp_path_factory, small_chunks, seed, n, shuffled):
    rng = np.random.default_rng(seed)
    frames = [random_atoms(rng, labels=bool(rng.integers(4))) for _ in range(n)]
    frames[0] = random_atoms(rng, periodic=True)
    path = tmp_path_factory.mktemp("any") / "s.zarr"
    zstruct.build(frames, path, encoding={"shuffle_seed": seed if shuffled else None}, progress=False)
    if shuffled:
        order = np.random.default_rng(seed).permutation(n)
        assert Store(path).read("frame").tolist() == order.tolist()
        frames = [frames[i] for i in order]
    _check_equal(path, frames)
    zstruct.verify(path)


def test_many_parts_and_shards_are_one_store(tmp_path, frames, small_chunks, monkeypatch):
    monkeypatch.setattr("zstruct.building.manifest._JOB_BYTES", 0)
    files = []
    for k in range(0, 30, 3):
        files.append(tmp_path / f"part{k}.xyz")
        files[-1].write_text(extxyz_text(frames[k : k + 3]))
    report = zstruct.build(files, tmp_path / "s.zarr", progress=False)
    _check_equal(tmp_path / "s.zarr", frames)
    store = Store(tmp_path / "s.zarr")
    assert report.n_structures == 30
    assert store.grid("positions").n_shards(store.n_atoms) > 3
    assert store.categories("source") == [str(f) for f in files]
    assert store.read("frame").tolist() == [0, 1, 2] * 10
    assert report.species == {
        s: sum(a.get_chemical_symbols().count(s) for a in frames) for s in ("H", "C", "O", "Ti")
    }


@pytest.mark.parametrize("shuffle_seed", [pytest.param(None, marks=pytest.mark.long), 3])
def test_parts_in_memory_and_in_files_give_the_same_bytes(
    tmp_path, frames, small_chunks, monkeypatch, shuffle_seed
):
    monkeypatch.setattr("zstruct.building.parse._BLOCK_BYTES", 500)
    for k in range(6):
        (tmp_path / f"{k}.xyz").write_text(extxyz_text(frames[5 * k : 5 * k + 5]))
    made, read = [], parts.PartWriter.close

    def close(self, summary):
        read(self, summary)
        made.append(self._path.exists())

    monkeypatch.setattr(parts.PartWriter, "close", close)
    monkeypatch.setattr("zstruct.building.manifest._JOB_BYTES", 0)
    monkeypatch.chdir(tmp_path)
    stores = []
    for memory, expected in ((0, {True}), (4000, {True, False}), (1 << 20, {False})):
        monkeypatch.setattr(parts, "MEMORY_BYTES", memory)
        out = tmp_path / f"{memory}.zarr"
        zstruct.build("*.xyz", out, workers=1, encoding={"shuffle_seed": shuffle_seed}, progress=False)
        stores.append(tree_bytes(out))
        assert set(made) == expected
        made.clear()
        assert not parts._SHELF._footers
        assert not parts._SHELF._taken
    assert stores[0] == stores[1] == stores[2]


def test_tensors_whose_columns_come_first_are_stored(tmp_path):
    rows = [np.round(np.arange(9.0) * 0.125 + k, 3) for k in range(300)]
    head = 'Properties=species:S:1:pos:R:3 polarizability="{}"'
    text = "".join(f"1\n{head.format(' '.join(map(repr, row.tolist())))}\nH 0 0 0\n" for row in rows)
    (tmp_path / "in.xyz").write_text(text)
    for encoding in (None, "decimal"):
        zstruct.build(
            tmp_path / "in.xyz", tmp_path / "s.zarr", encoding=encoding, overwrite=True, progress=False
        )
        expected = [row.reshape(3, 3).T for row in rows]
        np.testing.assert_array_equal(Store(tmp_path / "s.zarr").read("polarizability"), expected)


def test_a_build_that_fails_leaves_no_part_in_memory(tmp_path, frames):
    def where(frame):
        if frame.n_atoms == len(frames[-1]):
            raise RuntimeError("mine")
        return True

    with pytest.raises(InputError, match="mine"):
        zstruct.build(frames, tmp_path / "s.zarr", filters=where, progress=False)
    zstruct.build(frames, tmp_path / "s.zarr", filters=lambda frame: True, progress=False)
    assert not parts._SHELF._footers
    assert not parts._SHELF._taken


def test_stores_are_byte_identical_for_any_number_of_workers(
    tmp_path, frames, small_chunks, monkeypatch, long_run
):
    monkeypatch.setattr("zstruct.building.manifest._JOB_BYTES", 0)
    (tmp_path / "in").mkdir()
    for k in range(30):
        (tmp_path / "in" / f"f{k}.xyz").write_text(extxyz_text(frames[k : k + 1]))
    monkeypatch.chdir(tmp_path)
    zstruct.build("in", "one.zarr", workers=1, progress=False, encoding={"shuffle_seed": 3})
    one = tree_bytes("one.zarr")
    assert len(one) > 50
    for n in (1, 2, 5) if long_run else (5,):
        zstruct.build("in", f"{n}.zarr", workers=n, progress=False, encoding={"shuffle_seed": 3})
        assert one == tree_bytes(f"{n}.zarr")


def test_a_cluster_builds_the_same_bytes(tmp_path, frames, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    for k in range(6):
        (tmp_path / f"f{k}.xyz").write_text(extxyz_text(frames[5 * k : 5 * k + 5]))
    zstruct.build("*.xyz", "here.zarr", progress=False, filters=lambda frame: frame.n_atoms > 1)
    request.getfixturevalue("cluster")  # from here on there is an active client
    monkeypatch.setattr("zstruct.building.manifest._JOB_BYTES", 0)
    zstruct.build("*.xyz", "there.zarr", progress=False, filters=lambda frame: frame.n_atoms > 1)
    assert tree_bytes("here.zarr") == tree_bytes("there.zarr")


def test_missing_is_nan_and_coverage_says_so(tmp_path, rng):
    frames = [random_atoms(rng, periodic=False), random_atoms(rng, labels=False)]
    frames[0].info.update(count=3, good=True, label="x")
    report = zstruct.build(frames, tmp_path / "s.zarr", progress=False)
    store = Store(tmp_path / "s.zarr")
    for name, value, dtype in (("count", 3, "int64"), ("good", True, "bool")):
        assert (store.fields[name].dtype, store.presence[name]) == (dtype, f"has_{name}")
        assert store.read(name)[0] == value
        assert store.present(name).tolist() == store.read(f"has_{name}").tolist() == [True, False]
    assert store.read("label").tolist() == [0, -1]
    assert {report.coverage[name] for name in ("energy", "forces", "count", "good", "label")} == {1}
    assert "forces, energy, count, good, label (50.0%)" in str(report)


def test_odd_names_are_made_safe_and_kept(tmp_path):
    atoms = Atoms("H", info={"<R2>": 1.5, "a/b": 2, "a.b": 3, "source": "VASP", "structure": 1})
    zstruct.build(atoms, tmp_path / "s.zarr", progress=False)
    store = Store(tmp_path / "s.zarr")
    assert store.read("R2").tolist() == [1.5]
    assert store.array_attrs("R2")["original_name"] == "<R2>"
    assert (store.read("a_b").tolist(), store.read("a_b_2").tolist()) == ([2], [3])
    assert store.categories("input_source") == ["VASP"]
    assert store.read("input_structure").tolist() == [1]
    assert set(xr.open_zarr(tmp_path / "s.zarr")) >= {"R2", "a_b", "input_source"}


def test_single_precision_on_request(tmp_path, frames):
    zstruct.build(frames, tmp_path / "s.zarr", encoding="float32", progress=False)
    store = Store(tmp_path / "s.zarr")
    positions = np.concatenate([a.positions for a in frames])
    np.testing.assert_array_equal(store.read("positions"), positions.astype(np.float32))
    assert store.fields["forces"].dtype == "float32"
    assert store.fields["energy"].dtype == store.fields["cell"].dtype == "float64"


def test_units_and_keys(tmp_path):
    atoms = Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.7]], info={"E_qm": -627.5094740631, "energy": 1.0})
    atoms.arrays["grad"] = np.full((2, 3), 23.06054783)
    path = tmp_path / "s.zarr"
    keys = {"energy": "E_qm", "forces": "grad"}
    zstruct.build(
        atoms, path, keys=keys, units={"energy": "kcal/mol", "forces": "kcal/mol/A"}, progress=False
    )
    store = Store(path)
    np.testing.assert_allclose(store.read("energy"), -27.211386, rtol=1e-7)
    np.testing.assert_allclose(store.read("forces"), 1.0, rtol=1e-7)
    assert store.read("input_energy").tolist() == [1.0]
    attrs = store.array_attrs("energy")
    assert (attrs["source_units"], attrs["source_key"], attrs["units"]) == ("kcal/mol", "E_qm", "eV")


def test_filters_count_what_they_drop(tmp_path, rng):
    frames = [random_atoms(rng, 4) for _ in range(200)]
    reference = {"H": -1.0, "C": -20.0, "O": -30.0, "Ti": -40.0}
    excess = np.array([(a.calc.results["energy"] - sum(reference[s] for s in a.symbols)) / 4 for a in frames])
    norm = np.array([np.linalg.norm(a.calc.results["forces"], axis=1).max() for a in frames])
    component = np.array([np.abs(a.calc.results["forces"]).max() for a in frames])
    carbon = np.array([6 in a.numbers for a in frames])
    report = zstruct.build(
        frames,
        tmp_path / "s.zarr",
        filters=zstruct.Filters(
            max_energy=12.0,
            max_force=3.0,
            max_force_component=2.2,
            atomic_energies=reference,
            where=lambda frame: 6 in frame["numbers"],
        ),
        progress=False,
    )
    low, weak, small = excess <= 12.0, norm <= 3.0, component <= 2.2
    kept = low & weak & small & carbon
    assert 5 < kept.sum() < 100
    np.testing.assert_array_equal(Store(report.path).read("frame"), np.flatnonzero(kept))
    assert report.dropped == {
        "max_energy": (~low).sum(),
        "max_force": (low & ~weak).sum(),
        "max_force_component": (low & weak & ~small).sum(),
        "where": (low & weak & small & ~carbon).sum(),
    }
    attrs = Store(report.path).attrs
    assert attrs["build"]["dropped"] == report.dropped
    assert attrs["build"]["options"]["filters"]["max_energy"] == 12.0
    assert attrs["atomic_energies"] == reference


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_error": "ignore"}, "on_error is 'raise' or 'skip'"),
        ({"encoding": "float16"}, "dtype is 'float32', 'float64', 'decimal' or None"),
        ({"encoding": {"shuffle_seed": -1}}, "shuffle_seed is a whole number"),
        (
            {"filters": {"max_energy": float("nan")}},
            "max_energy is a number of eV per atom.* not nan",
        ),
        ({"filters": {"atomic_energies": {"Xx": 1.0}}}, "no chemical symbol"),
        ({"filters": {"atomic_energies": {"H": -1.0}, "max_energy": 1.0}}, "no energy for"),
        ({"filters": 3}, r"filters are Filters\(\.\.\.\), or its fields by name, or a function .*, not 3"),
        ({"filters": lambda frame: frame["nothing"]}, "frame 0: the filter given as where= raised KeyError"),
        ({"filters": lambda frame: False}, "no structure is left"),
        ({"exclude": "energy"}, r"exclude is a list"),
        ({"units": {"energy": "parsec"}}, "'parsec' in 'parsec' is not known"),
        ({"units": {"energy": "A"}}, "no unit of energy"),
        ({"units": {"energy": "kcal"}}, "write kcal/mol"),
        ({"units": {"dipole": "Debye"}}, "no input has dipole; they have .*forces"),
        ({"keys": {"positions": "x"}}, "is for files of named arrays, and this is none"),
        ({"keys": {"enregy": "E"}}, "no field 'enregy'; is it 'energy'"),
        ({"keys": {"energy": "E"}}, "no input has 'E'; they have energy, forces, stress"),
        ({"exclude": ["E"]}, "no input has 'E'"),
        ({"filters": {"max_energy": "3"}}, "max_energy is a number of eV per atom, or None, not '3'"),
        ({"filters": {"max_force": -1.0}}, "no force passes a negative limit"),
        ({"workers": 0}, "workers is a whole number from 1"),
        ({"max_force": 3.0}, r"build has max_force in filters: filters=Filters\(max_force=\.\.\.\)"),
        ({"dtype": "float32"}, r"build has dtype in encoding: encoding=Encoding\(dtype=\.\.\.\)"),
        ({"filters": {"max_forces": 3.0}}, r"Filters has no option 'max_forces'; is it max_force\?"),
        ({"unit": "atomic"}, r"build has no option 'unit'; is it units\?"),
        ({"n_workers": 2}, r"build has no option 'n_workers'; write workers="),
    ],
)
def test_bad_options_are_sentences_and_leave_nothing(tmp_path, frames, options, message):
    with pytest.raises(InputError, match=message):
        zstruct.build(frames, tmp_path / "s.zarr", progress=False, **options)
    assert list(tmp_path.iterdir()) == []


def test_the_home_directory_is_understood(tmp_path, xyz_file, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    report = zstruct.build("~/*.xyz", "~/s.zarr", progress=False)
    assert report.n_structures == Store("~/s.zarr").n_structures == 30
    assert (tmp_path / "s.zarr").is_dir()


def test_a_target_that_can_not_be_written_is_named(xyz_file):
    with pytest.raises(InputError, match="can't write to /proc"):
        zstruct.build(xyz_file, "/proc/s.zarr", progress=False)


def test_a_store_without_labels_is_pointed_out(tmp_path):
    report = zstruct.build(Atoms("H", info={"x": 1.0}), tmp_path / "s.zarr", progress=False)
    said = "no energy and no forces recognised; if the input has any, name it: keys={'energy': ...}"
    assert said in str(report).splitlines()
    report = zstruct.build(Atoms("H", info={"E_pbe": 1.0}), tmp_path / "t.zarr", progress=False)
    lines = str(report).splitlines()
    assert "no forces recognised; if the input has any, name it: keys={'forces': ...}" in lines
    assert "1 structure: " + next(iter(report.remarks)) in lines


def test_bad_frames_end_the_build_or_are_skipped(tmp_path, frames):
    text = extxyz_text(frames[:3]) + "2\nfree text\nC 0 0 0\nXy 0 0 1\n" + extxyz_text(frames[3:5])
    path = tmp_path / "in.xyz"
    path.write_text(text)
    with pytest.raises(InputError, match=r"in\.xyz, frame 3: .*Xy"):
        zstruct.build(path, tmp_path / "s.zarr", progress=False)
    assert not (tmp_path / "s.zarr").exists()
    assert not (tmp_path / "s.zarr.building").exists()
    report = zstruct.build(path, tmp_path / "s.zarr", on_error="skip", progress=False)
    _check_equal(tmp_path / "s.zarr", frames[:5])
    assert report.n_skipped == 1
    assert report.skipped[0][:2] == (str(path), 3)
    assert "Xy" in str(report)
    assert Store(report.path).read("frame").tolist() == [0, 1, 2, 4, 5]


def test_progress_bar_counts_bytes(tmp_path, xyz_file, monkeypatch):
    bars = []
    from tqdm.auto import tqdm

    class Recorded(tqdm):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, file=io.StringIO(), **kwargs)
            bars.append(self)

    monkeypatch.setattr("tqdm.auto.tqdm", Recorded)
    zstruct.build(xyz_file, tmp_path / "a.zarr", progress=False)
    assert bars == []
    zstruct.build(xyz_file, tmp_path / "a.zarr", overwrite=True)
    assert len(bars) == 1
    assert bars[0].unit == "B"
    assert bars[0].n == bars[0].total > xyz_file.stat().st_size


def test_attributes_are_plain_json_without_times(tmp_path, xyz_file):
    report = zstruct.build(xyz_file, tmp_path / "a.zarr", progress=False)
    text = json.dumps(Store(report.path).attrs)
    assert "20" + "26" not in text
    assert str(xyz_file) not in text  # paths are provenance (categories/source), not options


def test_sources_of_ones_own_run_in_processes(tmp_path, monkeypatch):
    from zstruct.sources import FileSource, Raw, RawColumn, Slice

    class Lines(FileSource):
        """One hydrogen atom per line of a file."""

        runs_in = "processes"

        def scan(self):
            return [Slice(k, k + 1, k, 1 << 20) for k in range(30)]

        def read(self, piece):
            with open(self.path) as file:
                x = float(file.readlines()[piece.start])
            atom = {
                "numbers": [RawColumn(np.ones(1, np.uint8))],
                "positions": [RawColumn(np.array([[x, 0.0, 0.0]]))],
            }
            yield Raw(
                np.array([piece.first_frame]), np.array([1]), atom, {"energy": [RawColumn(np.array([x]))]}
            )

    path = tmp_path / "in.lines"
    path.write_text("".join(f"{k / 4}\n" for k in range(30)))
    report = zstruct.build(
        Lines(path), tmp_path / "s.zarr", filters=lambda frame: frame["energy"] > 1, workers=2, progress=False
    )
    assert Store(report.path).read("energy").tolist() == [k / 4 for k in range(5, 30)]
