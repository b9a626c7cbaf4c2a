"""From a store to a file and back, in every format: exact, but for what the limits of the format say.

The limits say what a report has to name, and what may be different; everything else has to be the same, to
the last bit, and nothing else may be named.
"""

from dataclasses import replace

import ase.db
import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import zstruct
from tests.exporters.round_trips import DATA
from tests.strategies import random_atoms, rows
from zstruct.errors import InputError
from zstruct.exporters import Exporter
from zstruct.exporters.blocks import Block
from zstruct.exporters.limits import Entry, Limits, StructureLimit, Tally
from zstruct.exporters.registry import FORMATS, exporter_of
from zstruct.schema import ATOM, GEOMETRY, PROVENANCE

# The name of a file of each format that is read back, and what its reader is told.
FILES = {
    "xyz": ("a.xyz", {}),
    "extxyz": ("a.extxyz", {}),
    "xsf": ("folder", {}),
    "traj": ("a.traj", {}),
    "ase-db": ("a.db", {}),
    "aselmdb": ("a.aselmdb", {}),
    "packed-memmap": ("folder", {"units": "ase"}),
    "deepmd-npy": ("folder", {}),
    "runner": ("input.data", {}),
    "mtp-cfg": ("a.cfg", {}),
    "npz": ("a.npz", {}),
    "npz-ragged": ("a.npz", {}),
    "hdf5": ("a.h5", {}),
    "hdf5-flat": ("a.h5", {}),
    "mace-hdf5": ("a.h5", {}),
    "parquet": ("a.parquet", {}),
}

# What these share with others is most of what they are: with xyz, ase-db, npz and hdf5.
ALIKE = ["extxyz", "traj", "aselmdb", "npz-ragged", "hdf5-flat", "mace-hdf5"]
OTHERS = [name for name in FILES if name not in ALIKE]

SHARED = ["3bpa_train_300K", "carbon_reduced_100", "qm7x_reduced_100"]


class Seen(Exporter):
    """Keeps what an exporter is given."""

    def begin(self, target, contents):
        target.touch()
        self.contents, self.blocks = contents, []

    def write(self, block):
        self.blocks.append(block)

    def end(self):
        pass


def seen(store, folder):
    """Return the contents and the one block that exporters of a small store are given."""
    exporter = Seen()
    zstruct.export(store, folder / "seen", exporter, progress=False, overwrite=True)
    (block,) = exporter.blocks
    return exporter.contents, block


def test_all_formats_that_are_read_are_tried():
    names = {row.name for row in FORMATS}
    assert names == {*FILES}, "say how the file is built again, or why not"


class Values:
    """What structures have, by field: values that can be compared, or None.

    Parameters
    ----------
    store
        The store.
    """

    def __init__(self, store):
        self.store = store = zstruct.Store(store)
        offsets = store.read("offsets")
        self.fields = dict(store.fields)
        self.table = {}
        for name, field in self.fields.items():
            values, there = store.read(name), store.present(name)
            if field.kind == "category":
                values = np.array([*store.categories(name), None], dtype=object)[values]
            cut = (lambda i: slice(offsets[i], offsets[i + 1])) if field.level == ATOM else (lambda i: i)
            self.table[name] = [
                np.asarray(values[cut(i)]) if there[i] else None for i in range(store.n_structures)
            ]
        self.n = store.n_structures


def same(a, b):
    if a is None or b is None:
        return a is b
    if a.dtype.kind == "f":
        return a.dtype == b.dtype and a.shape == b.shape and (a + 0.0).tobytes() == (b + 0.0).tobytes()
    return a.dtype.kind == b.dtype.kind and a.tolist() == b.tolist()


