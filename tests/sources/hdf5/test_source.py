"""HDF5 files of every kind that people have, and what is wrong with some."""

import gc
import io
import pickle
import subprocess
import sys
import textwrap
import types

import numpy as np
import pytest
from ase.units import Bohr, Hartree
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import zstruct
from tests.mace_data import imported
from zstruct.errors import InputError
from zstruct.sources import HDF5Source, expand
from zstruct.sources.content import MemoryContent
from zstruct.sources.hdf5.file import opened

h5py = pytest.importorskip("h5py")
RNG = np.random.default_rng(0)


def built(tmp_path, path, **options):
    zstruct.build(path, tmp_path / "out.zarr", progress=False, overwrite=True, **options)
    return zstruct.Store(tmp_path / "out.zarr")


def molecules():
    """Three formulas, in the order in which people count."""
    return {
        "CH4": (np.array([6, 1, 1, 1, 1]), 2),
        "H2O2": (np.array([8, 8, 1, 1]), 3),
        "H2O10": (np.array([8, 1, 1]), 1),
    }


def spice(path, units=True):
    """A file as SPICE is."""
    arrays = {"e": [], "g": [], "r": [], "z": []}
    with h5py.File(path, "w") as file:
        for name, (z, m) in molecules().items():
            group = file.create_group(name)
            r, e, g = RNG.normal(size=(m, len(z), 3)), RNG.normal(size=m), RNG.normal(size=(m, len(z), 3))
            group["atomic_numbers"] = z.astype(np.int16)
            group["conformations"] = r.astype(np.float32)
            group["dft_total_energy"] = e
            group["dft_total_gradient"] = g.astype(np.float32)
            group["mbis_charges"] = np.zeros((m, len(z), 1), np.float32)
            group["mayer_indices"] = np.zeros((m, len(z), len(z)), np.float32)
            group["scf_dipole"] = np.full((m, 3), 0.5)
            group.create_dataset("smiles", data=[f"smiles of {name}"], dtype=h5py.string_dtype())
            group.create_dataset("subset", data=["a subset"], dtype=h5py.string_dtype())
            if units:
                group["conformations"].attrs["units"] = "bohr"
                group["dft_total_energy"].attrs["units"] = "hartree"
                group["dft_total_gradient"].attrs["units"] = "hartree/bohr"
            for key, values in (
                ("e", e),
                ("g", g.reshape(-1, 3)),
                ("r", r.reshape(-1, 3)),
                ("z", np.tile(z, m)),
            ):
                arrays[key].append(values)
    return {key: np.concatenate(values) for key, values in arrays.items()}


def test_spice_says_its_units(tmp_path):
    arrays = spice(tmp_path / "a.hdf5")
    report = zstruct.build(tmp_path / "a.hdf5", tmp_path / "a.zarr", progress=False)
    store = zstruct.Store(tmp_path / "a.zarr")
    assert np.diff(store.read("offsets")).tolist() == [5, 5, 4, 4, 4, 3]
    assert np.array_equal(store.read("numbers"), arrays["z"])
    np.testing.assert_allclose(store.read("positions"), arrays["r"] * Bohr, rtol=1e-6)
    np.testing.assert_allclose(store.read("energy"), arrays["e"] * Hartree, rtol=1e-14)
    np.testing.assert_allclose(store.read("forces"), -arrays["g"] * Hartree / Bohr, rtol=1e-6)
    smiles = np.array(store.categories("smiles"))[store.read("smiles")]
    assert smiles.tolist() == [f"smiles of {name}" for name, (_, m) in molecules().items() for _ in range(m)]
    assert store.fields["mbis_charges"].level == "atom"
    assert store.fields["scf_dipole"].level == "structure"
    assert "left out: mayer_indices" in str(report)


def test_what_states_no_unit_is_asked_for(tmp_path):
    spice(tmp_path / "a.h5", units=False)
    with pytest.raises(InputError, match=r"does not say the unit of (energy|forces)"):
        built(tmp_path, tmp_path / "a.h5")
    assert built(tmp_path, tmp_path / "a.h5", units="atomic").n_structures == 6


