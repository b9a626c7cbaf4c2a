"""`ds.zs.export`: the structures of a Dataset, in its order and with its values."""

import shutil

import ase.io
import numpy as np
import pytest
import xarray as xr
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator

import zstruct
from tests.exporters.round_trips import assert_equal_stores
from zstruct.errors import InputError
from zstruct.exporters import Exporter


class Seen(Exporter):
    """Keeps what an exporter is given."""

    def begin(self, target, contents):
        target.touch()
        self.contents, self.blocks = contents, []

    def write(self, block):
        self.blocks.append(block)

    def end(self):
        pass


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path, frames = tmp_path_factory.mktemp("exported") / "a.zarr", []
    for k, name in enumerate(["H2O", "CO2", "CH4", "C2H6", "H2"] * 2):
        atoms = molecule(name) if k % 3 else bulk("Cu", cubic=True)
        if k % 4:
            forces = np.arange(3.0 * len(atoms)).reshape(-1, 3) + k
            atoms.calc = SinglePointCalculator(atoms, energy=-0.1 * k - 1, forces=forces)
            atoms.info |= {"config_type": "ab"[k % 2], "<R2>": 1.5 * k, "n": k}
        atoms.arrays["site"] = np.array(["x", "y"])[np.arange(len(atoms)) % 2]
        frames.append(atoms)
    zstruct.build(frames, path, progress=False)
    return path


@pytest.fixture
def store(made, tmp_path):
    return shutil.copytree(made, tmp_path / "a.zarr")


def given(data, folder, **options):
    exporter = Seen()
    report = zstruct.export(data, folder / "seen", exporter, progress=False, overwrite=True, **options)
    return exporter.contents, exporter.blocks, report


@pytest.mark.parametrize("chunks", ["atom", None, {}])
def test_a_whole_dataset_is_exported_as_its_store_is(store, tmp_path, chunks, monkeypatch):
    from zstruct.exporters import structures

    monkeypatch.setattr(structures, "_BLOCK_BYTES", 1200)
    zstruct.split(store, [7, 3], name="default")
    ours, blocks, report = given(zstruct.open(store, chunks), tmp_path, with_split="default")
    theirs, expected, other = given(store, tmp_path, with_split="default")
    assert ours.fields == theirs.fields
    assert ours.originals == theirs.originals
    assert (ours.n_structures, ours.n_atoms, ours.most_atoms, ours.has_cells, ours.elements) == (
        theirs.n_structures, theirs.n_atoms, theirs.most_atoms, theirs.has_cells, theirs.elements,
    )  # fmt: skip
    assert report.lost == other.lost
    assert len(blocks) == len(expected) > 2
    for a, b in zip(blocks, expected, strict=True):
        assert (a.first, a.n_atoms.tolist()) == (b.first, b.n_atoms.tolist())
        assert a.present.keys() == b.present.keys()
        assert all(np.array_equal(a.present[name], b.present[name]) for name in a.present)
        for name, field in ours.fields.items():
            rows, wanted = a.columns[name], b.columns[name]
            if field.kind == "category":
                rows, wanted = (
                    np.array([*said.categories[name], None], dtype=object)[codes].tolist()
                    for said, codes in ((ours, rows), (theirs, wanted))
                )
                assert rows == wanted, name
            else:
                assert rows.dtype.kind == wanted.dtype.kind
                assert np.array_equal(rows, wanted, equal_nan=field.kind == "float"), name


def test_a_selection_goes_out_in_its_order(store, tmp_path):
    ds = zstruct.open(store)
    chosen = ds.zs.select("C").isel(structure=slice(None, None, -1))
    chosen.zs.export(tmp_path / "a.xyz", progress=False)
    rows = chosen.structure.values.tolist()
    assert rows == sorted(rows, reverse=True)
    zstruct.export(store, tmp_path / "b.xyz", select=rows, progress=False)
    assert (tmp_path / "a.xyz").read_bytes() == (tmp_path / "b.xyz").read_bytes()
    zstruct.export(ds, tmp_path / "c.xyz", select="n > 5", progress=False)
    zstruct.export(store, tmp_path / "d.xyz", select="n > 5", progress=False)
    assert (tmp_path / "c.xyz").read_bytes() == (tmp_path / "d.xyz").read_bytes()


