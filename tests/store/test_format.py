"""What docs/format.md says of a store holds, as a stranger with plain zarr sees it; old stores are read."""

import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
import xarray as xr
import zarr
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st

import zstruct
from tests.data.make_store_0_1 import structures
from tests.strategies import assert_same
from zstruct import CorruptStoreError
from zstruct.building import finalize
from zstruct.compositions import add_formulas
from zstruct.elements import SYMBOLS, formula
from zstruct.ragged import Packed
from zstruct.store.files import shard_path
from zstruct.store.metadata import group_document, read_documents, write_document
from zstruct.store.spec import formulas_specs
from zstruct.store.store import Store
from zstruct.store.zarr_check import check_readable


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """The store that version 0.1 made."""
    folder = tmp_path_factory.mktemp("old")
    with zipfile.ZipFile(Path(__file__).parents[1] / "data" / "store-0.1.zip") as archive:
        archive.extractall(folder)
    return folder / "store-0.1.zarr"


@pytest.fixture(scope="module")
def new(tmp_path_factory):
    """The same structures in a store of today."""
    path = tmp_path_factory.mktemp("new") / "x.zarr"
    zstruct.build(structures(), path, progress=False)
    return path


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@given(attrs=st.dictionaries(st.text(), _JSON))
def test_documents_are_written_as_json_indents_them(tmp_path_factory, attrs):
    path = tmp_path_factory.mktemp("document")
    document = group_document(attrs)
    write_document(path, document, durable=False)
    assert (path / "zarr.json").read_text() == json.dumps(json.loads(json.dumps(document)), indent=2)


def test_a_store_of_version_0_1_is_read_and_verified(old):
    opened = Store(old)
    assert opened.attrs["encoding-version"] == "1.0"
    zstruct.verify(old)
    ds = zstruct.open(old)
    for k, (before, after) in enumerate(zip(structures(), ds.zs.to_ase(), strict=True)):
        assert_same(before, after)
        assert_same(before, zstruct.StructureReader(old).get_atoms(k))
        assert ds.formula.values[k] == formula(before.numbers)
    has = [k % 2 == 1 for k in range(12)]
    for name in ("charge_state", "converged", "note", "site"):
        assert opened.present(name).tolist() == ds.zs.has(name).values.tolist() == has
    assert opened.checksums("positions") is opened.shard_digests("positions") is None


def test_a_store_of_version_0_1_trains(old):
    torch = pytest.importorskip("torch")
    data = zstruct.ZarrStructureDataset(
        old, split="train", features="cheb", neighbors="near", references="default"
    )
    (batch,) = data.loader(batch_size=len(data), shuffle=False)
    frames = [structures()[k] for k in data.structures]
    np.testing.assert_array_equal(batch["numbers"], np.concatenate([a.numbers for a in frames]))
    assert batch["has_charge_state"].tolist() == ["charge_state" in a.info for a in frames]
    assert torch.isfinite(batch["features"]).all()
    assert batch["edge_index"].shape[1] > 0
    assert zstruct.open_statistics(old, "all").structures == 12


def test_groups_are_added_to_a_store_of_version_0_1(old, tmp_path):
    shutil.copytree(old, tmp_path / "x.zarr")
    zstruct.split(tmp_path / "x.zarr", (0.5, 0.5), name="halves")
    zstruct.featurize(tmp_path / "x.zarr", zstruct.features.NeighborList(3.0), name="nearer", progress=False)
    zstruct.verify(tmp_path / "x.zarr")
    assert Store(tmp_path / "x.zarr").group_names("neighbors") == ["near", "nearer"]


def test_integers_and_booleans_keep_their_dtype_beside_who_has_them(new):
    plain = xr.open_zarr(new)
    for name, dtype in (("charge_state", "int64"), ("converged", "bool"), ("site", "int64")):
        assert plain[name].dtype == dtype
        mask = plain[plain[name].attrs["presence"]]
        assert mask.name == plain[name].attrs["ancillary_variables"] == f"has_{name}"
        assert mask.attrs["presence_of"] == name
        assert mask.values.tolist() == [k % 2 == 1 for k in range(12)]
        rows = mask.values if plain[name].dims[0] == "structure" else np.repeat(mask.values, plain.n_atoms)
        assert not plain[name].values[~rows].any()
    assert plain.charge_state.attrs["actual_range"] == [-5, 5]
    assert plain.charge_state.values[1::2].tolist() == [k - 6 for k in range(1, 12, 2)]