def like(aspect, a, b):
    """Return whether a value that has lost something is what it should be."""
    if aspect in ("unit", "name"):
        return same(a, b)
    if aspect == "spacing":
        words = [line.strip() for line in a.item().split("\n") if line.strip()] if a is not None else []
        return same(np.array("\n".join(words)), b) if words else b is None
    if aspect == "defaults":
        return same(None if a is not None and a.item() in ("", "None", "Default") else a, b)
    if a is None or b is None:
        return a is b
    if aspect == "dtype":
        return same(a.astype(b.dtype), b)
    if aspect == "shape":
        return same(a.reshape(-1), b.reshape(-1))
    if aspect == "precision":
        return same(a.astype(np.float32), b.astype(np.float32))
    assert aspect == "last digit", f"say how values that lose their {aspect} compare"
    with np.errstate(over="ignore", invalid="ignore"):
        return np.allclose(a, b, rtol=1e-12, atol=1e-300)


def losses(limits, contents):
    """Return the limits that hit each field: the one that leaves it out, or those that leave something."""
    found = {}
    for name, field in contents.fields.items():
        entry = Entry(field, contents)
        hit = [limit for limit in limits.fields if limit.reason(entry)]
        out = [limit for limit in hit if not limit.aspect]
        found[name] = out[:1] or hit
    return found


def altered(limits, contents, block):
    """Return which structures have another value of a field, or none, by field."""
    found = {name: np.zeros(len(block), bool) for name in contents.fields}
    for limit in limits.structures:
        for name in set(limit.changes) & set(found):
            found[name] |= limit.hits(block)
    return found


def names_of_losses(limits, contents, block):
    """Return what a report names, neither more nor less."""
    named = {limit.key(name) for name, hit in losses(limits, contents).items() for limit in hit}
    named |= {limit.what for limit in limits.structures if limit.hits(block).any()}
    return named | dict(limits.always).keys()


def is_refused(limits, contents, block):
    refused = [limit.hits(block).any() for limit in limits.structures if limit.refused]
    return any(refused) or any(not block.has(name).all() for name in limits.needed)


def assert_came_back(before, after, limits, contents, block):
    """What came back is what went out, but for what the limits say."""
    changed = altered(limits, contents, block)
    wanted = {*PROVENANCE, *GEOMETRY, "formula"}
    for name, hit in losses(limits, contents).items():
        aspects = [limit.aspect for limit in hit]
        if "" in aspects:
            continue
        back = name if "name" not in aspects else f"input_{contents.originals.get(name, name)}"
        wanted.add(back)
        if back in after.fields and "unit" not in aspects:
            assert after.fields[back].unit == before.fields[name].unit
        for i, a in enumerate(before.table[name]):
            b = after.table[back][i] if back in after.table else None
            fine = all(like(aspect, a, b) for aspect in aspects) if aspects else same(a, b)
            assert changed[name][i] or fine, (name, i, a, b)
    assert {*after.fields} <= wanted | {name for name in changed if changed[name].any()}


def regrouped(before, after):
    """Put structures, and the atoms of each, into the order that they have in systems of DeePMD-kit."""
    for values in (before, after):
        for i in range(values.n):
            order = np.argsort(values.table["numbers"][i], kind="stable")
            for name, field in values.fields.items():
                if field.level == ATOM and values.table[name][i] is not None:
                    values.table[name][i] = values.table[name][i][order]
    keys = ("numbers", "positions", "energy", "forces", "energies")

    def key(values, i):
        found = [values.table[name][i] if name in values.table else None for name in keys]
        return repr([None if value is None else (value + 0).tolist() for value in found])

    places = {}
    for i in range(after.n):
        places.setdefault(key(after, i), []).append(i)
    order = [places[key(before, i)].pop(0) for i in range(before.n)]
    after.table = {name: [column[i] for i in order] for name, column in after.table.items()}


