"""MLIP's .cfg: read back number for number; the order and the sign that MLIP has."""

import numpy as np
import pytest

import zstruct
from tests.exporters.frames import labelled
from tests.exporters.round_trips import DATA, there_and_back
from zstruct.errors import InputError

WITHOUT = ("source", "stress")


def built(tmp_path, frames, **options):
    return zstruct.build(frames, tmp_path / "a.zarr", progress=False, overwrite=True, **options).path


def test_the_text(tmp_path):
    (atoms,) = labelled(1, 2, periodic=True)
    atoms.info.update(EFS_by="VASP", mindist=2.5, step=3, note="7", good=True)
    report = zstruct.export(built(tmp_path, [atoms]), tmp_path / "a.cfg", progress=False)
    words = (tmp_path / "a.cfg").read_text().split()
    n = len(atoms)
    assert words[:4] == ["BEGIN_CFG", "Size", str(n), "Supercell"]
    assert list(map(float, words[4:13])) == atoms.cell.array.ravel().tolist()
    at = words.index("AtomData:")
    titles = "id type cartes_x cartes_y cartes_z fx fy fz charge".split()
    assert words[at + 1 : at + 10] == titles
    rows = np.array(words[at + 10 : at + 10 + 9 * n], float).reshape(n, 9)
    assert rows[:, 0].tolist() == list(range(1, n + 1))
    kinds = sorted(set(atoms.numbers.tolist()))
    assert rows[:, 1].tolist() == [kinds.index(z) for z in atoms.numbers]
    assert rows[:, 2:5].tolist() == atoms.positions.tolist()
    assert rows[:, 5:8].tolist() == atoms.get_forces().tolist()
    at = words.index("PlusStress:")
    assert words[at + 1 : at + 7] == ["xx", "yy", "zz", "yz", "xz", "xy"]
    plus = np.array(words[at + 7 : at + 13], float)
    assert plus == pytest.approx(-atoms.get_stress() * atoms.get_volume())
    features = {words[i + 1]: words[i + 2] for i, word in enumerate(words) if word == "Feature"}
    assert features["EFS_by"] == "VASP"
    assert (features["mindist"], features["step"]) == ("2.5", "3")
    assert set(report.lost) == {"note", "good", "source", "frame", "the last digit of stress"}
    assert report.lost["note"].startswith("some of its texts would be read as numbers")


def test_a_text_that_is_none_is_left_out(tmp_path):
    (atoms,) = labelled(1)
    atoms.info["note"] = "a\0b"
    report = zstruct.export(built(tmp_path, [atoms]), tmp_path / "a.cfg", progress=False)
    assert "no single line of Unicode" in report.lost["note"]
    assert zstruct.build(tmp_path / "a.cfg", tmp_path / "b.zarr", progress=False).n_structures == 1


def test_parts_have_the_same_types(tmp_path):
    store = built(tmp_path, labelled(12))
    for k in range(0, 12, 4):
        path = tmp_path / f"{k}.cfg"
        zstruct.export(store, path, progress=False, select=[k])
        assert "type_map H C O Si\n" in path.read_text()
        report = zstruct.build(path, tmp_path / "one.zarr", progress=False, overwrite=True)
        numbers = zstruct.Store(report.path).read("numbers")
        assert numbers.tolist() == labelled(12)[k].numbers.tolist()


def test_a_type_that_the_map_does_not_name(tmp_path):
    zstruct.export(built(tmp_path, labelled(1)), tmp_path / "a.cfg", progress=False)
    text = (tmp_path / "a.cfg").read_text()
    names = text.split("type_map ")[1].split("\n")[0]
    (tmp_path / "a.cfg").write_text(text.replace(f"type_map {names}", f"type_map {names.split()[0]}"))
    if len(names.split()) > 1:
        with pytest.raises(InputError, match="there are types that the feature type_map does not name"):
            zstruct.build(tmp_path / "a.cfg", tmp_path / "b.zarr", progress=False)


def test_a_cell_without_a_volume(tmp_path):
    (atoms,) = labelled(1, periodic=True)
    atoms.set_cell([[1, 0, 0], [0, 1, 0], [0, 0, 0]])
    atoms.calc, atoms.pbc = None, [True, True, False]
    store = built(tmp_path, [atoms])
    with pytest.raises(InputError, match="structure 0 is periodic, and its cell has no volume"):
        zstruct.export(store, tmp_path / "a.cfg", progress=False)


@pytest.mark.parametrize("name", ["alloys", "metals", "molecules"])
def test_the_sample_there_and_back(tmp_path, name):
    store = built(tmp_path, DATA / "sample" / f"{name}.xyz")
    lost = {"tags", "stress", "source"}
    report = there_and_back(store, tmp_path, tmp_path / "a.cfg", without=tuple(lost))
    assert set(report.lost) <= {"tags", "source", "frame", "the last digit of stress"}
