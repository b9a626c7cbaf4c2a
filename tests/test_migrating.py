"""The tables for people who come from other libraries: what is on the right runs, and does what it says."""

import ast
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import ase.db
import ase.units
import numpy as np
import pytest
from ase.io import iread
from ase.neighborlist import neighbor_list

import zstruct

torch = pytest.importorskip("torch")

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "migrating.md"
SAMPLE = ROOT / "tests" / "data" / "sample"
FRAMES = [atoms for file in sorted(SAMPLE.glob("*.xyz")) for atoms in iread(file)]
ENERGY = np.array([atoms.get_potential_energy() for atoms in FRAMES])
N_ATOMS = np.array([len(atoms) for atoms in FRAMES])
FORCES = [atoms.get_forces() for atoms in FRAMES]
N = len(FRAMES)
FEW = 40  # structures in the files of other libraries
KCAL = 1 / (ase.units.kcal / ase.units.mol)  # a molecule, in one eV


def code_blocks():
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)


def tables():
    """Return all rows of the page: name of the library, their lines, ours."""
    rows, library = [], None
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            library = line[3:]
        if line.startswith("| `"):
            theirs, ours = (re.findall(r"`([^`]+)`", cell) for cell in line.strip("| ").split(" | "))
            rows.append((library, "\n".join(theirs), "\n".join(ours)))
    return rows


