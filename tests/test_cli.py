"""The command line: what people type and what they see."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import zstruct
from tests.conftest import extxyz_text
from zstruct.cli import main
from zstruct.store.store import Store


def test_build_info_verify(tmp_path, xyz_file, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["build", "train.xyz", "out.zarr", "--quiet"]) == 0
    assert "out.zarr: 30 structures" in capsys.readouterr().out
    assert main(["info", "out.zarr"]) == 0
    shown = capsys.readouterr().out
    for word in ("30", "energy", "eV angstrom-1", "forces", "positions"):
        assert word in shown
    assert main(["info", "out.zarr", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n_structures"] == 30
    assert main(["verify", "out.zarr"]) == 0
    assert "every checksum" in capsys.readouterr().out


def test_select(tmp_path, xyz_file, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    zstruct.build(xyz_file, "a.zarr", progress=False)
    zstruct.split("a.zarr", [0.5, 0.5], name="default", labels=["train", "test"])
    assert main(["select", "a.zarr", "C and n_atoms > 2", "b.zarr", "--quiet"]) == 0
    n = len(zstruct.Selection().select("C and n_atoms > 2").structures(zstruct.Store("a.zarr")))
    assert f"b.zarr: {n} structures" in capsys.readouterr().out
    assert main(["select", "a.zarr", "c.zarr", "--split", "test", "--dtype", "float32", "--quiet"]) == 0
    assert zstruct.Store("c.zarr").n_structures == 15
    assert zstruct.Store("c.zarr").dtype("positions") == "float32"
    capsys.readouterr()
    for words in (["a.zarr"], ["a.zarr", "d.zarr"], ["a.zarr", "C", "O", "d.zarr"]):
        assert main(["select", *words]) == 1
        assert 'write zstruct select train.zarr "Ti and fmax < 5" cut.zarr' in capsys.readouterr().err


def test_ls_and_index(tmp_path, xyz_file, frames, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["build", str(xyz_file), "train.zarr", "--quiet"]) == 0
    capsys.readouterr()
    assert (
        main(
            ["ls", "train.zarr", "n_atoms > 2", "--columns", "formula,cell[c, z],H / n_atoms", "--limit", "2"]
        )
        == 0
    )
    lines = capsys.readouterr().out.splitlines()
    n = sum(len(atoms) > 2 for atoms in frames)
    assert lines[0].split("|")[1:] == ["formula", "cell[c, z]", "H / n_atoms"]
    assert lines[-1] == f"Rows: 2 of {n}"
    assert main(["ls", "train.zarr", "--columns", "fmax", "--sort", "fmax-", "--limit", "0", "--csv"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head == "structure,fmax"
    values = [float(row.split(",")[1]) for row in rows if not row.endswith(",")]
    assert values == sorted(values, reverse=True)
    assert len(rows) == len(frames)
    assert main(["index", "train.zarr", "--shortest-distance", "--quiet"]) == 0
    assert "fmax, volume, shortest_distance of 30 structures" in capsys.readouterr().out
    assert main(["info", "train.zarr"]) == 0
    out = capsys.readouterr().out
    assert "index/default: fmax, formula, shortest_distance, volume, for selections" in out
    assert main(["ls", "train.zarr", "fmx > 1"]) == 1
    assert "did you mean fmax" in capsys.readouterr().err


def test_rewrite(tmp_path, xyz_file, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    zstruct.build(xyz_file, "a.zarr", progress=False)
    options = ["--encoding=decimal", "--compression=small", "--chunks=atom=16,structure=4", "--workers=1"]
    assert main(["rewrite", "a.zarr", "b.zarr", "--quiet", "--no-resume", *options]) == 0
    assert "b.zarr: " in capsys.readouterr().out
    store = Store("b.zarr")
    assert store.grid("positions").chunk_rows == 16
    assert store.grid("energy").chunk_rows == 4
    assert store.profile("positions").codec.compressor == "zstd"
    assert main(["rewrite", "a.zarr", "b.zarr", "--quiet", "--chunks=8"]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main(["rewrite", "a.zarr", "b.zarr", "--quiet", "--chunks=8", "--overwrite"]) == 0
    assert Store("b.zarr").grid("positions").chunk_rows == 8
    with pytest.raises(SystemExit):
        main(["rewrite", "a.zarr", "c.zarr", "--chunks", "many"])
    assert "--chunks: invalid" in capsys.readouterr().err


def test_every_build_option_is_passed_on(tmp_path, frames, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = extxyz_text(frames).replace("energy=", "E_qm=").replace("config", "")
    (tmp_path / "in.data").write_text(text)
    options = ["--reader", "xyz", "--key", "energy=E_qm", "--unit", "energy=meV", "--exclude", "stress"]
    options += ["--atomic-energy", "H=-1e-3", "--max-energy", "100", "--max-force", "2.5", "--workers", "1"]
    options += [
        "--max-force-component",
        "2.4",
        "--dtype",
        "float32",
        "--shuffle-seed",
        "3",
        "--on-error",
        "skip",
    ]
    options += [f"--atomic-energy={s}=0" for s in ("C", "O", "Ti")]
    assert main(["build", "in.data", "out.zarr", "--quiet", "--no-resume", *options]) == 0
    store = Store("out.zarr")
    settings = store.attrs["build"]["options"]
    assert settings["reader"] == "xyz"
    assert settings["keys"] == {"energy": "E_qm"}
    assert settings["units"] == {"energy": "meV"}
    assert settings["exclude"] == ["stress"]
    assert settings["dtype"] == "float32"
    assert settings["shuffle_seed"] == 3
    assert settings["on_error"] == "skip"
    assert settings["filters"]["max_energy"] == 100
    assert settings["filters"]["max_force"] == 2.5
    assert settings["filters"]["max_force_component"] == 2.4
    assert settings["filters"]["atomic_energies"] == {"H": -1e-3, "C": 0, "O": 0, "Ti": 0}
    assert "stress" not in store.fields
    assert abs(store.read("energy")).max() < 1
    assert main(["build", "in.data", "out.zarr", "--quiet", "--reader", "xyz"]) == 1
    assert main(["build", "in.data", "out.zarr", "--quiet", "--reader", "xyz", "--overwrite"]) == 0


def test_systems_of_units_and_levels_of_theory(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [
        f"1\nProperties=species:S:1:pos:R:3 head={h} energy={e}\nH 0 0 0\n" for h, e in (("a", -1), ("b", -2))
    ]
    (tmp_path / "atoms.xyz").write_text("".join(lines))
    assert main(["build", "atoms.xyz", "out.zarr", "--quiet", "--unit", "atomic", "--unit", "energy=eV"]) == 0
    assert Store("out.zarr").attrs["build"]["options"]["units"] == {"system": "atomic", "energy": "eV"}
    assert Store("out.zarr").read("energy").tolist() == [-1, -2]
    assert main(["build", "atoms.xyz", "x.zarr", "--quiet", "--unit", "atomic", "--unit", "metal"]) == 1
    assert "give one system of units" in capsys.readouterr().err
    assert main(["references", "out.zarr", "--isolated", "--quiet"]) == 1
    assert "H by 1 eV" in capsys.readouterr().err
    assert main(["references", "out.zarr", "--isolated", "--by", "head", "--quiet"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split(";")[0] for line in shown] == ["a: References(H: -1", "b: References(H: -2"]
    assert main(["references", "out.zarr", "--by", "head", "--quiet"]) == 1
    assert "--by goes with --isolated" in capsys.readouterr().err


def test_featurize(tmp_path, xyz_file, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["build", "train.xyz", "out.zarr", "--quiet"]) == 0
    parameters = ["--param=species=H,C,O,Ti", "--param=rad_order=4", "--param=rad_cutoff=3.5"]
    parameters += ["--params", '{"ang_order": 2, "ang_cutoff": 2.5, "rad_order": 9}']
    options = ["--derivatives", "--only=forces", "--name=cheb", "--dtype=float64", "--workers=1", "--quiet"]
    command = ["featurize", "out.zarr", "chebyshev", *parameters, *options]
    assert main(command) == 0
    assert "features/cheb and derivatives/cheb" in capsys.readouterr().out
    store = Store("out.zarr")
    attrs = store.group_attrs("derivatives/cheb")
    assert (attrs["only"], attrs["dtype"]) == ("forces", "float64")
    assert attrs["manifest"]["parameters"]["rad_order"] == 4  # --param comes after --params
    assert attrs["manifest"]["parameters"]["species"] == ["H", "C", "O", "Ti"]
    assert main(command) == 0
    assert "nothing to do" in capsys.readouterr().out
    command.remove("--param=rad_order=4")
    assert main(command) == 1
    assert "pass overwrite=True (--overwrite)" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    assert main(["featurize", "out.zarr", "neighbors", "--param", "cutoff=3", "--quiet"]) == 0
    capsys.readouterr()
    assert main(["info", "out.zarr"]) == 0
    assert "neighbors/rc3: NeighborList(cutoff=3.0)" in capsys.readouterr().out
    assert main(["info", "out.zarr", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["groups"]["features/cheb"]["stale"] is False
    assert main(["verify", "out.zarr"]) == 0


def test_split_stats_references(tmp_path, xyz_file, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["build", "train.xyz", "out.zarr", "--quiet"]) == 0
    options = ["--seed=3", "--stratify=energy,n_atoms", "--bins=2", "--labels=a,b,c"]
    assert main(["split", "out.zarr", "--sizes", "0.8,0.1,0.1", *options]) == 0
    assert "splits/default: Split(a: 24, b: 3, c: 3)" in capsys.readouterr().out
    assert main(["split", "out.zarr", "--sizes=20,10"]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main(["split", "out.zarr", "--sizes=20,10", "--by=order", "--name=old", "--overwrite"]) == 0
    np.savez("split.npz", train_idx=[1, 2])
    assert main(["split", "out.zarr", "--file=split.npz", "--name=given"]) == 0
    capsys.readouterr()
    assert main(["references", "out.zarr", "--split=old/train", "--name=default", "--quiet"]) == 0
    assert "fitted from 20 structures" in capsys.readouterr().out
    assert main(["references", "out.zarr", "--ridge=2", "--quiet", "--workers=1"]) == 0
    assert "ridge 2" in capsys.readouterr().out
    stats = ["stats", "out.zarr", "--split=a", "--references=default", "--quiet", "--workers=1"]
    assert main([*stats, "--name=a"]) == 0
    assert "Statistics of 24 structures" in capsys.readouterr().out
    assert main([*stats, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["energy"]["count"] == 24
    assert main(["info", "out.zarr"]) == 0
    shown = capsys.readouterr().out
    assert "splits/given: train (method='given'" in shown
    assert "statistics/a: 24 structures, a of default" in shown
    assert "references/default: H " in shown
    assert main(["info", "out.zarr", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["groups"]["references/default"]["stale"] is False
    assert main(["verify", "out.zarr"]) == 0


def test_parameters_from_a_file(tmp_path, xyz_file, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.json").write_text('{"cutoff": 2.5}')
    assert main(["build", "train.xyz", "out.zarr", "--quiet"]) == 0
    assert main(["featurize", "out.zarr", "neighbors", "--params", "list.json", "--quiet"]) == 0
    assert Store("out.zarr").group_names("neighbors") == ["rc2.5"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "nothing.xyz", "out.zarr"], "nothing.xyz: there is no such file"),
        (["build", "train.xyz", "out.zarr", "--key", "energy"], "write it as NAME=VALUE"),
        (["build", "train.xyz", "out.zarr", "--atomic-energy", "H=one"], "could not convert"),
        (
            ["featurize", "nothing.zarr", "soap"],
            "no descriptor is called 'soap'; there are chebyshev, acsf, nei",
        ),
        (["build"], r"no inputs, and no store to make: write zstruct build data/\*.xyz train.zarr"),
        (["build", "x.zarr"], r"nothing to build x\.zarr from: write zstruct build IN \.\.\. x\.zarr"),
        (["build", "train.xyz"], r"no store to make of train\.xyz: it comes last"),
        (["build", "train.xyz", "train.xyz"], r"train\.xyz is a file: the store to make comes last"),
        (["build", "train.xyz", "s3://bucket/s.zarr"], "into local directories only, not into s3://bucket"),
        (["info", "nothing.zarr", "--storage-option", "anon=true"], "storage_options are for URLs"),
        (["featurize", "nothing.zarr", "neighbors", "--param", "cutoff=3"], "can't open the store nothing"),
        (["featurize", "nothing.zarr", "neighbors", "--params", "[3]"], "--params .*No such file"),
        (["featurize", "nothing.zarr", "neighbors", "--params", "{3}"], r"--params \{3\}: Expecting"),
        (["split", "nothing.zarr"], "either --sizes, --file or --part"),
        (["split", "nothing.zarr", "--sizes=a"], "--sizes a: give numbers separated"),
        (["references", "nothing.zarr", "--isolated", "--ridge=1"], "--isolated takes no"),
        (["stats", "nothing.zarr"], "can't open the store nothing.zarr"),
        (["info", "nothing.zarr"], "can't open the store nothing.zarr"),
        (["verify", "."], "not a zstruct store|no Zarr group"),
    ],
)
def test_errors_are_one_sentence_and_status_one(tmp_path, xyz_file, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("zstruct: ")
    assert shown.count("\n") == 1
    import re

    assert re.search(message, shown)


def test_the_command_is_installed(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "zstruct.cli", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("zstruct 0.")


def test_featurize_needs_no_parameters(tmp_path, xyz_file, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["build", "train.xyz", "out.zarr", "--quiet"]) == 0
    capsys.readouterr()
    assert main(["featurize", "out.zarr", "--quiet"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("chebyshev with species=['H', 'C', 'O', 'Ti'], rad_order=10, rad_cutoff=6.0, ")
    assert "features/chebyshev" in shown
    assert main(["featurize", "out.zarr", "neighbors", "--quiet"]) == 0
    assert "neighbors with cutoff=5.0" in capsys.readouterr().out
    assert main(["featurize", "out.zarr", "acsf", "--param=r_cut=3.5", "--quiet"]) == 0
    manifest = Store("out.zarr").group_attrs("features/acsf")["manifest"]
    assert manifest["parameters"]["r_cut"] == 3.5
    assert manifest["parameters"]["species"] == ["H", "C", "O", "Ti"]
    assert len(manifest["parameters"]["g4_params"]) == 6
    whole = ["species=H,C,O,Ti", "rad_order=2", "rad_cutoff=3", "ang_order=1", "ang_cutoff=3"]
    options = [f"--param={text}" for text in (*whole, "min_cutoff=0.5")]
    capsys.readouterr()
    assert main(["featurize", "out.zarr", "chebyshev", "--name=c", "--quiet", *options]) == 0
    assert capsys.readouterr().out.startswith("out.zarr: ")  # all was given: nothing to tell


def test_the_help_of_featurize_has_an_example_that_runs(tmp_path, xyz_file, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["build", "train.xyz", "train.zarr", "--quiet"]) == 0
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["featurize", "--help"])
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    lines = [line.split()[1:] for line in shown.splitlines() if line.startswith("  zstruct featurize")]
    assert len(lines) == 3
    for line in lines[::2]:  # the store of the other has other elements
        assert main([*line, "--quiet"]) == 0


def test_info_fits_a_terminal(tmp_path, xyz_file, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["build", "train.xyz", "out.zarr", "--quiet", "--max-force=100", "--shuffle-seed=1"]) == 0
    assert main(["featurize", "out.zarr", "acsf", "--quiet"]) == 0
    assert main(["split", "out.zarr", "--sizes=0.8,0.1,0.1", "--stratify=energy,n_atoms"]) == 0
    assert main(["references", "out.zarr", "--split=train", "--name=default", "--quiet"]) == 0
    capsys.readouterr()
    assert main(["info", "out.zarr"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("features/acsf: ACSF(") for line in lines)


def test_names_that_are_not_utf_8_are_printed(tmp_path, xyz_file):
    out = os.fsdecode(bytes(tmp_path) + b"/\xff.zarr")
    for command in (["build", str(xyz_file), out, "--quiet"], ["verify", out]):
        done = subprocess.run(
            [sys.executable, "-m", "zstruct", *command],
            capture_output=True,
            check=False,
            env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
        )
        assert done.returncode == 0, done.stderr
        assert b"\\udcff.zarr" in done.stdout


def test_what_is_selected_is_counted_summed_up_fitted_and_split(tmp_path, xyz_file, frames, capsys):
    path = str(tmp_path / "x.zarr")
    assert main(["build", str(xyz_file), path, "--quiet"]) == 0
    chosen = [i for i, atoms in enumerate(frames) if "Ti" in atoms.symbols and len(atoms) <= 5]
    select = ["--select", "Ti and n_atoms <= 5"]
    capsys.readouterr()

    assert main(["info", path, *select]) == 0
    n_atoms = sum(len(frames[i]) for i in chosen)
    said = f'{len(chosen)} of 30 structures, {n_atoms} atoms: where "Ti and n_atoms <= 5"\n'
    assert capsys.readouterr().out == said
    assert main(["info", path, *select, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n_structures"] == len(chosen)
    assert main(["stats", path, *select, "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["structures"] == len(chosen)
    assert main(["split", path, *select, "--sizes", "1.0", "--labels", "few", "--name", "mine"]) == 0
    parts = zstruct.open_split(path, "mine")
    assert parts["few"].tolist() == chosen
    assert parts.recipe["selection"] == 'where "Ti and n_atoms <= 5"'
    capsys.readouterr()
    assert main(["references", path, *select, "--quiet"]) == 0
    assert f"from {len(chosen)} structures" in capsys.readouterr().out


def test_what_is_wrong_in_an_expression_is_shown(tmp_path, xyz_file, capsys):
    path = str(tmp_path / "x.zarr")
    assert main(["build", str(xyz_file), path, "--quiet"]) == 0

    assert main(["info", path, "--select", "Ti and fmx < 3"]) == 1

    shown = capsys.readouterr().err
    assert "has no quantity 'fmx'; did you mean fmax?\n  Ti and fmx < 3\n         ^^^" in shown


def test_export(tmp_path, xyz_file, capsys, monkeypatch):
    import ase.io

    monkeypatch.chdir(tmp_path)
    zstruct.build(xyz_file, "a.zarr", progress=False)
    zstruct.split("a.zarr", [20, 10], name="default")
    options = [
        "--split",
        "val",
        "--with-split",
        "default",
        "--exclude",
        "stress",
        "--quiet",
        "--workers",
        "1",
    ]
    assert main(["export", "a.zarr", "out.xyz.gz", *options]) == 0
    assert "out.xyz.gz: 10 structures" in capsys.readouterr().out
    made = ase.io.read("out.xyz.gz", ":")
    assert [atoms.info["split"] for atoms in made] == ["val"] * 10
    assert not any("stress" in atoms.calc.results for atoms in made)
    fields = ["--field", "energy", "--field", "forces", "--select", "n_atoms > 0"]
    assert main(["export", "a.zarr", "out.xyz.gz", *fields, "--quiet"]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main(["export", "a.zarr", "out.xyz.gz", *fields, "--quiet", "--overwrite"]) == 0
    assert set(ase.io.read("out.xyz.gz", 0).info) == set()
    assert main(["export", "a.zarr", "out", "--format", "xsf", "--field", "energy", "--quiet"]) == 0
    assert len(list((tmp_path / "out").iterdir())) == 30


def test_formats(capsys):
    assert main(["formats"]) == 0
    shown = capsys.readouterr().out
    read, written = shown.split("written by zstruct export:")
    for word in ("xyz", ".xsf", "ASE databases"):
        assert word in read
    for word in ("packed-memmap", ".parquet", "needs zstruct[parquet]", ".aselmdb"):
        assert word in written