def test_ids_beyond_the_digits_of_floats_are_exact(tmp_path):
    ids = [2**53 + 1, None, -(2**63), 2**63 - 1]
    frames = [Atoms("H", info={} if k is None else {"id": k}) for k in ids]
    zstruct.build(frames, tmp_path / "x.zarr", progress=False)
    opened = Store(tmp_path / "x.zarr")
    assert opened.dtype("id") == np.int64
    assert opened.read("id").tolist() == [k or 0 for k in ids]
    assert [a.info.get("id") for a in zstruct.open(tmp_path / "x.zarr").zs.to_ase()] == ids


@pytest.mark.parametrize("order", [1, -1])
def test_whole_numbers_that_fractions_would_round_are_refused(tmp_path, order):
    frames = [Atoms("H", info={"id": 2**53 + 1}), Atoms("H", info={"id": 0.5})][::order]
    with pytest.raises(zstruct.InputError, match=rf"id is {2**53 + 1} .* exclude=\['id'\]"):
        zstruct.build(frames, tmp_path / "x.zarr", progress=False)
    assert not (tmp_path / "x.zarr").exists()


def test_whole_numbers_that_fractions_would_round_are_refused_between_files(tmp_path):
    for name, value in (("a", 2**53 + 1), ("b", 0.5)):
        (tmp_path / f"{name}.xyz").write_text(f"1\nid={value} Properties=species:S:1:pos:R:3\nH 0 0 0\n")
    with pytest.raises(zstruct.InputError, match=f"id is {2**53 + 1}"):
        zstruct.build([tmp_path / "a.xyz", tmp_path / "b.xyz"], tmp_path / "x.zarr", progress=False)


def test_zero_has_no_sign(tmp_path):
    (tmp_path / "a.xyz").write_text(
        "1\nenergy=-0.0 Properties=species:S:1:pos:R:3:forces:R:3 shift=-0.0\nH 0 -0.00000000 1 -0.0 0.0 -0\n"
    )
    zstruct.build(tmp_path / "a.xyz", tmp_path / "x.zarr", progress=False)
    opened = Store(tmp_path / "x.zarr")
    for name, field in opened.fields.items():
        if field.kind == "float":
            assert not np.signbit(opened.read(name)).any(), name


def test_formulas_are_a_table_with_counts(new):
    root = zarr.open_group(new, mode="r")
    edges, numbers, counts = (root[f"formulas/{name}"][:] for name in ("offsets", "numbers", "counts"))
    texts = Store(new).categories("formula")
    assert len(texts) == len(set(texts)) == len(edges) - 1
    for atoms, code in zip(structures(), root["formula"][:], strict=True):
        rows = slice(edges[code], edges[code + 1])
        assert texts[code] == formula(atoms.numbers)
        found = dict(zip(numbers[rows].tolist(), counts[rows].tolist(), strict=True))
        assert found == {z: int((atoms.numbers == z).sum()) for z in set(atoms.numbers.tolist())}


@given(
    st.lists(
        st.lists(st.integers(0, len(SYMBOLS) - 1) | st.sampled_from([1, 6, 8]), min_size=1, max_size=9),
        min_size=1,
        max_size=12,
    )
)
@settings(max_examples=60)
def test_formulas_are_those_of_one_structure_after_the_other(rows):
    numbers = np.concatenate([np.array(row, dtype=np.uint8) for row in rows])
    packed = Packed(np.array([len(row) for row in rows]), {"numbers": numbers})
    add_formulas(packed)
    expected = [formula(np.array(row)) for row in rows]
    texts = packed.categories["formula"]
    assert [texts[code] for code in packed.columns["formula"]] == expected
    assert texts == list(dict.fromkeys(expected))


@given(st.lists(st.dictionaries(st.sampled_from(SYMBOLS), st.integers(1, 2**31 - 1), max_size=6), max_size=8))
@settings(max_examples=60)
def test_the_table_of_formulas_is_what_they_say(given_):
    texts = ["".join(f"{symbol}{n if n > 1 else ''}" for symbol, n in counts.items()) for counts in given_]
    (_, edges), (_, numbers), (_, counts) = formulas_specs(texts)
    assert (numbers.dtype, counts.dtype) == (np.uint8, np.int32)
    assert np.diff(edges).tolist() == [len(each) for each in given_]
    assert [SYMBOLS[z] for z in numbers.tolist()] == [symbol for each in given_ for symbol in each]
    assert counts.tolist() == [n for each in given_ for n in each.values()]