def test_what_was_changed_or_added_goes_out(store, tmp_path):
    ds = zstruct.open(store)
    ds = ds.assign(energy=2 * ds.energy, score=ds.n_atoms / 2, far=abs(ds.positions).max("xyz"))
    ds = ds.assign_coords(mine=("structure", np.arange(10)))
    ds = ds.assign(table=("other", np.arange(3)))
    report = ds.zs.export(tmp_path / "a.xyz", progress=False)
    assert report.lost["table"] == "it has no row for each structure or atom"
    assert set(report.lost) == {"table", "the unit of far"}
    frames, before = ase.io.read(tmp_path / "a.xyz", ":"), zstruct.open(store).zs.to_ase()
    for k, (atoms, old) in enumerate(zip(frames, before, strict=True)):
        assert atoms.info["score"] == len(atoms) / 2
        assert atoms.arrays["far"].tolist() == np.abs(old.positions).max(axis=1).tolist()
        assert "mine" not in atoms.info
        if k % 4:
            assert atoms.get_potential_energy() == 2 * old.get_potential_energy()
    ds.zs.export(tmp_path / "b.xyz", fields=["mine"], progress=False)
    assert [atoms.info["mine"] for atoms in ase.io.iread(tmp_path / "b.xyz")] == list(range(10))


def test_there_and_back(store, tmp_path):
    zstruct.open(store).zs.export(tmp_path / "a.xyz", progress=False)
    zstruct.build(tmp_path / "a.xyz", tmp_path / "b.zarr", progress=False)
    assert_equal_stores(store, tmp_path / "b.zarr")


def test_parts_number_elements_as_their_store_does(store, tmp_path):
    ds = zstruct.open(store)
    ds.zs.select("Cu").zs.export(tmp_path / "a.cfg", progress=False)
    assert "type_map H C O Cu\n" in (tmp_path / "a.cfg").read_text()


def test_a_dataset_that_knows_no_store(store, tmp_path):
    ds = zstruct.open(store).load()
    bare = xr.Dataset({name: v for name, v in ds.variables.items() if name != "formula"})
    report = bare.zs.export(tmp_path / "a.npz", progress=False)
    assert report.lost == {}
    zstruct.build(tmp_path / "a.npz", tmp_path / "b.zarr", progress=False)
    assert zstruct.Store(tmp_path / "b.zarr").n_structures == 10


def test_what_a_dataset_lacks_is_a_sentence(store, tmp_path):
    ds = zstruct.open(store)
    with pytest.raises(InputError, match="this Dataset has lost offsets"):
        ds.drop_vars("offsets").zs.export(tmp_path / "a.xyz", progress=False)
    with pytest.raises(InputError, match="this Dataset has no field 'cell'"):
        ds.drop_vars("cell").zs.export(tmp_path / "a.xyz", progress=False)
    with pytest.raises(InputError, match="nothing to export: the selection has no structures"):
        ds.zs.select("Ti").zs.export(tmp_path / "a.xyz", progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_structures_of_pymatgen(store, tmp_path):
    pymatgen = pytest.importorskip("pymatgen.core")
    made = zstruct.open(store).zs.to_pymatgen()
    assert [type(one) for one in made] == [
        pymatgen.Molecule if k % 3 else pymatgen.Structure for k in range(10)
    ]
    assert made[3].lattice.pbc == (True, True, True)
    assert made[1].properties["energy"] == -1.1
    assert made[1].site_properties["site"][:3] == ["x", "y", "x"]
    assert isinstance(zstruct.open(store).zs.to_pymatgen(0), pymatgen.Structure)
    zstruct.build(made, tmp_path / "b.zarr", progress=False)
    a, b = zstruct.Store(store), zstruct.Store(tmp_path / "b.zarr")
    for name in ("offsets", "numbers", "cell", "pbc", "energy", "forces"):
        assert np.array_equal(a.read(name), b.read(name), equal_nan=name in ("energy", "forces")), name
    assert b.read("positions") == pytest.approx(a.read("positions"), abs=1e-12)