ROWS = tables()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with our sample, and with the same structures as files of the other libraries."""
    folder = tmp_path_factory.mktemp("migrating")
    shutil.copytree(SAMPLE, folder / "data")
    with ase.db.connect(folder / "structures.db") as database:
        for atoms, energy, forces in zip(FRAMES[:FEW], ENERGY, FORCES, strict=False):
            # Labels are in the dict of data, and copies have no calculator.
            database.write(atoms.copy(), data={"energy": energy, "forces": forces.tolist()})
    packed = folder / "packed"
    packed.mkdir()
    np.save(packed / "offsets.npy", np.concatenate([[0], N_ATOMS[:FEW].cumsum()]))
    for name, kind, values in (
        ("Z_pack.int32", np.int32, np.concatenate([atoms.numbers for atoms in FRAMES[:FEW]])),
        ("R_pack.f32", np.float32, np.concatenate([atoms.positions for atoms in FRAMES[:FEW]])),
        ("F_pack.f32", np.float32, np.concatenate(FORCES[:FEW]) * KCAL),
        ("E.f64", np.float64, ENERGY[:FEW] * KCAL),
        ("Qtot.f64", np.float64, np.arange(FEW) % 3 - 1),
    ):
        values.astype(kind).tofile(packed / name)
    np.savez(folder / "features.npz", X=np.zeros((N, 3)), y=np.zeros(N), idx_train=[0, 2, 3], idx_test=[5, 1])
    return folder


@pytest.fixture(scope="module")
def names(place):
    """What the lines above the tables define."""
    defined = {"__name__": "migrating"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for block in code_blocks():
            exec(compile(block, str(PAGE), "exec"), defined)
    return defined


def run(lines, names):
    """Run some lines; return all names afterwards, and as ``value`` what the last line is worth."""
    defined = dict(names)
    *before, last = ast.parse(lines).body
    if isinstance(last, ast.Expr):
        last = ast.Assign([ast.Name("value", ast.Store())], last.value)
    module = ast.fix_missing_locations(ast.Module([*before, last], []))
    exec(compile(module, str(PAGE), "exec"), defined)
    return SimpleNamespace(**defined)


def close(one, other, atol=1e-4):
    return np.allclose(np.asarray(one), np.asarray(other), rtol=1e-5, atol=atol)


def is_frame(atoms, i=0):
    return atoms == FRAMES[i] and atoms.get_potential_energy() == ENERGY[i]


def fewer(limit_energy, limit_force, largest, offset=0.0):
    """Return how many structures have no more energy per atom and force than that."""
    low = ENERGY / N_ATOMS - offset <= limit_energy
    return int(np.sum(low & [largest(forces) <= limit_force for forces in FORCES]))


def used(data, epoch):
    data.set_epoch(epoch)
    return [bool(data[i]["use_forces"]) for i in range(len(data))]


def drawn(loader):
    return np.concatenate([batch["structure"] for batch in loader])


def partition(*parts):
    """Return whether datasets have each structure once, all together."""
    return sorted(i for part in parts for i in part.structures) == list(range(N))


def sizes(*parts):
    return [len(part) for part in parts]


def column(data, name):
    return data.take(range(len(data))).columns[name]


def distances(positions):
    return np.linalg.norm(positions[:, None] - positions, axis=-1)


def formation(part):
    """Return energies less those of the elements as NumPy fits them to some structures."""
    counts = np.array([np.bincount(atoms.numbers, minlength=80) for atoms in FRAMES], dtype=float)
    fitted = np.linalg.lstsq(counts[part], ENERGY[part], rcond=None)[0]
    return ENERGY - counts @ fitted


def train_part():
    return zstruct.open_split("train.zarr")["train"]


def is_scaled(batch, of_atoms):
    """Return whether energies per atom have zero mean, and something has unit size."""
    per_atom = batch.columns["energy"] / batch.n_atoms
    size = np.sqrt((batch.columns["forces"] ** 2).mean()) if of_atoms else per_atom.std()
    return close(per_atom.mean(), 0.0, 1e-3) and close(size, 1.0, 1e-3)


def opened(path, **options):
    return zstruct.ZarrStructureDataset(path, **options)


def numbers_of(structures):
    return np.concatenate([FRAMES[i].numbers for i in structures]).tolist()


def is_packed(batch):
    """Return whether a batch has what the packed files have, in their units and in the words of mmml."""
    for row, i in enumerate(batch["structure"].tolist()):
        n = N_ATOMS[i]
        if not (
            batch["N"][row] == n
            and batch["Z"][row, :n].tolist() == FRAMES[i].numbers.tolist()
            and close(batch["R"][row, :n], FRAMES[i].positions)
            and close(batch["E"][row], ENERGY[i] * KCAL, 1e-3)
            and close(batch["F"][row, :n], FORCES[i] * KCAL, 1e-3)
            and batch["Qtot"][row] == i % 3 - 1
        ):
            return False
    rows = batch["Z"].shape[1]
    return batch["dst_idx"].shape == batch["src_idx"].shape == (rows * (rows - 1),)


def follows_moves(cheb, index, values, step=1e-4):
    """Return whether derivatives say how the features of the first structure change when an atom moves."""
    moved = [FRAMES[0].copy() for _ in range(2)]
    for atoms, sign in zip(moved, (1, -1), strict=True):
        atoms.positions[1, 0] += sign * step
    change = (cheb.compute(moved[0]) - cheb.compute(moved[1])) / (2 * step)
    centre, neighbour = index.numpy()
    expected = np.zeros_like(change)
    np.add.at(expected, centre[neighbour == 1], values.numpy()[neighbour == 1, :, 0])
    np.add.at(expected, centre[centre == 1], -values.numpy()[centre == 1, :, 0])
    return close(expected, change, 1e-3)


#: What is so after our lines have run, by library and a piece of their lines that no other row has.
CHECKS = {
    "aenet-python": {
        "build_workers=8": lambda r: (
            r.value.n_structures == N and close(column(opened("built.zarr"), "energy"), ENERGY, 0)
        ),
        'mode="build", max_energy=0.5': lambda r: (
            0 < r.value.n_structures == fewer(0.5, 2.0, lambda forces: abs(forces).max(), 1.0) < N
        ),
        "persist_features=True": lambda r: opened("train.zarr", features="trained", derivatives="trained")[9][
            "deriv_values"
        ].equal(r.data[9]["deriv_values"]),
        'mode="load")': lambda r: (
            close(r.data[9]["features"], r.cheb.compute(FRAMES[9]))
            and r.data[9]["deriv_values"].shape[1:] == (r.cheb.n_features, 3)
            and "features: cheb, stored; derivatives: cheb, stored" in repr(r.data)
        ),
        "dataset = StructureDataset(": lambda r: (
            "computed" in repr(r.data) and close(r.data[9]["features"], r.cheb.compute(FRAMES[9]))
        ),
        "Structure(positions": lambda r: (
            zstruct.ZarrStructureDataset("given.zarr").get_atoms(0).get_potential_energy() == -31.7
        ),
        "CachedStructureDataset": lambda r: (
            set(r.data[0]) == {"numbers", "energy", "features"}
            and close(r.data[9]["features"], r.cheb.compute(FRAMES[9]))
            and r.data[9]["energy"] == ENERGY[9]
        ),
        'sample["has_forces"]': lambda r: (
            close(r.value[0], ENERGY[0]) and close(r.value[1], FORCES[0]) and bool(r.value[2])
        ),
        'sample["species_indices"]': lambda r: (
            [r.cheb.species[i] for i in r.value] == FRAMES[0].get_chemical_symbols()
        ),
        'sample["neighbor_info"]': lambda r: close(
            np.sort(np.linalg.norm(r.value[1], axis=1)), np.sort(neighbor_list("d", FRAMES[0], 4.0))
        ),
        'sample["local_derivatives"]': lambda r: follows_moves(r.cheb, *r.value),
        "StructureDataset(structures, descriptor, max_energy=0.5": lambda r: (
            0 < len(r.value) == fewer(0.5, 2.0, lambda forces: abs(forces).max()) < N
        ),
        "descriptor, max_forces=2.0": lambda r: (
            0 < len(r.value) == fewer(np.inf, 2.0, lambda forces: abs(forces).max()) < N
        ),
        "StructureDataset(structures, descriptor, atomic_energies=": lambda r: (
            0 < len(r.value) < N
            and r.value.structures.tolist() == np.flatnonzero(ENERGY / N_ATOMS - 1.0 <= 0.4).tolist()
            and close(column(r.value, "energy"), (ENERGY - N_ATOMS)[r.value.structures], 1e-9)
        ),
        'mode="load", atomic_energies=': lambda r: (
            0 < len(r.value) < N
            and r.value.structures.tolist() == np.flatnonzero(ENERGY / N_ATOMS - 1.0 <= 0.4).tolist()
            and close(column(r.value, "energy"), ENERGY[r.value.structures], 0)
        ),
        "dataset.close()": lambda r: "closed" in repr(r.data),
        "force_resample_num_epochs=2": lambda r: (
            sum(used(r.data, 0)) == round(0.3 * N) and used(r.data, 0) == used(r.data, 1) != used(r.data, 2)
        ),
        'force_sampling="fixed"': lambda r: used(r.data, 0) == used(r.data, 5),
        "resample_force_structures": lambda r: used(r.data, 0) != used(r.data, 1),
        "should_use_forces": lambda r: r.value.dtype == torch.bool and r.value.shape == (),
        "cache_feature_max_entries": lambda r: (
            r.data[9]["edge_index"].equal(r.data[9]["edge_index"])
            and close(r.data[9]["features"], r.cheb.compute(FRAMES[9]))
        ),
        "cache_warmup": lambda r: close(r.data[9]["features"], r.cheb.compute(FRAMES[9])),
        "in_memory_cache_size": lambda r: "the last 100 kB" in repr(r.data),
        "collate_fn=trainer_collate": lambda r: len(next(iter(r.loader))["n_atoms"]) == 32,
        "num_workers=8": lambda r: sorted(drawn(r.loader)) == list(range(N)),
        "energy_weighted": lambda r: (ENERGY / N_ATOMS)[drawn(r.loader)].mean() < (ENERGY / N_ATOMS).mean(),
        "error_weighted": lambda r: drawn(r.loader).min() > 0 and drawn(r.loader).mean() > 0.6 * N,
        "train_test_split": lambda r: partition(r.train, r.test) and len(r.test) == round(0.1 * N),
        "normalize_energy": lambda r: is_scaled(r.data.take(train_part()), of_atoms=False),
        "normalize_features": lambda r: (
            close(r.mean, column(r.data, "features").mean(0), 1e-3)
            and r.value.shape == r.batch["features"].shape
        ),
        "force_weight": lambda r: close(r.value, 0.9 * ((0.1 / r.batch["n_atoms"]) ** 2).mean(), 1e-6),
        "get_statistics": lambda r: (
            r.value[:2] == (N, N)
            and close(r.value[2], sum(N_ATOMS))
            and set(r.value[3]) == {symbol for atoms in FRAMES for symbol in atoms.symbols}
        ),
        "get_force_indices": lambda r: r.value.tolist() == list(range(N)),
        "get_structure": lambda r: is_frame(r.value),
        "get_entry_metadata": lambda r: (
            r.value[0].endswith("alloys.xyz") and r.value[1] == 0 and r.value[2] == ENERGY[0]
        ),
        "load_persisted_descriptor": lambda r: r.value == r.cheb,
        "has_persisted_features": lambda r: r.value["class"] == "Chebyshev",
    },
    "MLFF-Distiller": {
        'format="ase"': lambda r: (
            close(column(r.data, "energy"), ENERGY[:FEW])
            and close(column(r.data, "forces"), np.concatenate(FORCES[:FEW]))
        ),
        "energy_key=": lambda r: (
            r.value.n_structures == N
            and close(column(opened("named.zarr"), "energy"), ENERGY, 0)
            and close(column(opened("named.zarr"), "forces"), np.concatenate(FORCES))
        ),
        "dtype=torch.float64": lambda r: (
            r.data[3]["energy"].item() == ENERGY[3]
            and r.data[3]["positions"].numpy().tolist() == FRAMES[3].positions.tolist()
        ),
        "cache=True": lambda r: (
            "cache: memory" in repr(r.data) and close(column(r.data, "energy"), ENERGY, 0)
        ),
        'sample["species"]': lambda r: (
            r.value[0].tolist() == FRAMES[0].numbers.tolist()
            and r.value[1] == N_ATOMS[0]
            and close(r.value[2], FRAMES[0].positions)
        ),
        "get_atoms": lambda r: is_frame(r.value),
        "return_atoms=True": lambda r: is_frame(r.value),
        "with MolecularDataset": lambda r: r.sample["energy"] == ENERGY[0] and "closed" in repr(r.data),
        "get_statistics": lambda r: close(
            r.value,
            [
                N_ATOMS.mean(),
                (ENERGY / N_ATOMS).mean(),
                (ENERGY / N_ATOMS).std(),
                np.sqrt((np.concatenate(FORCES) ** 2).mean()),
            ],
            1e-9,
        ),
        "random_seed=42": lambda r: partition(r.train, r.val, r.test) and abs(len(r.train) - 0.8 * N) < 1,
        "shuffle=False": lambda r: r.parts["train"].tolist() == list(range(len(r.parts["train"]))),
        "MolecularSubset": lambda r: r.value.structures.tolist() == [4, 2, 7],
        "use_padding=True": lambda r: (
            (batch := next(iter(r.loader)))["positions"].shape == (32, batch["max_atoms"], 3)
            and batch["species"][batch["mask"]].tolist() == numbers_of(batch["structure"])
        ),
        "use_padding=False": lambda r: (
            (batch := next(iter(r.loader)))["positions"].shape == (batch["total_atoms"], 3)
            and batch["species"].tolist() == numbers_of(batch["structure"])
        ),
        "pin_memory": lambda r: len(r.loader) == N // 32,
        "create_dataloaders": lambda r: (
            sorted(i for loader in r.loaders.values() for i in drawn(loader)) == list(range(N))
        ),
        "molecular_collate_fn([": lambda r: (
            r.value["positions"].shape == (2, max(N_ATOMS[:2]), 3)
            and r.value["mask"].sum(1).tolist() == N_ATOMS[:2].tolist()
            and r.value["species"][r.value["mask"]].tolist() == numbers_of([0, 1])
        ),
        "no_padding([": lambda r: (
            r.value["ptr"].tolist() == [0, *N_ATOMS[:2].cumsum()]
            and r.value["species"].tolist() == numbers_of([0, 1])
        ),
        'batch["total_atoms"]': lambda r: (
            r.value[0].tolist() == N_ATOMS[:32].tolist() and r.value[1:] == (32, N_ATOMS[:32].sum())
        ),
        'batch["max_atoms"]': lambda r: 0.0 < r.value < 1.0,
        "AddNoise(": lambda r: (
            np.abs(distances(r.data[0]["positions"]) - distances(FRAMES[0].positions)).max() < 0.15
            and not close(r.data[0]["positions"], FRAMES[0].positions, 0.15)
            and bool(r.data[0]["stale"])
        ),
        "RandomReflection": lambda r: (
            0.15 * N
            < sum(not close(r.value[i]["positions"], FRAMES[i].positions) for i in range(N))
            < 0.45 * N
        ),
        "NormalizeForces": lambda r: is_scaled(r.data.take(train_part()), of_atoms=True),
        "class Shift": lambda r: close(r.value[0]["positions"], FRAMES[0].positions + 1.0),
    },
    "mmml": {
        'loader = PackedMemmapLoader("packed", batch_size=32)': lambda r: (
            close(column(opened("packed.zarr"), "energy"), ENERGY[:FEW], 1e-6)
            and close(column(opened("packed.zarr"), "forces"), np.concatenate(FORCES[:FEW]))
            and all(is_packed(batch) for batch in r.loader)
        ),
        "bucket_size=1024": lambda r: (
            r.loader.padding_efficiency() > 0.9 > r.data.loader(32, shuffle=True).padding_efficiency()
        ),
        "loader.n_atoms": lambda r: r.value[0] == N and r.value[1].tolist() == N_ATOMS.tolist(),
        "loader.Z_pack": lambda r: (
            close(r.value[1], np.concatenate([atoms.positions for atoms in FRAMES]))
            and r.value[2].values.tolist() == [0, *N_ATOMS.cumsum()[:-1]]
        ),
        "in loader.batches(num_atoms=60)": lambda r: (
            r.batch["R"].shape[1:] == (60, 3) and len(r.batch["dst_idx"]) == 60 * 59
        ),
        "physnet_format=False": lambda r: (
            r.batch["Z"].dtype == torch.int32
            and r.batch["Z"][r.batch["mask"]].tolist() == numbers_of(r.batch["structure"])
            and close(r.batch["E"], ENERGY[r.batch["structure"]])
            and {"R", "F", "N", "Qtot"} <= r.batch.keys()
        ),
        "prepare_batches_jit": lambda r: (
            {len(batch["N"]) for batch in r.batches} == {32}
            and len(r.batches) == N // 32
            and type(r.batches[0]["R"]) is np.ndarray
            and r.batches[0]["R"].shape == (32 * 60, 3)
        ),
        "batch = next(": lambda r: (
            type(r.batch["F"]) is np.ndarray and close(r.batch["F"][7, : N_ATOMS[7]], FORCES[7])
        ),
        "train_fraction=0.9, seed=1": lambda r: partition(r.train, r.valid),
        "train_fraction=0.9)": lambda r: (
            partition(r.train, r.valid) and r.valid.structures[0] == len(r.train)
        ),
        "get_data_statistics": lambda r: (
            r.value[0] == N
            and close(r.value[1], ENERGY.std(), 1e-9)
            and r.value[2]["Cu"] == sum(list(atoms.symbols).count("Cu") for atoms in FRAMES)
        ),
        "subtract_atomic_energies": lambda r: close(column(r.data, "energy"), formation(train_part())),
        "center_coordinates": lambda r: (
            close(column(r.data, "energy"), ENERGY * 23.060548, 0.01)
            and all(
                close(r.data[i]["positions"].mean(0), 0.0)
                for i, atoms in enumerate(FRAMES)
                if not atoms.pbc.any()
            )
        ),
    },
    "kinoml": {
        "dataset = PrefeaturizedTorchDataset": lambda r: (
            r.data[0]["features"].shape == (N_ATOMS[0], r.cheb.n_features) and "forces" not in r.data[0]
        ),
        "TorchDataset(systems": lambda r: r.data[0]["features"][FRAMES[0].numbers[0]] > 0,
        "provider.featurize": lambda r: "stored" in zstruct.features.group_names("train.zarr")["features"],
        "system.featurizations": lambda r: (
            close(r.data[0]["features"], FRAMES[0].positions.std(0, ddof=1))
            and r.data[0]["features"].equal(r.data[0]["features"])
        ),
        "X, y = dataset[i]": lambda r: close(r.y, ENERGY[0]) and len(r.X) == N_ATOMS[0],
        "X, y = dataset[0:8]": lambda r: close(r.y, ENERGY[:8]) and len(r.X) == sum(N_ATOMS[:8]),
        "dataset[mask]": lambda r: sizes(*r.value) == [3, sum(N_ATOMS > 4), 8],
        "as_dataloader": lambda r: sorted(drawn(r.value)) == list(range(N)),
        "estimate_input_size": lambda r: tuple(r.value) == (N_ATOMS[0], r.cheb.n_features),
        "dataset.input_size": lambda r: r.value == r.cheb.n_features,
        "observation_model=model": lambda r: r.value["energy"].equal(-r.batch["energy"]),
        "loss_func(dataset": lambda r: r.value == 0.0,
        "loss_adapter": lambda r: r.value == 0.0,
        "XyTorchDataset": lambda r: r.train.structures.tolist() == [0, 2, 3],
        "dataset.indices": lambda r: r.train.structures.tolist() == train_part().tolist(),
        "RandomGrouper": lambda r: partition(*r.value.values()) and set(r.value) == {"train", "test"},
        "CallableGrouper": lambda r: (
            not {n // 4 for n in N_ATOMS[r.value["train"]]} & {n // 4 for n in N_ATOMS[r.value["val"]]}
        ),
        "random_split": lambda r: sizes(r.train, r.test) == [round(0.8 * N), N - round(0.8 * N)],
        "MultiXTorchDataset": lambda r: (
            [len(s["features"]) for s in next(iter(r.loader))] == N_ATOMS[:32].tolist()
        ),
        "AwkwardArrayDataset": lambda r: [len(X) for X in r.per_structure] == N_ATOMS[:32].tolist(),
        "AwkwardArrayGeometricDataset": lambda r: next(iter(r.loader)).num_graphs == 32,
        "to_numpy": lambda r: close(r.y, ENERGY[:100]) and len(r.X) == sum(N_ATOMS[:100]),
        "to_dataframe": lambda r: (
            r.value.energy.tolist() == ENERGY.tolist() and r.value.n_atoms.tolist() == N_ATOMS.tolist()
        ),
    },
}


@pytest.mark.parametrize(("library", "theirs", "ours"), ROWS, ids=[f"{row[0]}-{row[1]}"[:70] for row in ROWS])
def test_what_is_told_does_it(library, theirs, ours, names, place, monkeypatch):
    if '"pyg"' in ours:
        pytest.importorskip("torch_geometric")
    monkeypatch.chdir(place)
    (check,) = (check for piece, check in CHECKS[library].items() if piece in theirs)
    assert check(run(ours, names))


def test_each_library_has_a_table_and_each_row_a_check():
    assert {library for library, _, _ in ROWS} == set(CHECKS)
    for library, checks in CHECKS.items():
        calls = [theirs for found, theirs, _ in ROWS if found == library]
        assert [sum(piece in theirs for piece in checks) for theirs in calls] == [1] * len(calls)
        assert [sum(piece in theirs for theirs in calls) for piece in checks] == [1] * len(checks)


def test_no_row_is_lost_to_the_way_tables_are_written():
    text = PAGE.read_text()
    written = [line for line in text.splitlines() if line.startswith("|")]
    assert len(written) == len(ROWS) + 2 * len(CHECKS)
    assert all(line.count("|") == 3 for line in written)
    for _, theirs, ours in ROWS:
        ast.parse(theirs)
        ast.parse(ours)


def test_packed_files_need_no_charges(names, place, tmp_path):
    shutil.copytree(place / "packed", tmp_path / "packed")
    (tmp_path / "packed" / "Qtot.f64").unlink()
    zstruct.build(
        names["molecules"](tmp_path / "packed"),
        tmp_path / "neutral.zarr",
        units={"energy": "kcal/mol"},
        progress=False,
    )
    data = zstruct.ZarrStructureDataset(tmp_path / "neutral.zarr")
    assert "total_charge" not in data.fields
    assert close(column(data, "energy"), ENERGY[:FEW], 1e-6)
    assert next(iter(data.loader(FEW, layout="physnet")))["Qtot"].tolist() == [0.0] * FEW