def there_and_back(store, folder, format, **build):
    """Export a store, build another of that, and compare the two."""
    limits = exporter_of("", format).limits
    contents, block = seen(store, folder)
    name, options = FILES[format]
    target = folder / format / name
    target.parent.mkdir(exist_ok=True)
    if is_refused(limits, contents, block):
        with pytest.raises(InputError, match=r"structure \d+ |the format has \w+ of every structure"):
            zstruct.export(store, target, format, progress=False, overwrite=True)
        return None
    report = zstruct.export(store, target, format, progress=False, overwrite=True)
    assert set(report.lost) == names_of_losses(limits, contents, block)
    assert set(report.fields) == {
        name for name, hit in losses(limits, contents).items() if not any(not x.aspect for x in hit)
    } - ({"cell", "pbc"} if not contents.has_cells else set())
    back = folder / "back.zarr"
    zstruct.build(target, back, progress=False, overwrite=True, **options, **build)
    before, after = Values(store), Values(back)
    assert before.n == after.n
    if "order" in report.lost:
        regrouped(before, after)
    assert_came_back(before, after, limits, contents, block)
    return report


words = st.sampled_from(
    ["", "a", "a b", "None", "Default", "1.5", "7", " x ", "two\nlines", "a\tb", "\0", "a\0", "a\udcff"]
)


@st.composite
def random_frames(draw):
    """Structures, with what formats stumble over; or with what all of them ask for."""
    whole = draw(st.booleans())
    frames = draw(st.lists(random_atoms(), min_size=1, max_size=5))
    for atoms in frames:
        n = len(atoms)
        atoms.info.pop("Config_Type2", None)  # what differs in case only gets another number
        if whole:
            results = {} if atoms.calc is None else dict(atoms.calc.results)
            results.setdefault("energy", draw(st.floats(-1e9, 1e9)))
            results.setdefault("forces", draw(rows(n)))
            atoms.calc = SinglePointCalculator(atoms, **results)
        if draw(st.booleans()):
            atoms.arrays["site"] = np.array(draw(st.lists(words, min_size=n, max_size=n)))
        for name in ("comment", "config_type"):
            if draw(st.booleans()):
                atoms.info[name] = draw(words)
        if draw(st.booleans()):
            atoms.info["config_weight"] = draw(st.sampled_from([1.0, 0.5]))
            atoms.info["config_energy_weight"] = draw(st.sampled_from([1.0, 2.0]))
        if draw(st.booleans()):
            atoms.arrays["charges"] = np.zeros(n)
        odd = st.sampled_from([np.nan, np.inf, -np.inf, -0.0, 5e-324, 1.7e308])
        if draw(st.booleans()):
            atoms.info["limit"] = draw(odd)
            atoms.info["limits"] = np.array(draw(st.lists(odd, min_size=2, max_size=2)))
        if draw(st.booleans()):
            atoms.arrays["noise"] = np.array(draw(st.lists(odd, min_size=n, max_size=n)))
    return frames


@pytest.mark.parametrize(
    "formats",
    [
        *(OTHERS[k::3] for k in range(3)),
        *(pytest.param(ALIKE[k::3], marks=pytest.mark.long) for k in range(3)),
    ],
    ids=" ".join,
)
@settings(
    max_examples=4,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking a build takes minutes
    suppress_health_check=list(HealthCheck),
)
@given(frames=random_frames())
def test_random_stores_come_back(tmp_path, formats, frames):
    try:
        zstruct.build(frames, tmp_path / "a.zarr", progress=False, overwrite=True)
    except InputError:  # random structures may contradict one another
        return
    for format in formats:
        there_and_back(tmp_path / "a.zarr", tmp_path, format)


@pytest.fixture(scope="module")
def of_units(tmp_path_factory):
    """A store whose file says units of its own."""
    folder = tmp_path_factory.mktemp("units")
    atoms = molecule("H2O")
    atoms.calc = SinglePointCalculator(atoms, energy=1.0, forces=np.ones((3, 3)))
    with ase.db.connect(folder / "a.db") as database:
        database.metadata = {"units": {"gap": "Hartree", "charge spread": "e nm"}}
        database.write(atoms, data={"gap": 0.5, "charge spread": np.array([1.0, 2.0, 3.0])})
    zstruct.build(folder / "a.db", folder / "a.zarr", progress=False)
    assert zstruct.Store(folder / "a.zarr").fields["gap"].unit == "Hartree"
    return folder / "a.zarr"


