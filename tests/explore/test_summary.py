import json

import ase.build
import numpy as np
import pytest

import zstruct
from zstruct.explore import format_summary, summarize


def test_counts_agree_with_the_input(path, structures):
    summary = summarize(path)

    sizes = [len(atoms) for atoms in structures]
    symbols = [s for atoms in structures for s in atoms.get_chemical_symbols()]
    assert summary["path"] == str(path)
    assert summary["n_structures"] == 40
    assert summary["n_atoms"] == sum(sizes)
    assert summary["atoms_per_structure"] == {"min": min(sizes), "mean": np.mean(sizes), "max": max(sizes)}
    assert summary["n_periodic"] == sum(atoms.pbc.any() for atoms in structures)
    assert summary["species"] == {s: symbols.count(s) for s in ("H", "C", "O", "Ti")}
    assert summary["digest"] == zstruct.Store(path).digest


def test_fields_are_described(path, structures):
    fields = summarize(path)["fields"]

    forces, n_k = fields["forces"], fields["n_k"]
    assert forces["dims"] == ["atom", "xyz"]
    assert forces["unit"] == "eV angstrom-1"
    assert forces["coverage"] == sum("forces" in a.calc.results for a in structures) / 40
    assert forces["nbytes"] == 24 * sum(map(len, structures))
    assert (n_k["kind"], n_k["dtype"]) == ("int", "int64")
    energies = [a.calc.results["energy"] for a in structures]
    assert fields["energy"]["range"] == [min(energies), max(energies)]
    assert fields["R2"]["original_name"] == "<R2>"


def test_bytes_on_disk_are_those_of_the_files(path):
    summary = summarize(path)

    assert summary["nbytes_on_disk"] == sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
    assert 0 < sum(f["nbytes_on_disk"] for f in summary["fields"].values()) < summary["nbytes_on_disk"]


def test_is_json(path):
    summary = summarize(path)

    assert json.loads(json.dumps(summary)) == summary


def test_of_a_url(path):
    summary = summarize(f"file://{path}")

    assert summary["nbytes_on_disk"] is None
    assert "on disk" not in format_summary(summary)


def test_text_is_an_aligned_table(path):
    text = format_summary(summarize(path))

    lines = text.splitlines()
    assert lines[0] == str(path)
    assert lines[1].startswith("40 structures, ")
    head = next(line for line in lines if line.startswith("field "))
    table = lines[lines.index(head) :]
    energy = next(line for line in table if line.startswith("energy "))
    forces = next(line for line in table if line.startswith("forces "))
    assert energy.index("float64") == forces.index("float64") == head.index("dtype")
    assert energy.index("eV") == head.index("unit")
    assert "100%" in energy
    assert "65.0%" in forces
    assert "int64" in next(line for line in table if line.startswith("n_k "))
    assert all(line == line.rstrip() for line in lines)


def test_tells_what_the_build_left_out(tmp_path, structures):
    per_atom = [a.calc.results["energy"] / len(a) for a in structures[:6]]
    limit = float(np.median(per_atom))
    bad = structures[1].copy()
    bad.positions[0] = np.nan
    zstruct.build(
        [*structures[:6], bad],
        tmp_path / "x.zarr",
        on_error="skip",
        filters={"max_energy": limit},
        encoding="float32",
        progress=False,
    )

    summary = summarize(tmp_path / "x.zarr")
    text = format_summary(summary)

    assert summary["dropped"] == {"max_energy": 3}
    assert "dropped 3 by max_energy" in text
    assert "dtype='float32'" in text
    assert "skipped 1 bad frame or input" in text
    assert "atoms, frame 6: " in text


def test_refuses_what_is_no_store(tmp_path):
    with pytest.raises(zstruct.StoreFormatError, match="can't open the store"):
        summarize(tmp_path / "nothing.zarr")


def test_fits_a_terminal(tmp_path):
    """Of long names, long units, large numbers and many elements, too."""
    atoms = ase.build.bulk("Cu") * (2, 2, 2)
    atoms.numbers = np.arange(1, 9)
    for k in range(30):
        atoms.info[f"a_property_with_quite_a_long_name_{k}"] = -1.2345678e-101 * 10.0**k
        atoms.arrays[f"another_one_that_has_a_long_name_{k}"] = np.full((8, 3, 3), -1.2345678e101)
    atoms.info["whole"] = 3
    other = ase.Atoms(range(1, 100), positions=np.arange(297).reshape(99, 3))
    zstruct.build([atoms, other], tmp_path / "s.zarr", progress=False)
    text = format_summary(summarize(tmp_path / "s.zarr"))
    lines = text.splitlines()
    assert max(map(len, lines[1:])) <= 80
    assert lines[0] == str(tmp_path / "s.zarr")
    assert sum(line.startswith(("a_prop", "anothe")) for line in lines) == 60
    assert "-1.235e+101 .. -1.235e+101" in text
    assert "Es 1" in " ".join(text.split())
