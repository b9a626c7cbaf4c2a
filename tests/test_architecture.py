"""The page on the architecture is true: its drawing, its index, and its table of where to add what."""

import ast
import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ase.build
import numpy as np
import pytest

import zstruct
from zstruct import aliases, layouts, schema, sources
from zstruct.exporters import TextExporter
from zstruct.features import Descriptor
from zstruct.features import registry as descriptors
from zstruct.loading.order import StructureSampler
from zstruct.sources import FileSource, Raw, RawColumn
from zstruct.sources import registry as formats
from zstruct.transforms import Transform

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "zstruct"
PAGE = (ROOT / "docs" / "architecture.md").read_text()


def table(title):
    """Return the rows of the table in a section of the page, without its head."""
    section = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL).group(1)
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def defined(file, name):
    """Tell whether a file of the package defines a function, class, method or constant."""
    text = (PACKAGE / file).read_text()
    if file.endswith(".js"):
        return re.search(rf"^(?:export )?(?:class|function|const) {name}\b", text, re.MULTILINE) is not None
    body = ast.parse(text).body
    for part in name.split("."):
        found = [node for node in body if part in _names(node)]
        if not found:
            return False
        body = getattr(found[-1], "body", [])
    return True


def _names(node):
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    if isinstance(node, ast.AnnAssign):
        return {node.target.id}
    return {getattr(node, "name", None)}


INDEX = table("Where is ...")
ADD = table("Where do I add ...")


def test_the_drawing_of_the_layers_is_that_of_the_contracts():
    spec = importlib.util.spec_from_file_location("make_layers", ROOT / "docs" / "make_layers.py")
    make_layers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_layers)
    assert make_layers.PAGE.read_text() == make_layers.page(), "run python docs/make_layers.py"
    # ... and it draws what it is meant to.
    drawn = re.findall(r'class="name" x="([\d.]+)" y="(\d+)"[^>]*>(\w+)<', make_layers.page())
    rows = {}
    for x, y, name in drawn:
        rows.setdefault(int(y), []).append((float(x), name))
    assert [[name for _, name in sorted(rows[y])] for y in sorted(rows)] == make_layers.layers()
    assert make_layers.libraries()["store"][0] == "zarr"


def test_every_package_is_explained():
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    explained = {name for cell, _ in table("Who may import whom") for name in re.findall(r"`(\w+)`", cell)}
    assert packages <= explained
    assert all((PACKAGE / name).exists() or (PACKAGE / f"{name}.py").exists() for name in explained)


def test_the_index_has_twenty_questions_or_more():
    assert len({question for question, _, _ in INDEX}) == len(INDEX) >= 20


@pytest.mark.parametrize(("file", "name"), [row[1:] for row in INDEX], ids=lambda cell: cell.strip("`"))
def test_the_index_is_right(file, name):
    assert defined(file.strip("`"), name.strip("`"))


def test_the_files_to_touch_are_there():
    places = [cell for _, *cells, _ in ADD for cell in cells if not cell.startswith("`docs/")]
    for place in places:
        file, what = re.match(r"`([\w/.]+)`: .*?`(\w+)`", place).groups()
        if "NAME" in file:
            (PACKAGE / file.split("NAME")[0]).resolve(strict=True)
        else:
            assert defined(file, what), place
    assert [kind for kind, *_ in ADD] == [
        "a format", "a format to write", "a field", "a descriptor", "a layout", "a transform", "a sampler"
    ]  # fmt: skip


# What follows is what somebody who reads the table would write. --------------------------------


class Chain(FileSource):
    """Atoms in a row: a line for each structure, its energy and then the heights of its hydrogen atoms."""

    runs_in = "threads"

    def read(self, piece):
        rows = [np.array(line.split(), dtype=float) for line in Path(self.path).read_text().splitlines()]
        heights = np.concatenate([row[1:] for row in rows])
        yield Raw(
            frames=np.arange(len(rows)),
            n_atoms=np.array([len(row) - 1 for row in rows]),
            atom={
                "numbers": [RawColumn(np.ones(len(heights), np.uint8))],
                "positions": [RawColumn(heights[:, None] * [0.0, 0.0, 1.0])],
            },
            structure={"energy": [RawColumn(np.array([row[0] for row in rows]))]},
        )


class Energies(TextExporter):
    """A line for each energy."""

    def text(self, block):
        return "".join(f"{energy}\n" for energy in block.columns["energy"]).encode()


def totals(packed, *, elements=None, names=None, as_numpy=False):
    """A batch of the energies, and of the number of elements in the store."""
    name = (names or {}).get("energies", "energies")
    return {name: packed.columns["energy"], "n_elements": len(elements or ())}


@dataclass(frozen=True)
class Coordination(Descriptor):
    """How many neighbours an atom has."""

    species: Sequence[str]
    radius: float

    @property
    def cutoff(self):
        return self.radius

    @property
    def feature_names(self):
        return ["coordination"]

    def values(self, structures, neighbors):
        return np.diff(neighbors.offsets)[:, None].astype(float)


