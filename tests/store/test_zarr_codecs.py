"""Decimal arrays through zarr alone, with its own codecs or with ours where it has none."""

import re
import subprocess
import sys

import numpy as np
import pytest
import zarr

import zstruct
from zstruct.store.chunk_codec import ChunkCodec
from zstruct.store.chunks import ChunkGrid
from zstruct.store.decimals import Decimal
from zstruct.store.spec import ArraySpec
from zstruct.store.write import create, write_array
from zstruct.store.zarr_codecs import CastValue, ScaleOffset

WHOLE = {"int32": 2**31 - 1, "int64": 2**50}


def written(path, values, decimal):
    spec = ArraySpec(
        "values", ("row", "xyz"), values.shape, "float64", {}, float("nan"), ChunkGrid(16, 64),
        ChunkCodec.chosen("float64", "fast", decimal),
    )  # fmt: skip
    create(path, [spec], {})
    write_array(path, spec, values)
    return path / "values"


@pytest.fixture(params=["int32", "int64"])
def decimal_array(request, tmp_path):
    k = np.random.default_rng(0).integers(-WHOLE[request.param], WHOLE[request.param], (100, 3))
    values = k / 1e8
    values[5:9] = np.nan
    return written(tmp_path / "a", values, Decimal(8, request.param)), values


def test_zarr_reads_what_was_written(decimal_array):
    pytest.importorskip("cast_value_rs") if hasattr(zarr.codecs, "CastValue") else None
    path, values = decimal_array
    array = zarr.open_array(path, mode="r")
    assert array[:].tobytes() == values.tobytes()
    assert array[3:70, 1].tobytes() == values[3:70, 1].tobytes()


@pytest.mark.skipif(hasattr(zarr.codecs, "CastValue"), reason="zarr has the codecs")
def test_without_zstruct_an_older_zarr_says_what_it_lacks(decimal_array):
    path, _ = decimal_array
    code = f"""
import zarr
try:
    zarr.open_array({str(path)!r}, mode="r")[:]
except Exception as error:
    print(repr(error))
import zstruct.store.zarr_codecs
zarr.open_array({str(path)!r}, mode="r")[:]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.match(r"(UnknownCodec|Key)Error\(.*scale_offset", done.stdout)


@pytest.mark.skipif(hasattr(zarr.codecs, "CastValue"), reason="zarr has the codecs")
def test_ours_write_what_ours_read(tmp_path):
    values = np.array([[0.25, -3.5, np.nan], [1e-8, 0.0, 5.0]] * 8)
    decimal = Decimal(8, "int32")
    documents = ChunkCodec.chosen("float64", "fast", decimal).documents("float64")
    filters = [ScaleOffset.from_dict(documents[0]), CastValue.from_dict(documents[1])]
    assert [one.to_dict() for one in filters] == documents[:2]

    array = zarr.create_array(
        tmp_path / "b", shape=values.shape, dtype="float64", chunks=(8, 3), fill_value=np.nan,
        filters=filters, zarr_format=3,
    )  # fmt: skip
    array[:] = values

    assert zarr.open_array(tmp_path / "b")[:].tobytes() == values.tobytes()
    with pytest.raises(ValueError, match="can't hold"):
        array[:] = values * 1e9


def test_what_we_have_no_codec_for_is_refused():
    with pytest.raises(ValueError, match="cast-value-rs"):
        CastValue("uint8")
    with pytest.raises(ValueError, match="cast-value-rs"):
        CastValue("int32", scalar_map={"encode": [["NaN", 1]], "decode": [[2, "NaN"]]})
    assert ScaleOffset(2.0, 10.0).decoded(ScaleOffset(2.0, 10.0).encoded(np.array([1.5]))).tolist() == [1.5]


def test_a_store_reads_through_zarr_what_it_reads_itself(tmp_path, monkeypatch):
    if hasattr(zarr.codecs, "CastValue"):
        pytest.importorskip("cast_value_rs")
    draw = np.random.default_rng(0).normal(size=(400, 2, 3))
    rows = ["".join("H {:.3f} {:.3f} {:.3f}\n".format(*row) for row in one) for one in draw]
    (tmp_path / "a.xyz").write_text("".join(f"2\nenergy=-1.25\n{one}" for one in rows))
    zstruct.build(tmp_path / "a.xyz", tmp_path / "a.zarr", encoding="decimal", progress=False)
    store = zstruct.Store(tmp_path / "a.zarr")
    assert store.profile("positions").codec.decimal == Decimal(3, "int32")
    mine = store.read("positions", 3, 700)
    monkeypatch.setattr(zstruct.Store, "profile", lambda self, name: None)
    assert store.read("positions", 3, 700).tobytes() == mine.tobytes()


@pytest.mark.skipif(not hasattr(zarr.codecs, "CastValue"), reason="zarr has no such codec")
def test_where_zarr_lacks_a_package_it_is_named(tmp_path):
    pytest.importorskip("cast_value_rs")
    code = f"""
import sys
sys.modules["cast_value_rs"] = None
import importlib.util, numpy as np, shutil, zarr, zstruct
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "cast_value_rs" else find(name, *rest)
print(zstruct.Store({str(tmp_path / "a.zarr")!r}).read("positions").sum())
for attempt in (
    lambda: zstruct.Store({("file://" + str(tmp_path / "a.zarr"))!r}).read("positions"),
    lambda: zstruct.build({str(tmp_path / "a.xyz")!r}, {str(tmp_path / "b.zarr")!r}, encoding="decimal"),
):
    try:
        attempt()
    except zstruct.MissingExtraError as error:
        print(error)
"""
    draw = np.random.default_rng(0).normal(size=(800, 3))
    (tmp_path / "a.xyz").write_text(
        "".join("1\nenergy=-1.25\nH {:.8f} {:.8f} {:.8f}\n".format(*row) for row in draw)
    )
    zstruct.build(tmp_path / "a.xyz", tmp_path / "a.zarr", encoding="decimal", progress=False)

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    local, *sentences = done.stdout.splitlines()
    assert float(local) == zstruct.Store(tmp_path / "a.zarr").read("positions").sum()
    assert len(sentences) == 2
    assert all(sentence.endswith('pip install "zstruct[decimal]"') for sentence in sentences)
    assert not (tmp_path / "b.zarr").exists()
