"""Tricks that a store from a stranger may hold; each changes a good store in place."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numcodecs
import zarr

__all__ = ["TRICKS", "Marker", "edit"]


class Marker:
    """An object that makes a directory when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def edit(path: Path, change: Callable[[dict], object]) -> None:
    """Change a JSON document; what `change` returns is written, if it is not None."""
    document = json.loads(path.read_text())
    changed = change(document)
    path.write_text(json.dumps(document if changed is None else changed))


def _everywhere(store: Path, array: str, change: Callable[[dict], object]) -> None:
    """Change the document of an array in its own file and in the consolidated metadata."""
    edit(store / array / "zarr.json", change)
    edit(
        store / "zarr.json",
        lambda root: change(root["consolidated_metadata"]["metadata"][array]) and None,
    )


def _version_2(store: Path, marker: Path) -> None:
    attrs = json.loads((store / "zarr.json").read_text())["attributes"]
    shutil.rmtree(store)
    group = zarr.open_group(store, mode="w", zarr_format=2, attributes=attrs)
    _pickled(Path(store), "numbers", marker)
    assert group.metadata.zarr_format == 2


def _pickled(store: Path, name: str, marker: Path) -> dict:
    """Write a v2 array of objects, which pickle is to decode; return its metadata."""
    said = {
        "shape": [1], "chunks": [1], "dtype": "|O", "fill_value": None, "order": "C", "zarr_format": 2,
        "filters": [{"id": "pickle", "protocol": 5}], "compressor": None, "dimension_separator": ".",
    }  # fmt: skip
    (store / name).mkdir(parents=True, exist_ok=True)
    (store / name / ".zarray").write_text(json.dumps(said))
    (store / name / ".zattrs").write_text("{}")
    (store / name / "0").write_bytes(pickle.dumps(Marker(marker)))
    numcodecs.get_codec({"id": "pickle"})  # it is there, and would be found
    return said


def _version_2_in_the_metadata(store: Path, marker: Path) -> None:
    said = _pickled(store, "numbers", marker) | {"attributes": {}, "node_type": "array"}
    edit(store / "zarr.json", lambda d: d["consolidated_metadata"]["metadata"].update(numbers=said))


def _version_2_beside(store: Path, marker: Path) -> None:
    shutil.rmtree(store / "numbers")
    _pickled(store, "numbers", marker)
    edit(store / "zarr.json", lambda d: d.pop("consolidated_metadata") and None)


def _codec(*codecs: dict) -> Callable[[Path, Path], None]:
    def change(store: Path, marker: Path) -> None:
        _everywhere(store, "numbers", lambda d: d.update(codecs=list(codecs)))

    return change


def _inner_codec(*codecs: dict | str) -> Callable[[Path, Path], None]:
    def change(store: Path, marker: Path) -> None:
        _everywhere(store, "numbers", lambda d: d["codecs"][0]["configuration"].update(codecs=list(codecs)))

    return change


def _said(array: str = "positions", **said: object) -> Callable[[Path, Path], None]:
    def change(store: Path, marker: Path) -> None:
        _everywhere(store, array, lambda d: d.update(said))

    return change


def _grid(*shape: object, inner: tuple = ()) -> Callable[[Path, Path], None]:
    def change(store: Path, marker: Path) -> None:
        def changed(d: dict) -> None:
            d["chunk_grid"]["configuration"]["chunk_shape"] = list(shape)
            d["codecs"][0]["configuration"]["chunk_shape"] = list(inner or shape)

        _everywhere(store, "positions", changed)

    return change


def _huge(n: int) -> Callable[[Path, Path], None]:
    """Claim so many structures and atoms, everywhere."""

    def change(store: Path, marker: Path) -> None:
        def changed(said: dict) -> None:
            if said.get("node_type") == "array" and said["shape"]:
                edges = said["dimension_names"][0] == "structure_edge"
                said["shape"][0] = n + edges

        def root(d: dict) -> None:
            d["attributes"] |= {"n_structures": n, "n_atoms": n}
            for said in d["consolidated_metadata"]["metadata"].values():
                changed(said)

        for file in store.rglob("zarr.json"):
            edit(file, root if file.parent == store else changed)

    return change


def _huge_chunk(store: Path, marker: Path) -> None:
    """Claim so many rows in one chunk that no shard seems to be missing."""
    _huge(2**40)(store, marker)

    def changed(said: dict) -> None:
        if said.get("node_type") == "array":
            rows = said["shape"][:1]
            across = said["shape"][1:]
            said["chunk_grid"]["configuration"]["chunk_shape"] = rows + across
            said["codecs"][0]["configuration"]["chunk_shape"] = rows + across

    for file in store.rglob("zarr.json"):
        edit(file, changed)
    edit(
        store / "zarr.json",
        lambda d: [changed(s) for s in d["consolidated_metadata"]["metadata"].values()] and None,
    )


def _renamed(name: str) -> Callable[[Path, Path], None]:
    def change(store: Path, marker: Path) -> None:
        def changed(d: dict) -> None:
            metadata = d["consolidated_metadata"]["metadata"]
            metadata[name] = metadata["positions"]

        edit(store / "zarr.json", changed)

    return change