def test_ani(tmp_path):
    """Groups in groups, symbols as bytes, SMILES as an array of characters."""
    energies = []
    with h5py.File(tmp_path / "ani.h5", "w") as file:
        for k, (z, m) in enumerate(molecules().values()):
            group = file.create_group(f"gdb11_s01/gdb11_s01-{k}")
            group["species"] = np.array([{1: b"H", 6: b"C", 8: b"O"}[one] for one in z])
            group["coordinates"] = RNG.normal(size=(m, len(z), 3)).astype(np.float32)
            group["energies"] = RNG.normal(size=m)
            group["coordinatesHE"] = RNG.normal(size=(m + 1, len(z), 3)).astype(np.float32)
            group["energiesHE"] = RNG.normal(size=m + 1)
            group["smiles"] = np.array([b"[", b"C", b"]"])
            energies.append(group["energies"][()])
    report = zstruct.build(
        tmp_path / "ani.h5", tmp_path / "a.zarr", units={"energy": "hartree"}, progress=False
    )
    store = zstruct.Store(tmp_path / "a.zarr")
    np.testing.assert_allclose(store.read("energy"), np.concatenate(energies) * Hartree, rtol=1e-14)
    assert store.read("numbers")[:5].tolist() == [6, 1, 1, 1, 1]
    assert store.categories("smiles") == ["[C]"]
    assert "left out: coordinatesHE, energiesHE" in str(report)


