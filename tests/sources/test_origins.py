"""Who is said to be at fault: the file, its server, or this package."""

import gzip
import io
import json
import pickle
import random

import pandas
import pytest
from ase import Atoms

import zstruct
from tests.sources.archive.make import frame, tar_of, zip_of
from zstruct.errors import InputError, StoreAccessError
from zstruct.sources import expand
from zstruct.sources.archive.source import ArchiveSource
from zstruct.sources.hdf5.source import HDF5Source
from zstruct.sources.npz.source import NPZSource
from zstruct.sources.origins import hidden_by, raised_by
from zstruct.sources.pacemaker.source import PacemakerSource
from zstruct.sources.parquet.source import ParquetSource


class MineError(ValueError):
    """An error in this package."""


def fails(*_, **__):
    raise MineError


def exported(folder, name, format):
    zstruct.build([Atoms("HO", [[0, 0, 0], [0, 0, 1]])] * 3, folder / "a.zarr", progress=False)
    zstruct.export(folder / "a.zarr", folder / name, format, progress=False)
    return folder / name


def read(sources):
    return [raw for source in sources for piece in source.scan() for raw in source.read(piece)]


@pytest.mark.parametrize(
    ("name", "format", "place", "package"),
    [
        ("a.h5", "hdf5", "zstruct.sources.hdf5.flat.is_flat", "h5py"),
        ("a.h5", "hdf5", "zstruct.sources.hdf5.{groups,reading}.plan_of", "h5py"),
        ("a.h5", "hdf5", "zstruct.sources.hdf5.{groups,reading}.filled", "h5py"),
        ("a.h5", "mace-hdf5", "zstruct.sources.hdf5.mace.configurations_of", "h5py"),
        ("a.h5", "hdf5-flat", "zstruct.sources.hdf5.flat.own_dialect", "h5py"),
        ("a.parquet", "parquet", "zstruct.sources.parquet.source.columns_of", "pyarrow"),
        ("a.parquet", "parquet", "zstruct.sources.parquet.source.structures_of", "pyarrow"),
        ("a.npz", "npz", "zstruct.sources.array_files.source.table_of", "numpy"),
        ("a.traj", "traj", "zstruct.sources.ase.atoms.raw_of", "ase"),
    ],
)
def test_a_mistake_in_this_package_is_not_taken_for_damage(
    tmp_path, monkeypatch, name, format, place, package
):
    pytest.importorskip(package)
    path = exported(tmp_path, name, format)
    assert read(expand(str(path))[0])
    for module in ("groups", "reading"):  # with HDF5's library, and without where kernels are loaded
        monkeypatch.setattr(place.replace("{groups,reading}", module), fails)
    with pytest.raises(MineError):
        read(expand(str(path))[0])


class Served:
    """A file whose server fails when it has been asked so many times."""

    path, label = None, "there"

    def __init__(self, name, data, fails_at, error):
        self.name, self._data, self._fails_at, self._error, self.asked = name, data, fails_at, error, 0

    def fingerprint(self):
        # A file that failed elsewhere is another: what is known of one is not read again.
        return {"size": len(self._data), "fails at": self._fails_at}

    def open(self):
        served, data = self, io.BytesIO(self._data)

        class Stream(io.RawIOBase):
            def readable(self):
                return True

            def seekable(self):
                return True

            def seek(self, *place):
                return data.seek(*place)

            def tell(self):
                return data.tell()

            def readinto(self, buffer):
                served.asked += 1
                if served.asked == served._fails_at:
                    exec("raise error", {"__name__": "zstruct.sources.remote", "error": served._error})
                return data.readinto(buffer)

        return Stream()


def data_frame():
    table = pandas.DataFrame({"ase_atoms": [Atoms("HO", [[0, 0, 0], [0, 0, 1]])]})
    return gzip.compress(pickle.dumps(table))


@pytest.mark.parametrize("error", [StoreAccessError("no answer"), InputError("it became another file")])
@pytest.mark.parametrize(
    ("name", "format", "source", "package"),
    [
        ("a.h5", "hdf5", HDF5Source, "h5py"),
        ("a.h5", "hdf5-flat", HDF5Source, "h5py"),
        ("a.parquet", "parquet", ParquetSource, "pyarrow"),
        ("a.npz", "npz", NPZSource, "numpy"),
        ("a.zip", None, ArchiveSource, "numpy"),
        ("a.tar", None, ArchiveSource, "numpy"),
        ("a.pckl.gzip", None, PacemakerSource, "pandas"),
    ],
)
def test_a_server_that_fails_is_not_taken_for_damage(
    tmp_path, name, format, source, package, error, long_run
):
    pytest.importorskip(package)
    if format is not None:
        data = exported(tmp_path, name, format).read_bytes()
    else:
        made = {"a.zip": zip_of, "a.tar": tar_of}
        data = made[name]([("a.xyz", frame(1.0))]) if name in made else data_frame()
    options = {"allow_pickle": True} if source is PacemakerSource else {}
    read([source(whole := Served(name, data, 0, error), **options)])
    n = whole.asked
    assert n > 1
    for k in range(1, n + 1) if long_run else {1, n, random.randint(1, n)}:
        served = Served(name, data, k, error)
        try:
            found = read([source(served, **options)])
        except (StoreAccessError, InputError) as caught:
            said = caught
        else:
            said = next((StoreAccessError(one.reason) for raw in found for one in raw.bad), None)
        assert served.asked >= k
        assert str(error) in str(said)
        assert "damaged" not in str(said)


def test_what_a_library_calls_back_is_not_its_own():
    ours = {"__name__": "zstruct.sources.mine"}
    exec("def hook(_):\n    raise ArithmeticError", ours)
    with pytest.raises(ArithmeticError) as caught:
        json.loads("{}", object_hook=ours["hook"])
    assert not raised_by(caught.value, "json")
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads("[", object_hook=ours["hook"])
    assert raised_by(caught.value, "json")
    assert not raised_by(caught.value, "js")


def test_what_a_library_hides_is_found():
    behind, between, error = StoreAccessError("no answer"), ValueError(), TypeError()
    between.__context__, error.__cause__ = behind, between
    assert hidden_by(error) is behind
    assert hidden_by(behind) is None