def test_digests_and_checksums_of_shards_are_kept(tmp_path, frames, small_chunks):
    zstruct.build(frames, tmp_path / "x.zarr", progress=False)
    opened = Store(tmp_path / "x.zarr")
    assert opened.grid("positions").n_shards(opened.n_atoms) > 2
    for name in opened.array_names():
        rows = opened.grid(name).shard_rows
        values = opened.read(name)
        shards = [values[k : k + rows] for k in range(0, len(values), rows)]
        digests = [hashlib.sha256(np.ascontiguousarray(shard).tobytes()).hexdigest() for shard in shards]
        assert [row.tobytes().hex() for row in opened.shard_digests(name)] == digests
        files = [shard_path(tmp_path / "x.zarr", name, k, values.ndim) for k in range(len(shards))]
        assert opened.checksums(name).tolist() == [checksum_of(file.read_bytes()) for file in files]


def checksum_of(shard):
    """The CRC32C of the last four bytes of each chunk and of the index, which stands before the last four."""
    n = next(n for n in range(1, len(shard)) if google_crc32c.value(shard[-4 - 16 * n : -4]) == _last(shard))
    index = np.frombuffer(shard[-4 - 16 * n : -4], dtype="<u8").reshape(n, 2)
    ends = [int(start + size) for start, size in index if start != 2**64 - 1]
    return google_crc32c.value(b"".join([*(shard[end - 4 : end] for end in ends), index.tobytes()]))


def _last(shard):
    return int.from_bytes(shard[-4:], "little")


def test_the_digest_covers_content_and_the_metadata_digest_what_is_said_of_it(new, tmp_path):
    attrs = json.loads((new / "zarr.json").read_text())["attributes"]
    documents = read_documents(new)
    lines = [
        f"{name} {documents[name]['attributes']['digest']}"
        for name in sorted(documents)
        if documents[name]["node_type"] == "array"
        and name.partition("/")[0] not in ("formula", "formulas", "history", "index", "shards")
        and not name.startswith("categories/formula/")
    ]
    assert attrs["digest"] == hashlib.sha256("\n".join(lines).encode()).hexdigest()

    said = []
    for name in sorted(documents):
        if name.partition("/")[0] in ("history", "index"):  # groups, which have digests of their own
            continue
        document = json.loads((new / name / "zarr.json").read_text())
        document.pop("consolidated_metadata", None)
        if not name:
            del document["attributes"]["metadata_digest"]
        said.append(f"{json.dumps(name)} {json.dumps(document, sort_keys=True, separators=(',', ':'))}")
    assert attrs["metadata_digest"] == hashlib.sha256("\n".join(said).encode()).hexdigest()


def test_consolidated_metadata_is_what_the_files_say(new):
    root = json.loads((new / "zarr.json").read_text())
    documents = read_documents(new)
    shown = root["consolidated_metadata"]["metadata"]
    assert shown.keys() == documents.keys() - {""}
    for name, document in shown.items():
        document.pop("consolidated_metadata", None)
        assert document == documents[name]


def test_names_that_differ_in_case_only_are_kept_apart(tmp_path):
    frames = [
        Atoms("H", info={"Config_type": "a", "ab": 1, "AB": 2.5, "aB": "text", "Labels": 3, "INDEX": 4}),
        Atoms("H", info={"Config_type": "b", "Shards": True, "Splits": 1, "has_AB": 1}),
    ]
    zstruct.build(frames, tmp_path / "x.zarr", progress=False)
    plain = xr.open_zarr(tmp_path / "x.zarr")
    names = [str(name) for name in plain.variables]
    assert len({name.casefold() for name in names}) == len(names)
    opened = Store(tmp_path / "x.zarr")
    reserved = {"labels", "index", "shards", "splits", "history", "formulas"}
    assert not reserved & {name.casefold() for name in opened.fields}
    for before, after in zip(frames, zstruct.open(tmp_path / "x.zarr").zs.to_ase(), strict=True):
        kept = {key: value for key, value in after.info.items() if not key.startswith("zstruct_")}
        assert {k.casefold(): v for k, v in before.info.items()} == {
            k.casefold(): v for k, v in kept.items()
        } or before.info == kept


def test_names_are_never_too_long_for_files(tmp_path):
    names = ["x" * 300, "x" * 299 + "y", "é" * 200]
    zstruct.build(Atoms("H", info=dict.fromkeys(names, 1.5)), tmp_path / "x.zarr", progress=False)
    (back,) = zstruct.open(tmp_path / "x.zarr").zs.to_ase()
    assert {name: back.info[name] for name in names} == dict.fromkeys(names, 1.5)


