"""Groups that are read without HDF5's library are what it reads, and what is left to it is left to it."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import zstruct
from tests.sources.hdf5.test_source import mace_file, per_structure, spice
from zstruct.jit.kernel import compiled_always
from zstruct.sources import HDF5Source
from zstruct.sources.content import FileContent, MemoryContent
from zstruct.sources.hdf5 import direct, reading
from zstruct.sources.hdf5.direct import addresses_of, are_groups, described
from zstruct.sources.hdf5.pages import plain_file

h5py = pytest.importorskip("h5py")
FAST = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
VERSIONS = [None, "latest", ("earliest", "v108"), ("v110", "v110")]
# The oldest and the newest way to write them, and at length what is between.
SWEPT = [VERSIONS[0], VERSIONS[1], *(pytest.param(one, marks=pytest.mark.long) for one in VERSIONS[2:])]


@pytest.fixture(autouse=True)
def _compiled():
    with compiled_always():
        yield


def blocks_of(content):
    source = HDF5Source(content)
    return [raw for piece in source.scan() for raw in source.read(piece)]


def by_library(content):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "plain_file", lambda content, expected: None)
        return blocks_of(content)


def column(one):
    values = one.values.tolist()
    texts = values if one.texts is None else [one.texts[code] for code in values]
    present = None if one.present is None else one.present.tolist()
    return present, one.values.dtype.str, texts, one.fault, one.unit


def told(blocks):
    """Return all that blocks say."""
    return [
        (
            raw.frames.tolist(),
            raw.n_atoms.tolist(),
            {name: [column(one) for one in columns] for name, columns in raw.atom.items()},
            {name: [column(one) for one in columns] for name, columns in raw.structure.items()},
            None if raw.types is None else column(raw.types),
            [(one.frame, one.reason) for one in raw.bad],
            {sentence: mask.tolist() for sentence, mask in raw.remarks.items()},
        )
        for raw in blocks
    ]


def outcome(read, path):
    """Return all that is read of a file, or the sentence that refuses it."""
    try:
        return repr(told(read(path)))
    except zstruct.InputError as error:
        return f"refused: {error}"


def which(path, group="", deep=False):
    """Return for each group in a group of a file whether it is read without the library."""
    pages = plain_file(FileContent(str(path)), 0)
    with h5py.File(path) as file:
        addresses = addresses_of(file[group] if group else file, pages)
    looked = described(pages, np.array(list(addresses.values())), deep)
    return dict(zip(addresses, (looked.which >= 0).tolist(), strict=True))


@pytest.mark.parametrize("version", SWEPT)
def test_usual_files_need_no_library(tmp_path, version):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(h5py, "File", lambda path, mode, real=h5py.File: real(path, mode, libver=version))
        spice(tmp_path / "a.h5")
        per_structure(tmp_path / "b.h5", 30, note=lambda i, atoms: f"number {i}", ok=lambda i, atoms: i > 3)
    assert all(which(tmp_path / "a.h5").values())
    assert all(which(tmp_path / "b.h5", "structures").values())
    for name in ("a.h5", "b.h5"):
        found = blocks_of(tmp_path / name)
        assert repr(told(found)) == repr(told(by_library(tmp_path / name)))
        memory = MemoryContent(str(tmp_path / name), name, (tmp_path / name).read_bytes())
        assert repr(told(blocks_of(memory))) == repr(told(found))


def test_what_mace_and_zstruct_write(tmp_path):
    mace_file(tmp_path / "mace.h5")
    assert all(which(tmp_path / "mace.h5", "config_batch_0", deep=True).values())
    assert repr(told(blocks_of(tmp_path / "mace.h5"))) == repr(told(by_library(tmp_path / "mace.h5")))
    zstruct.build(tmp_path / "mace.h5", tmp_path / "a.zarr", progress=False)
    zstruct.export(tmp_path / "a.zarr", tmp_path / "ours.h5", "hdf5", progress=False)
    assert all(which(tmp_path / "ours.h5", "structures").values())
    assert repr(told(blocks_of(tmp_path / "ours.h5"))) == repr(told(by_library(tmp_path / "ours.h5")))


# Values of a dataset: of the dtypes that files have, and of some that they hardly have.
DTYPES = [
    "<f8",
    "<f4",
    "<f2",
    ">f8",
    "<i8",
    "<i4",
    "i1",
    "u1",
    "<u8",
    ">i4",
    "?",
    "S3",
    "O",
    "c16",
    "enum",
    "V4",
]


def values_of(draw, shape):
    dtype = draw(st.sampled_from(DTYPES))
    whole = np.arange(int(np.prod(shape))).reshape(shape) % 7 + 1
    if dtype == "O":
        return np.array([f"é{k}" for k in whole.reshape(-1)], dtype=object).reshape(
            shape
        ), h5py.string_dtype()
    if dtype == "S3":
        return whole.astype("S3"), None
    if dtype == "enum":
        return whole.astype("i1"), h5py.enum_dtype({"a": 1, "b": 2}, basetype="i1")
    return whole.astype(dtype), None


@st.composite
def group_of(draw):
    """What fills a group: datasets of all kinds, and what else there may be."""
    atoms = draw(st.integers(1, 4))
    several = draw(st.sampled_from([None, None, None, 2]))
    lead = () if several is None else (several,)
    made = [("positions", np.arange(float(np.prod(lead) * atoms * 3)).reshape(*lead, atoms, 3), None, {})]
    numbers = np.arange(atoms) % 8 + 1
    made.append(
        ("species", draw(st.sampled_from([numbers, np.array([b"H", b"C", b"O", b"N"])[:atoms]])), None, {})
    )
    shapes = [(), (1,), (3,), (atoms,), (atoms, 3), (0,), (2, 2, 2, 2, 2), (*lead, atoms), lead, (*lead, 3)]
    for name in draw(st.lists(st.sampled_from(["energy", "forces", "q", "é", "note", "x y"]), unique=True)):
        values, dtype = values_of(draw, draw(st.sampled_from(shapes)))
        options = draw(
            st.sampled_from([{}, {}, {}, {"compression": "gzip"}, {"chunks": True}, {"fletcher32": True}])
        )
        filtered = values.size and values.ndim and (dtype is None or "fletcher32" not in options)
        options = options if filtered else {}
        made.append((name, values, dtype, options))
    return made, draw(
        st.sampled_from([None] * 6 + ["attribute", "group", "link", "outside", "nothing", "unit"])
    )


@FAST
@given(groups=st.lists(group_of(), min_size=1, max_size=5), version=st.sampled_from(VERSIONS), data=st.data())
def test_whatever_is_in_groups_is_what_the_library_reads(tmp_path, groups, version, data):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=version, track_order=data.draw(st.booleans())) as file:
        for k, (sets, more) in enumerate(groups):
            group = file.create_group(f"structures/{k}")
            for name, values, dtype, options in sets:
                made = group.create_dataset(name, data=values, dtype=dtype, **options)
                unit = data.draw(st.sampled_from([None, None, "eV", np.bytes_(b"bohr"), "", 3, ["a", "b"]]))
                if unit is not None:
                    made.attrs[data.draw(st.sampled_from(["units", "unit", "comment"]))] = unit
            if more == "attribute":
                group.attrs["charge"] = 1.5
            elif more == "group":
                group.create_group("more")["x"] = 1
            elif more == "link":
                group["other"] = h5py.SoftLink("positions")
            elif more == "outside":
                group["other"] = h5py.ExternalLink("nowhere.h5", "/x")
            elif more == "nothing":
                group["empty"] = h5py.Empty("f8")
            elif more == "unit":
                group["positions"].attrs["units"] = "nm"
                group["positions"].attrs["unit"] = "bohr"
    assert outcome(blocks_of, path) == outcome(by_library, path)


def test_what_is_no_group_beside_groups_is_left_out(tmp_path):
    spice(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["comment"] = "text"
        file["zzz"] = h5py.SoftLink("/CH4")
    pages = plain_file(FileContent(str(tmp_path / "a.h5")), 0)
    with h5py.File(tmp_path / "a.h5") as file:
        addresses = addresses_of(file, pages)
    found = dict(zip(addresses, are_groups(pages, np.array(list(addresses.values()))).tolist(), strict=True))
    assert found == {"CH4": 1, "H2O10": 1, "H2O2": 1, "comment": 0, "zzz": -1}
    assert sum(len(raw.frames) for raw in blocks_of(tmp_path / "a.h5")) == 8  # one of them twice


@pytest.mark.parametrize("version", SWEPT)
def test_links_of_large_groups_are_those_of_the_library(tmp_path, version):
    rng = np.random.default_rng(0)
    for n in (0, 1, 9, 700):
        with h5py.File(tmp_path / "a.h5", "w", libver=version) as file:
            group = file.create_group("all")
            for k in rng.permutation(n).tolist():
                group[f"{'yx'[k % 50 > 3]}{k}" if k % 7 else str(k)] = k
            for k in range(0, n, 3):
                del group[f"{'yx'[k % 50 > 3]}{k}" if k % 7 else str(k)]
            group["elsewhere"] = h5py.SoftLink("/all/x1")
            group.create_group("inner")
        pages = plain_file(FileContent(str(tmp_path / "a.h5")), 0)
        with h5py.File(tmp_path / "a.h5") as file, pytest.MonkeyPatch.context() as patch:
            found = addresses_of(file["all"], pages)
            ours = direct._found_links(pages, h5py.h5o.get_info(file["all"].id).addr)
            patch.setattr(direct, "_found_links", lambda pages, group: None)
            assert list(found.items()) == list(addresses_of(file["all"], pages).items())
        assert ours == (found if version in VERSIONS[::2] else None)


def test_groups_with_one_sum_of_their_rows_are_told_apart():
    a, b = (np.random.default_rng(0).integers(0, 2**63, 2) | 1).tolist()
    rows = np.array([[b, 0], [0, a], [5, 7], [b, 0]])
    spans = np.array([[2, 3], [0, 1], [-1, -1], [1, 2], [3, 4], [2, 4]])
    which, first = direct._told_apart(rows, spans)
    assert which.tolist() == [0, 1, -1, 2, 1, 3]
    assert first.tolist() == [0, 1, 3, 5]


@pytest.mark.parametrize("version", VERSIONS[::3])
def test_flipped_bits_are_what_the_library_says(tmp_path, version, long_run):
    """What has checksums is never read otherwise; where there are none, both read the same or refuse."""
    with h5py.File(tmp_path / "a.h5", "w", libver=version) as file:
        for k in range(4):
            file[f"{k}/positions"], file[f"{k}/species"] = np.full((2, 3), k + 0.5), np.array([1, 8])
            file[f"{k}/note"] = f"text {k}"
    whole, rng = (tmp_path / "a.h5").read_bytes(), np.random.default_rng(0)
    truth = repr(told(blocks_of(tmp_path / "a.h5")))
    for _ in range(4000 if long_run else 20):
        data = bytearray(whole)
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        (tmp_path / "b.h5").write_bytes(data)
        library, ours = (outcome(read, tmp_path / "b.h5") for read in (by_library, blocks_of))
        assert ours in (library, truth) or library.startswith("refused"), bytes(data)


def test_a_file_that_becomes_shorter_is_a_sentence(tmp_path):
    per_structure(tmp_path / "a.h5", 200)
    source = HDF5Source(tmp_path / "a.h5")
    (piece,) = source.scan()
    data = (tmp_path / "a.h5").read_bytes()
    with open(tmp_path / "a.h5", "r+b") as file:
        file.truncate(len(data) // 2)
    with pytest.raises(zstruct.InputError, match=r"a\.h5"):
        list(source.read(piece))