class Lift(Transform):
    """Moves all atoms up by one angstrom."""

    def on_batch(self, batch, epoch=0):
        batch.columns["positions"] += [0.0, 0.0, 1.0]
        return batch


class Backwards(StructureSampler):
    """The last structure first."""

    def chunks(self, epoch, start=0):
        for places in self._places(start):
            yield self.n - 1 - places


@pytest.fixture(autouse=True)
def registries():
    """Forget what a test registers."""
    kept = [(known, dict(known)) for known in (formats._READERS, layouts.LAYOUTS, descriptors._REGISTERED)]
    yield
    for known, before in kept:
        known.clear()
        known.update(before)
    aliases._names.cache_clear()


@pytest.fixture
def chains(tmp_path):
    """A store of three chains, built from a file of an added format."""
    sources.register("chain", Chain, suffixes=[".chain"])
    (tmp_path / "three.txt").write_text("-1.5 0 1\n-2.5 0 1 2\n-3.5 0\n")
    zstruct.build(tmp_path / "three.txt", tmp_path / "three.zarr", reader="chain", progress=False)
    return tmp_path / "three.zarr"


def test_an_added_format_is_built_from_by_name_and_by_suffix(chains, tmp_path):
    reader = zstruct.StructureReader(chains, dtype="float64")
    assert reader.take([1]).columns["positions"].tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 2]]
    assert reader.take(range(3)).columns["energy"].tolist() == [-1.5, -2.5, -3.5]
    (tmp_path / "one.chain").write_text("-7.0 0 3\n")
    zstruct.build(tmp_path / "one.chain", tmp_path / "one.zarr", progress=False)
    assert zstruct.Store(tmp_path / "one.zarr").read("energy").tolist() == [-7.0]


def test_an_added_format_is_exported_to(chains, tmp_path):
    zstruct.export(chains, tmp_path / "energies.txt", Energies(), progress=False)
    assert (tmp_path / "energies.txt").read_text() == "-1.5\n-2.5\n-3.5\n"


def test_an_added_field_is_known_by_its_row(tmp_path, monkeypatch):
    row = schema._row("band_gap", "structure", "float64", "eV", "scalar", "gap of the bands")
    monkeypatch.setitem(schema.FIELDS, row.name, row)
    monkeypatch.setitem(aliases.ALIASES, row.name, ("gap", "Eg"))
    aliases._names.cache_clear()
    copper = ase.build.bulk("Cu")
    copper.info["eg"] = 250.0
    zstruct.build([copper], tmp_path / "gap.zarr", units={"band_gap": "meV"}, progress=False)
    store = zstruct.Store(tmp_path / "gap.zarr")
    assert store.fields["band_gap"].description == "gap of the bands"
    assert store.read("band_gap").tolist() == [0.25]


def test_a_property_without_a_row_gets_one(tmp_path):
    copper = ase.build.bulk("Cu")
    copper.info["hardness"] = 3.0
    zstruct.build([copper], tmp_path / "hard.zarr", progress=False)
    assert zstruct.Store(tmp_path / "hard.zarr").read("hardness").tolist() == [3.0]


def test_an_added_layout_is_loaded_with_by_name(chains):
    pytest.importorskip("torch")
    layouts.register("totals", totals)
    data = zstruct.ZarrStructureDataset(chains)
    (batch,) = data.loader(3, layout="totals")
    assert batch["energies"].tolist() == [-1.5, -2.5, -3.5]
    assert batch["n_elements"] == 1
    (batch,) = data.loader(3, layout="totals", names={"energies": "E"})
    assert set(batch) == {"E", "n_elements"}


def test_an_added_layout_is_read_with_by_name_without_torch(chains):
    layouts.register("totals", totals)
    (batch,) = zstruct.StructureReader(chains).batches(3, layout="totals")
    assert batch["energies"].tolist() == [-1.5, -2.5, -3.5]


def test_an_added_descriptor_is_stored_and_loaded(tmp_path):
    zstruct.features.register(Coordination)
    copper = ase.build.bulk("Cu")
    zstruct.build([copper], tmp_path / "copper.zarr", progress=False)
    zstruct.featurize(tmp_path / "copper.zarr", Coordination(("Cu",), 3.0), progress=False)
    (name,) = zstruct.features.group_names(tmp_path / "copper.zarr")["features"]
    reader = zstruct.StructureReader(tmp_path / "copper.zarr", features=name)
    assert reader.take([0]).columns["features"].tolist() == [[12.0]]  # of the face-centred cubic lattice
    group = zstruct.features.open_group(tmp_path / "copper.zarr", "features", name)
    assert group.descriptor == Coordination(("Cu",), 3.0)


def test_an_added_transform_and_an_added_sampler_train(chains):
    pytest.importorskip("torch")
    data = zstruct.ZarrStructureDataset(chains, transform=[Lift()])
    heights = [batch["positions"][0, 2].item() for batch in data.loader(1, sampler=Backwards(3))]
    assert heights == [1.0, 1.0, 1.0]
    energies = [batch["energy"].item() for batch in data.loader(1, sampler=Backwards(3))]
    assert energies == [-3.5, -2.5, -1.5]