def test_what_zarr_does_not_show_as_it_was_written_is_not_published(new, tmp_path, monkeypatch):
    shutil.copytree(new, tmp_path / "x.zarr")
    check_readable(tmp_path / "x.zarr")
    root = json.loads((tmp_path / "x.zarr" / "zarr.json").read_text())
    del root["consolidated_metadata"]["metadata"]["energy"]
    (tmp_path / "x.zarr" / "zarr.json").write_text(json.dumps(root))
    with pytest.raises(CorruptStoreError, match="not published"):
        check_readable(tmp_path / "x.zarr")

    def refuse(path):
        raise CorruptStoreError(f"{path} can't be read again")

    zstruct.build(Atoms("He"), tmp_path / "y.zarr", progress=False)
    monkeypatch.setattr(finalize, "check_readable", refuse)
    with pytest.raises(CorruptStoreError):
        zstruct.build(Atoms("H"), tmp_path / "y.zarr", overwrite=True, progress=False)
    assert Store(tmp_path / "y.zarr").categories("formula") == ["He"]


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ([2**64, 3], ["18446744073709551616", "3"]),
        ([np.uint64(2**63)], ["9223372036854775808"]),
        ([[2**64, 1]], ["[18446744073709551616, 1]"]),
    ],
)
def test_whole_numbers_of_more_than_64_bits_are_kept_as_text(tmp_path, values, kept):
    zstruct.build([Atoms("H", info={"id": v}) for v in values], tmp_path / "x.zarr", progress=False)
    opened = Store(tmp_path / "x.zarr")
    assert np.array(opened.categories("id"))[opened.read("id")].tolist() == kept


def test_whole_numbers_of_more_than_64_bits_per_atom_are_refused(tmp_path):
    atoms = Atoms("H")
    atoms.arrays["id"] = np.array([2**63], dtype=np.uint64)
    with pytest.raises(zstruct.InputError, match=r"'id' holds uint64 values.*exclude=\['id'\]"):
        zstruct.build(atoms, tmp_path / "x.zarr", progress=False)


@pytest.mark.parametrize("text", ["99999999999999999999", '"99999999999999999999 2"'])
def test_whole_numbers_of_more_than_64_bits_in_text_are_refused(tmp_path, text):
    (tmp_path / "a.xyz").write_text(f"1\nid={text} Properties=species:S:1:pos:R:3\nH 0 0 0\n1\n\nHe 0 0 0\n")
    with pytest.raises(zstruct.InputError, match="frame 0: 'id' is a whole number of more than 64 bits"):
        zstruct.build(tmp_path / "a.xyz", tmp_path / "x.zarr", progress=False)
    report = zstruct.build(tmp_path / "a.xyz", tmp_path / "x.zarr", on_error="skip", progress=False)
    assert (report.n_structures, report.n_skipped) == (1, 1)


def test_whole_numbers_of_more_than_64_bits_in_json_are_kept_as_text(tmp_path):
    text = "99999999999999999999"
    (tmp_path / "a.xyz").write_text(f'1\nid="_JSON [{text}]" Properties=species:S:1:pos:R:3\nH 0 0 0\n')
    zstruct.build(tmp_path / "a.xyz", tmp_path / "x.zarr", progress=False)
    assert Store(tmp_path / "x.zarr").categories("id") == [f"[{text}]"]


def test_groups_whose_names_differ_in_case_only_are_refused(new, tmp_path):
    path = tmp_path / "x.zarr"
    shutil.copytree(new, path)
    zstruct.featurize(path, zstruct.features.NeighborList(3.0), name="near", progress=False)
    zstruct.split(path, (0.5, 0.5), name="halves")
    zstruct.statistics(path, name="all")
    zstruct.fit_references(path, ridge=0.1, name="ref")
    for write in (
        lambda: zstruct.featurize(path, zstruct.features.NeighborList(4.0), name="Near", progress=False),
        lambda: zstruct.split(path, (0.5, 0.5), name="HALVES", overwrite=True),
        lambda: zstruct.statistics(path, name="All"),
        lambda: zstruct.fit_references(path, ridge=0.1, name="Ref"),
    ):
        with pytest.raises(zstruct.InputError, match="in case only"):
            write()
    zstruct.verify(path)
    zstruct.split(path, (0.25, 0.75), name="halves", overwrite=True)
    assert Store(path).group_names("splits") == ["halves"]
    assert not list(tmp_path.glob("*.featurizing"))