@pytest.mark.parametrize("format", FILES)
def test_units_of_ones_own_come_back(tmp_path, of_units, format):
    report = there_and_back(of_units, tmp_path, format)
    assert {"gap", "the unit of gap"} & set(report.lost) or format.startswith(
        ("npz", "hdf5", "ase", "parquet")
    )


@pytest.fixture(scope="module")
def of_bytes(tmp_path_factory):
    """A store of texts that are no texts, and of what is no number."""
    path = tmp_path_factory.mktemp("bytes") / "a.zarr"
    atoms = molecule("H2O")
    atoms.calc = SinglePointCalculator(atoms, energy=1.0, forces=np.ones((3, 3)))
    atoms.info = {"config_type": "caf\udce9", "comment": "\udce9 a", "note": "\udcff", "na\udcefve": 1.5}
    atoms.info |= {"limit": np.nan, "least": -np.inf}
    atoms.arrays["site"] = np.array(["a\udce9", "b", "c"])
    zstruct.build([atoms], path, progress=False)
    return path


@pytest.mark.parametrize("format", FILES)
def test_bytes_that_are_no_text_and_what_is_no_number_come_back_or_are_said(tmp_path, of_bytes, format):
    assert there_and_back(of_bytes, tmp_path, format) is not None


@pytest.fixture(scope="module")
def in_single_precision(tmp_path_factory):
    """A store of 32-bit numbers."""
    path = tmp_path_factory.mktemp("single") / "a.zarr"
    zstruct.build(f"{DATA}/sample/surfaces.xyz@:6", path, encoding="float32", progress=False)
    return path


@pytest.mark.parametrize("format", [*OTHERS, *(pytest.param(name, marks=pytest.mark.long) for name in ALIKE)])
def test_single_precision_comes_back(tmp_path, in_single_precision, format):
    assert there_and_back(in_single_precision, tmp_path, format, encoding="float32") is not None


@pytest.mark.parametrize(
    ("k", "name"),
    [
        pytest.param(k, name, marks=pytest.mark.long if "carbon" in name else ())
        for k, name in enumerate(SHARED)
    ],
)
def test_shared_data_come_back(shared_data, tmp_path, k, name):
    """Each of them in a third of the formats."""
    zstruct.build(f"{shared_data / name}.xyz@:6", tmp_path / "a.zarr", encoding="decimal", progress=False)
    for format in list(FILES)[k::3]:
        whole = there_and_back(tmp_path / "a.zarr", tmp_path, format) is not None
        assert whole or name.startswith("qm7x"), format  # which has no energies


def test_the_words_of_a_table():
    mtp = exporter_of("", "mtp-cfg").limits
    assert mtp.words()[-1].startswith("refused: periodic structures whose cell has no volume, ")
    packed = exporter_of("", "packed-memmap").limits
    assert "units" in packed.words()
    assert packed.words()[-1].startswith("refused: structures without energy or forces, ")
    for row in FORMATS:
        assert all(words and ";" not in words for words in exporter_of("", row.name).limits.words()), row.name


def test_structures_are_counted_over_all_blocks():
    odd = StructureLimit("odd ones", "made even", lambda block: block.n_atoms % 2 == 1)
    limits = Limits(structures=(odd,))
    lost = {}
    blocks = [Block(np.array([1, 2, 3]), {}, first=0), Block(np.array([4, 5]), {}, first=3)]
    assert list(Tally(limits, lost).checked(blocks)) == blocks
    assert lost == {"odd ones": "made even, 3 structures"}
    limits = Limits(structures=(replace(odd, why="is odd: select others", refused=True),))
    with pytest.raises(InputError, match="structure 4 is odd: select others"):
        list(Tally(limits, {}).checked(blocks[1:]))