def _linked(name: str, target: str) -> Callable[[Path, Path], None]:
    def change(store: Path, marker: Path) -> None:
        path = store / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        path.symlink_to(target)

    return change


def _piped(name: str) -> Callable[[Path, Path], None]:
    def change(store: Path, marker: Path) -> None:
        (store / name).unlink()
        os.mkfifo(store / name)

    return change


def _loop(store: Path, marker: Path) -> None:
    edit(store / "zarr.json", lambda d: d.pop("consolidated_metadata") and None)
    for k in range(8):
        (store / f"loop{k}").symlink_to(store)
    shutil.rmtree(store / "positions")


def _deep(store: Path, marker: Path) -> None:
    edit(store / "zarr.json", lambda d: d.pop("consolidated_metadata") and None)
    folder = store
    for _ in range(200):
        folder = folder / "g"
        folder.mkdir()
        (folder / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')


def _text(name: str, text: str) -> Callable[[Path, Path], None]:
    def change(store: Path, marker: Path) -> None:
        (store / name).write_text(text)

    return change


def _sparse(store: Path, marker: Path) -> None:
    with open(store / "zarr.json", "r+b") as file:
        file.truncate(8 << 30)


def _shard(content: bytes) -> Callable[[Path, Path], None]:
    def change(store: Path, marker: Path) -> None:
        (store / "positions/c/0/0").write_bytes(content)

    return change


_BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
_METADATA = '{"zarr_format": 3, "node_type": "group", "attributes": '

#: By name; each is called with the path of a store and that of what it would make if it came through.
TRICKS: dict[str, Callable[[Path, Path], None]] = {
    "a v2 store with pickled objects": _version_2,
    "a v2 array in the consolidated metadata": _version_2_in_the_metadata,
    "a v2 array beside v3": _version_2_beside,
    "the codec numcodecs.pickle": _codec({"name": "numcodecs.pickle"}, _BYTES),
    "an inner codec of numcodecs": _inner_codec(_BYTES, {"name": "numcodecs.lzma"}),
    "texts of any length": _codec({"name": "vlen-utf8"}),
    "a codec that nobody knows": _codec(_BYTES, {"name": "../../os.system"}),
    "no codec": _codec(),
    "shards in shards": _inner_codec({"name": "sharding_indexed", "configuration": {}}),
    "codecs without an end": _inner_codec(_BYTES, *["crc32c"] * 1000),
    "strings": _said(data_type="string"),
    "objects": _said(data_type={"name": "object"}),
    "records": _said(data_type={"name": "structured", "configuration": {"fields": [["a", "int8"]]}}),
    "times": _said(data_type={"name": "numpy.datetime64", "configuration": {"unit": "s", "scale_factor": 1}}),
    "wide texts": _said(data_type={"name": "fixed_length_utf32", "configuration": {"length_bytes": 1 << 40}}),
    "a claim of 10^15 rows": _huge(10**15),
    "a claim of 2^62 rows": _huge(2**62),
    "a claim of one chunk of 2^40 rows": _huge_chunk,
    "negative shape": _said(shape=[-5, 3]),
    "no shape": _said(shape=[]),
    "many dimensions": _said(shape=[1] * 5000),
    "chunks of nothing": _grid(0, 3),
    "negative chunks": _grid(-16, 3),
    "chunks of 2^60 rows": _grid(2**60, 3),
    "chunks that are no integers": _grid(1.5, "3"),
    "a billion chunks in a shard": _grid(2**30, 3, inner=(1, 3)),
    "chunks that do not divide shards": _grid(10, 3, inner=(3, 3)),
    "storage transformers": _said(storage_transformers=[{"name": "x"}]),
    "an array above the store": _renamed("../positions"),
    "an array in the root of the system": _renamed("/etc"),
    "an array by a detour": _renamed("a/../../positions"),
    "an array without a name": _renamed(""),
    "an array deep below": _renamed("/".join("abcdefghij")),
    "an array with a name of control characters": _renamed("a\x00\n"),
    "metadata that is a device": _linked("zarr.json", "/dev/zero"),
    "metadata that is a pipe": _piped("zarr.json"),
    "metadata of an array that is a device": _linked("positions/zarr.json", "/dev/zero"),
    "a shard that is a device": _linked("positions/c/0/0", "/dev/zero"),
    "a shard that is a pipe": _piped("positions/c/0/0"),
    "a shard that is a file of others": _linked("positions/c/0/0", "/etc/passwd"),
    "an array that is a directory of others": _linked("positions", "/usr"),
    "links in circles": _loop,
    "groups in groups without an end": _deep,
    "metadata of 8 GB": _sparse,
    "JSON without an end": _text("zarr.json", "[" * 1_000_000),
    "a number of a million digits": _text("zarr.json", _METADATA + '{"n_atoms": ' + "1" * 1_000_000 + "}}"),
    "no JSON": _text("zarr.json", "\udcff".encode("utf-8", "surrogateescape").decode("latin-1")),
    "an empty shard": _shard(b""),
    "a shard of zeros": _shard(bytes(1 << 16)),
}
