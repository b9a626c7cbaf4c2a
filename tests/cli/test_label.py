"""``zstruct label`` and ``zstruct compare`` do what the functions of these names do."""

import json
import sys

import numpy as np
import pytest

import zstruct
from tests.conftest import random_atoms
from zstruct.cli import main


@pytest.fixture
def store(tmp_path, rng, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    zstruct.build([random_atoms(rng, n) for n in (3, 1, 5)], "s.zarr", progress=False)
    return tmp_path / "s.zarr"


def test_a_calculator_labels_and_is_compared(store, capsys):
    how = "ase.calculators.lj:LennardJones"
    options = ["--param", "rc=5.0", "--version", "1", "--workers", "1", "--quiet"]
    assert main(["label", *options, str(store), "lj", how]) == 0
    assert "labels/lj: forces, energy" in capsys.readouterr().out
    assert main(["label", *options, str(store), "lj", how]) == 0
    assert "there already, nothing to do" in capsys.readouterr().out
    assert main(["compare", str(store), "lj", "--by", "element", "--quiet"]) == 0
    assert "lj against the store's own, 3 structures" in capsys.readouterr().out
    assert main(["compare", str(store), "lj", "--json", "--worst", "1", "--quiet"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["errors"]["energy_per_atom"]["count"] == 3
    assert len(said["worst"]["forces"]["structures"]) == 1
    assert main(["stats", str(store), "--labels", "lj", "--quiet"]) == 0
    assert "Statistics of 3 structures" in capsys.readouterr().out


def test_a_function_of_a_module_at_hand_labels(store, capsys):
    (store.parent / "my_own_model.py").write_text(
        "import numpy as np\n\ndef labels(batch, scale=1.0):\n    return {'energy': scale * batch.n_atoms}\n"
    )
    arguments = ["--param", "scale=2.5", "--on-error", "raise", "--max-atoms", "4", "--quiet"]
    assert main(["label", *arguments, str(store), "mine", "my_own_model:labels"]) == 0
    assert "labels/mine: energy, 3 structures" in capsys.readouterr().out
    assert np.array_equal(zstruct.open_labels(store, "mine").read("energy"), [7.5, 2.5, 12.5])


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("nothing", "write it as MODULE:NAME"),
        ("no_such_module:x", "can't be imported: No module named"),
        ("math:gone", "can't be imported"),
    ],
)
def test_what_can_not_be_called_is_a_sentence(store, how, sentence, capsys):
    assert main(["label", str(store), "x", how]) == 1
    assert sentence in capsys.readouterr().err