def test_groups_that_lack_a_label_lack_it(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for k, (z, m) in enumerate(molecules().values()):
            group = file.create_group(str(k))
            group["species"], group["coordinates"] = z, RNG.normal(size=(m, len(z), 3))
            if k != 1:
                group["energies"] = np.arange(m) + 1.0
    store = built(tmp_path, tmp_path / "a.h5", units="ase")
    assert store.present("energy").tolist() == [True, True, False, False, False, True]
    assert np.isnan(store.read("energy")).tolist() == [False, False, True, True, True, False]


def per_structure(path, n=12, **extra):
    made = []
    with h5py.File(path, "w") as file:
        for i in range(n):
            atoms = 1 + i % 4
            group = file.create_group(f"structures/{i}")
            values = {
                "positions": RNG.normal(size=(atoms, 3)),
                "species": RNG.integers(1, 9, atoms),
                "cell": np.eye(3) * (i + 1),
                "pbc": np.array([True, i % 2 == 0, False]),
                "energy": float(i),
                "forces": RNG.normal(size=(atoms, 3)),
                **{key: value(i, atoms) for key, value in extra.items()},
            }
            for key, value in values.items():
                group[key] = value
            made.append(values)
    return made


def test_groups_by_structure_are_in_the_order_of_their_numbers(tmp_path):
    made = per_structure(tmp_path / "a.h5")
    store = built(tmp_path, tmp_path / "a.h5", units="ase")
    assert store.read("energy").tolist() == list(range(12))
    for name, key in (("positions", "positions"), ("forces", "forces"), ("numbers", "species")):
        assert np.array_equal(store.read(name), np.concatenate([one[key] for one in made])), name
    assert np.array_equal(store.read("cell"), [one["cell"] for one in made])
    assert np.array_equal(store.read("pbc"), [one["pbc"] for one in made])


def test_labels_of_atoms_are_told_by_groups_of_several_sizes(tmp_path):
    per_structure(
        tmp_path / "a.h5",
        spin=lambda i, atoms: np.arange(atoms) + 0.5,
        axis=lambda i, atoms: np.array([1.0, 2.0, i]),
        note=lambda i, atoms: f"number {i}",
    )
    store = built(tmp_path, tmp_path / "a.h5", units="ase")
    assert store.fields["spin"].level == "atom"
    assert store.fields["axis"].level == "structure"
    assert store.read("axis")[:, 2].tolist() == list(range(12))
    assert store.categories("note")[3] == "number 3"


def test_a_group_that_makes_no_structure_is_a_bad_frame(tmp_path):
    per_structure(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["structures/3/positions"]
        del file["structures/7/species"]
        file["structures/7/species"] = np.array([1, 1, 1, 1, 1, 1])
    with pytest.raises(InputError, match=r"a.h5, frame 3: group 'structures/3': it has no positions"):
        built(tmp_path, tmp_path / "a.h5", units="ase")
    report = zstruct.build(
        tmp_path / "a.h5", tmp_path / "b.zarr", units="ase", on_error="skip", progress=False
    )
    assert report.n_structures == 10
    assert zstruct.Store(tmp_path / "b.zarr").read("frame").tolist() == [0, 1, 2, 4, 5, 6, 8, 9, 10, 11]


def test_blocks_and_slices_are_the_same_structures(tmp_path, monkeypatch):
    made = per_structure(tmp_path / "a.h5", 40)
    monkeypatch.setattr("zstruct.sources.hdf5.source.SLICE_BYTES", 30_000)
    monkeypatch.setattr("zstruct.sources.hdf5.reading.BLOCK_BYTES", 150)
    source = HDF5Source(tmp_path / "a.h5")
    pieces = source.scan()
    assert len(pieces) > 3
    blocks = [block for piece in pieces for block in source.read(piece)]
    assert len(blocks) > len(pieces)
    assert np.concatenate([block.frames for block in blocks]).tolist() == list(range(40))
    joined = np.concatenate([block.atom["forces"][0].values for block in blocks])
    assert np.array_equal(joined, np.concatenate([one["forces"] for one in made]))


def flat_splits(path, **change):
    counts = np.array([3, 1, 2])
    arrays = {
        "structures/atomic_numbers": np.array([8, 1, 1, 2, 6, 8]),
        "structures/atomic_numbers_splits": np.array([0, 3, 4, 6]),
        "structures/positions": RNG.normal(size=(6, 3)),
        "structures/cells": np.eye(3)[None].repeat(3, 0) * 5,
        "structures/pbc": np.array([[True] * 3, [False] * 3, [True] * 3]),
        "labels/energy": np.array([1.0, 2.0, 3.0]),
        "labels/forces": RNG.normal(size=(6, 3)).astype(np.float32),
        "labels/forces_splits": np.array([0, 3, 4, 6]),
        "labels/stress": RNG.normal(size=(3, 6)),
        "labels/stress_mask": np.array([True, False, True]),
        "labels/structure_indices": np.array([5, 6, 7]),
    } | change
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            if values is not None:
                file[name] = values
        file.create_group("metadata").attrs["teacher_model"] = "a model"
    return counts, {name.rpartition("/")[2]: values for name, values in arrays.items()}


def test_flat_arrays_with_splits(tmp_path):
    counts, arrays = flat_splits(tmp_path / "a.h5")
    store = built(tmp_path, tmp_path / "a.h5")  # in eV, as its writers say
    assert np.diff(store.read("offsets")).tolist() == counts.tolist()
    for name, key in (("numbers", "atomic_numbers"), ("positions",) * 2, ("cell", "cells"), ("pbc",) * 2):
        assert np.array_equal(store.read(name), arrays[key]), name
    for name in ("energy", "forces"):
        assert np.array_equal(store.read(name), arrays[name]), name
    assert store.present("stress").tolist() == [True, False, True]
    assert np.array_equal(store.read("stress")[[0, 2]], arrays["stress"][[0, 2]])
    assert store.read("structure_indices").tolist() == [5, 6, 7]


def test_splits_must_agree(tmp_path):
    flat_splits(tmp_path / "a.h5", **{"labels/forces_splits": np.array([0, 2, 4, 6])})
    with pytest.raises(InputError, match=r"a.h5: forces_splits and atomic_numbers_splits do not agree"):
        built(tmp_path, tmp_path / "a.h5")
    flat_splits(tmp_path / "a.h5", **{"structures/atomic_numbers_splits": np.array([0, 3, 4, 7])})
    with pytest.raises(InputError, match=r"a.h5: (offsets end at 7|forces_splits and)"):
        built(tmp_path, tmp_path / "a.h5")


@pytest.mark.parametrize("options", [{}, {"compression": "gzip", "chunks": True}])
def test_any_flat_arrays_by_names(tmp_path, options):
    r, z, e = RNG.normal(size=(7, 4, 3)), RNG.integers(1, 9, (7, 4)), RNG.normal(size=7)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, values in (("data/xyz", r), ("data/el", z), ("data/U0", e)):
            file.create_dataset(name, data=values, **options)
    with pytest.raises(InputError, match=r"say what these are called, keys=.*; the file has data"):
        built(tmp_path, tmp_path / "a.h5")
    keys = {"positions": "data/xyz", "numbers": "/data/el", "energy": "U0"}
    store = built(tmp_path, tmp_path / "a.h5", keys=keys, units={"energy": "hartree"})
    assert np.array_equal(store.read("positions"), r.reshape(-1, 3))
    assert np.array_equal(store.read("numbers"), z.reshape(-1))
    np.testing.assert_allclose(store.read("energy"), e * Hartree, rtol=1e-14)


def test_groups_by_names(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for k in range(3):
            file[f"set/{k}/xyz"] = RNG.normal(size=(2, 3, 3))
            file[f"set/{k}/el"] = np.array([8, 1, 1])
    store = built(tmp_path, tmp_path / "a.h5", keys={"positions": "xyz", "numbers": "el"})
    assert store.n_structures == 6


def test_numbers_of_each_structure_in_groups_by_size(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for atoms in (2, 3):
            group = file.create_group(f"{atoms:03d}")
            group["coord"] = RNG.normal(size=(4, atoms, 3))
            group["numbers"] = np.arange(4 * atoms).reshape(4, atoms) % 8 + 1
            group["energy"] = RNG.normal(size=4)
    store = built(tmp_path, tmp_path / "a.h5", units="ase")
    assert store.read("numbers").tolist() == [*(np.arange(8) % 8 + 1), *(np.arange(12) % 8 + 1)]


def mace_file(path):
    from ase.build import bulk, molecule

    data, tools = imported()
    frames = [molecule("H2O"), bulk("Cu"), molecule("CH4"), molecule("H2")]
    for k, atoms in enumerate(frames):
        atoms.info["REF_energy"] = -1.5 * k
        atoms.arrays["REF_forces"] = RNG.normal(size=(len(atoms), 3))
    frames[1].info |= {"REF_stress": np.arange(6.0), "config_type": "bulk", "config_energy_weight": 0.5}
    del frames[2].info["REF_energy"]
    frames[3].info["config_weight"] = 2.0
    keys = tools.default_keys.DefaultKeys.keydict()
    spec = data.update_keyspec_from_kwargs(data.KeySpecification(), keys)
    configurations = [data.config_from_atoms(atoms, spec) for atoms in frames]
    with h5py.File(path, "w") as file:
        data.save_configurations_as_HDF5(configurations, 0, file)
    return frames


def test_what_mace_writes(tmp_path):
    frames = mace_file(tmp_path / "a.h5")
    store = built(tmp_path, tmp_path / "a.h5")
    assert store.read("numbers").tolist() == [z for atoms in frames for z in atoms.numbers]
    assert np.array_equal(store.read("positions"), np.concatenate([atoms.positions for atoms in frames]))
    forces = np.concatenate([atoms.arrays["REF_forces"] for atoms in frames])
    assert np.array_equal(store.read("forces"), forces)
    assert store.present("energy").tolist() == [True, True, False, True]
    assert store.read("energy")[[0, 1, 3]].tolist() == [0.0, -1.5, -4.5]
    assert store.present("stress").tolist() == [False, True, False, False]
    assert store.read("stress")[1].tolist() == list(range(6))
    assert store.read("pbc")[:, 0].tolist() == [False, True, False, False]
    assert store.read("weight")[3] == 2.0
    assert store.read("config_energy_weight")[1] == 0.5
    assert store.categories("config_type") == ["bulk"]


# --- pickles of aenet ---


@pytest.fixture
def aenet(monkeypatch):
    """Classes as aenet has them, by their names, while pickles are made."""

    class AtomicStructure:
        def __init__(self, **values):
            self.__dict__.update(values)

    AtomicStructure.__module__, AtomicStructure.__qualname__ = "aenet.geometry.structure", "AtomicStructure"
    names = ("aenet", "aenet.geometry", "aenet.geometry.structure")
    for name in names:
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules["aenet.geometry.structure"].AtomicStructure = AtomicStructure
    return AtomicStructure


def aenet_file(path, pickles):
    with h5py.File(path, "w") as file:
        dtype = h5py.vlen_dtype(np.uint8)
        rows = file.create_dataset("entries/structures", (len(pickles),), dtype=dtype)
        for k, data in enumerate(pickles):
            rows[k] = np.frombuffer(data, np.uint8)
        meta = np.zeros(len(pickles), dtype=[("n_atoms", "i4"), ("energy", "f8"), ("name", "S20")])
        meta["name"] = [f"s{k}" for k in range(len(pickles))]
        file["entries/meta"] = meta


def structures_of(kind, periodic=(True, False)):
    return [
        kind(
            coords=[np.zeros((2, 3)), np.arange(6.0).reshape(2, 3) + k],
            types=np.array(["Ti", "O"]),
            energy=[None, -1.5 * k],
            forces=[[], np.full((2, 3), 0.5 * k)],
            pbc=repeats,
            avec=[np.eye(3), np.eye(3) * 4] if repeats else None,
        )
        for k, repeats in enumerate(periodic)
    ]


PROTOCOLS = [
    pytest.param(k, marks=pytest.mark.long if k in (1, 3) else ()) for k in range(pickle.HIGHEST_PROTOCOL + 1)
]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pickles_of_aenet_are_read_on_request(tmp_path, aenet, protocol):
    aenet_file(tmp_path / "a.h5", [pickle.dumps(one, protocol) for one in structures_of(aenet)])
    with pytest.raises(InputError, match=r"a.h5: its structures are pickles, .*allow_pickle=True"):
        built(tmp_path, tmp_path / "a.h5")
    for name in ("aenet", "aenet.geometry", "aenet.geometry.structure"):
        del sys.modules[name]  # nothing of it is imported
    store = built(tmp_path, tmp_path / "a.h5", allow_pickle=True)
    assert store.read("numbers").tolist() == [22, 8, 22, 8]
    assert store.read("positions")[:, 0].tolist() == [0, 3, 1, 4]
    assert store.read("energy").tolist() == [0.0, -1.5]
    assert store.read("forces")[:, 0].tolist() == [0, 0, 0.5, 0.5]
    assert store.read("pbc").tolist() == [[True] * 3, [False] * 3]
    assert store.read("cell")[0].tolist() == (np.eye(3) * 4).tolist()
    assert store.categories("name") == ["s0", "s1"]


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pickles_that_ask_for_more_are_refused_and_not_executed(tmp_path, aenet, protocol):
    structure = structures_of(aenet)[0]
    structure.energy = Bomb(tmp_path / "exploded")
    good = pickle.dumps(structures_of(aenet)[1], protocol)
    aenet_file(tmp_path / "a.h5", [good, pickle.dumps(structure, protocol)])
    with pytest.raises(InputError, match=r"a.h5, frame 1: the pickle can't be read: it asks for \w+\.open"):
        built(tmp_path, tmp_path / "a.h5", allow_pickle=True)
    assert not (tmp_path / "exploded").exists()
    report = zstruct.build(
        tmp_path / "a.h5", tmp_path / "b.zarr", allow_pickle=True, on_error="skip", progress=False
    )
    assert report.n_structures == 1
    assert not (tmp_path / "exploded").exists()


def test_a_pickle_of_something_else(tmp_path):
    aenet_file(tmp_path / "a.h5", [pickle.dumps({"positions": 1}), b"nothing"])
    with pytest.raises(InputError, match="frame 0: the pickle holds no structure of aenet"):
        built(tmp_path, tmp_path / "a.h5", allow_pickle=True)


# --- damage ---

FAST = settings(
    max_examples=40,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@FAST
@given(cut=st.floats(0, 1, exclude_max=True), kind=st.sampled_from([spice, per_structure, flat_splits]))
def test_cut_files_are_a_sentence(tmp_path, cut, kind):
    kind(tmp_path / "a.h5")
    data = (tmp_path / "a.h5").read_bytes()
    (tmp_path / "a.h5").write_bytes(data[: int(cut * len(data))])
    with pytest.raises(InputError, match=r"a\.h5"):
        built(tmp_path, tmp_path / "a.h5", units="ase")


def test_files_are_known_by_name_or_not_at_all(tmp_path):
    for name in ("a.h5", "a.hdf5", "a.H5"):
        per_structure(tmp_path / name, 2)
        (source,), _ = expand(str(tmp_path / name))
        assert isinstance(source, HDF5Source)
    (tmp_path / "b.h5").write_text("nothing")
    with pytest.raises(InputError, match=r"b\.h5: the HDF5 file is damaged, cut off or none"):
        built(tmp_path, tmp_path / "b.h5")
    with h5py.File(tmp_path / "c.h5", "w"):
        pass
    with pytest.raises(InputError, match=r"c\.h5: there are no structures that are known"):
        built(tmp_path, tmp_path / "c.h5")


def test_claims_of_structures_that_have_no_bytes(tmp_path):
    for name, shape in (("many", (10**9, 5, 3)), ("none", (2**31, 0, 3)), ("one", (10**10, 3))):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            chunks = None if 0 in shape else (1,) + (3,) * (len(shape) - 1)
            file.create_dataset("a/positions", shape, "f8", chunks=chunks)
            file["a/species"] = np.array([1] * 5)
            file["b/positions"], file["b/species"] = np.zeros((1, 1, 3)), np.array([1])
        with pytest.raises(
            InputError, match=r"a\.h5, frame 0: group 'a': (a/positions: )?(it (says|has)|there are pos)"
        ):
            built(tmp_path, tmp_path / "a.h5")
        report = zstruct.build(tmp_path / "a.h5", tmp_path / f"{name}.zarr", on_error="skip", progress=False)
        assert report.n_structures == 1
    with h5py.File(tmp_path / "flat.h5", "w") as file:
        file.create_dataset("positions", (10**11, 3), "f8", chunks=(1, 3))
        file.create_dataset("numbers", (10**11,), "i8", chunks=(1,))
        file.create_dataset("offsets", (10**10,), "i8", chunks=(1,))
    with pytest.raises(
        InputError, match=r"flat\.h5: positions: it says that it has 2,400,000,000,000 bytes, and 0"
    ):
        built(tmp_path, tmp_path / "flat.h5")


@pytest.mark.parametrize(
    ("pbc", "reason"),
    [
        (np.array([2, 0, 1]), "pbc is neither True nor False"),
        (np.array([b"T", b"T", b"F"]), "pbc should be numbers, not bytes8"),
        (None, "nothing says whether the structure repeats"),
    ],
)
def test_a_group_whose_periodicity_is_odd_or_unsaid_is_bad_alone(tmp_path, pbc, reason):
    made = per_structure(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["structures/3/pbc"]
        if pbc is not None:
            file["structures/3/pbc"] = pbc
    with pytest.raises(InputError, match=f"frame 3: .*{reason}"):
        built(tmp_path, tmp_path / "a.h5", units="ase")
    store = built(tmp_path, tmp_path / "a.h5", units="ase", on_error="skip")
    assert store.read("frame").tolist() == [k for k in range(len(made)) if k != 3]


def test_no_garbage_is_looked_for_while_h5py_reads(tmp_path):
    """What is garbage of h5py waits for the lock that h5py holds then; see `opened`."""
    per_structure(tmp_path / "a.h5")
    collects = []

    class Stream(io.BytesIO):
        def readinto(self, buffer):
            collects.append(gc.isenabled())
            return super().readinto(buffer)

    class Watched(MemoryContent):
        def open(self):
            return Stream(self.data)

    with opened(Watched("a.h5", "a.h5", (tmp_path / "a.h5").read_bytes())) as file:
        assert len(file["structures"]) == 12
    assert collects
    assert not any(collects)
    assert gc.isenabled()


def test_an_error_may_be_kept_until_the_interpreter_has_ended(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.zeros(3)
    (tmp_path / "cut.h5").write_bytes((tmp_path / "a.h5").read_bytes()[:-1])
    code = """
        import ctypes
        from pathlib import Path
        from zstruct.errors import InputError
        from zstruct.sources.content import MemoryContent
        from zstruct.sources.hdf5.file import opened

        try:
            with opened(MemoryContent("cut.h5", "cut.h5", Path("cut.h5").read_bytes())):
                print("opened")
        except InputError as error:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(error))  # for ever, and what it went through with it
            print("damaged")
    """
    code = textwrap.dedent(code)
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (0, "damaged\n"), ran.stderr
