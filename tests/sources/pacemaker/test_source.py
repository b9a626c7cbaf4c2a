import gzip
import itertools
import pickle
import pickletools
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import zstruct
from zstruct.errors import InputError
from zstruct.sources import PacemakerSource, expand
from zstruct.sources.content import MemoryContent


def built(tmp_path, path, **options):
    zstruct.build(path, tmp_path / "out.zarr", progress=False, overwrite=True, **options)
    return zstruct.Store(tmp_path / "out.zarr")


def frames():
    made = [molecule("H2O"), bulk("Cu", cubic=True), molecule("CH4")]
    for atoms in made:
        atoms.calc = SinglePointCalculator(atoms, energy=5.0)
    made[0].set_constraint(FixAtoms([0]))
    made[2].set_initial_magnetic_moments(np.arange(5.0))
    return made


def table(**more):
    atoms = frames()
    return pd.DataFrame(
        {
            "ase_atoms": atoms,
            "energy": [-1.5, 2.25, 0.1],
            "forces": [np.full((len(one), 3), k + 0.5) for k, one in enumerate(atoms)],
            "energy_corrected": [1.0, np.nan, 3.0],
            "name": ["a", "bé", "c"],
            "n": [1, 2, 3],
            "tags_of": [np.arange(len(one)) for one in atoms],
            **more,
        }
    )


@pytest.mark.parametrize(
    ("name", "protocol"),
    [
        pytest.param(name, protocol, marks=pytest.mark.long if (k + protocol) % 3 else ())
        for k, name in enumerate(["a.pckl.gzip", "a.pkl.gzip", "a.pckl.gz", "a.pckl"])
        for protocol in (2, 4, 5)
    ],
)
def test_data_frames_are_read_on_request(tmp_path, name, protocol):
    compression = None if name.endswith("pckl") else "gzip"
    table().to_pickle(tmp_path / name, protocol=protocol, compression=compression)
    (source,), _ = expand(str(tmp_path / name))
    assert isinstance(source, PacemakerSource)
    with pytest.raises(InputError, match=r"this is a pickle, .*allow_pickle=True"):
        built(tmp_path, tmp_path / name)
    report = zstruct.build(tmp_path / name, tmp_path / "out.zarr", allow_pickle=True, progress=False)
    store, made = zstruct.Store(tmp_path / "out.zarr"), frames()
    assert store.read("numbers").tolist() == [z for atoms in made for z in atoms.numbers]
    assert np.array_equal(store.read("positions"), np.concatenate([atoms.positions for atoms in made]))
    assert np.array_equal(store.read("cell"), [atoms.cell.array for atoms in made])
    assert np.array_equal(store.read("pbc"), [atoms.pbc for atoms in made])
    assert store.read("energy").tolist() == [-1.5, 2.25, 0.1]
    assert store.read("forces")[:, 0].tolist() == [0.5] * 3 + [1.5] * 4 + [2.5] * 5
    assert store.present("energy_corrected").tolist() == [True, False, True]
    assert store.categories("name") == ["a", "bé", "c"]
    assert store.read("n").tolist() == [1, 2, 3]
    assert store.read("tags_of").tolist() == [*range(3), *range(4), *range(5)]
    assert store.present("initial_magmoms").tolist() == [False, False, True]
    assert "calculators of ase_atoms are left out" in str(report)
    assert "constraints of ase_atoms are left out" in str(report)


def test_pandas_is_not_needed(tmp_path):
    table().to_pickle(tmp_path / "a.pckl.gzip", compression="gzip")
    code = (
        "import sys; from zstruct.sources import PacemakerSource\n"
        f"source = PacemakerSource({str(tmp_path / 'a.pckl.gzip')!r}, allow_pickle=True)\n"
        "blocks = [block for piece in source.scan() for block in source.read(piece)]\n"
        "print(len(blocks[0].frames), *(name in sys.modules for name in ('pandas', 'pyarrow', 'ase.atoms')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["3", "False", "False", "False"]


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_what_asks_for_more_is_refused_and_not_executed(tmp_path):
    frame = table(extra=[None, Bomb(tmp_path / "exploded"), None])
    frame.to_pickle(tmp_path / "a.pckl.gzip", compression="gzip")
    with pytest.raises(InputError, match=r"the pickle can't be read: it asks for \w+\.open"):
        built(tmp_path, tmp_path / "a.pckl.gzip", allow_pickle=True)
    assert not (tmp_path / "exploded").exists()


def test_frames_of_something_else(tmp_path):
    for value, reason in [
        (pd.DataFrame({"a": [1]}), "the data frame has no column 'ase_atoms'; it has a"),
        ([1, 2], "the pickle holds no data frame of pandas"),
        (
            table(ase_atoms=[1, 2, 3]),
            "frame 0: ase_atoms is no structure: there is a int64 where Atoms should be",
        ),
    ]:
        (tmp_path / "a.pckl.gzip").write_bytes(gzip.compress(pickle.dumps(value)))
        with pytest.raises(InputError, match=reason):
            built(tmp_path, tmp_path / "a.pckl.gzip", allow_pickle=True)


def test_a_structure_without_forces_lacks_them(tmp_path):
    frame = table()
    frame.at[1, "forces"] = None
    frame.to_pickle(tmp_path / "a.pckl.gzip", compression="gzip")
    store = built(tmp_path, tmp_path / "a.pckl.gzip", allow_pickle=True)
    assert store.present("forces").tolist() == [True, False, True]


@settings(
    max_examples=40,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(cut=st.floats(0, 1, exclude_max=True), packed=st.booleans())
def test_cut_files_are_a_sentence(tmp_path, cut, packed):
    data = pickle.dumps(table())
    data = gzip.compress(data) if packed else data
    (tmp_path / "a.pckl").write_bytes(data[: int(cut * len(data))])
    with pytest.raises(InputError, match=r"a\.pckl"):
        built(tmp_path, tmp_path / "a.pckl", allow_pickle=True)


def _opcodes(code):
    places = [place for _, _, place in pickletools.genops(code)]
    return [code[start:stop] for start, stop in itertools.pairwise([*places, len(code)])]


_CODES = [_opcodes(pickle.dumps(table(), protocol)) for protocol in (2, 4, 5)]


@settings(max_examples=80, phases=[Phase.explicit, Phase.generate])
@given(st.randoms(use_true_random=False), st.sampled_from(_CODES))
def test_whatever_a_pickle_says_is_read_or_a_sentence(chance, opcodes):
    """Opcodes are left out, put elsewhere, done again, and other ones with the same arguments."""
    code = list(opcodes)
    for _ in range(chance.randint(1, 5)):
        k = chance.randrange(len(code))
        code[k] = chance.choice(
            [
                b"",
                code[k] * 9,
                chance.choice(code),
                code[k] + chance.choice(code),
                bytes([chance.randrange(256)]),
            ]
        )
    source = PacemakerSource(MemoryContent("a.pckl", "a.pckl", b"".join(code)), allow_pickle=True)
    try:
        for raw in source.read(source.scan()[0]):
            assert len(raw.n_atoms) + len(raw.bad) <= 1000
    except InputError as error:
        assert str(error).startswith("a.pckl: ")  # noqa: PT017
        assert len(str(error)) < 500  # noqa: PT017
