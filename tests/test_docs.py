"""What the documentation says is so: its examples run, its tables and docstrings match the code."""

import importlib.util
import inspect
import pkgutil
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from ase.io import iread

import zstruct
from tests import howto_files
from zstruct import cli
from zstruct.cli.options import described

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SAMPLE = ROOT / "tests" / "data" / "sample"


def blocks(page, language):
    """Return the fenced blocks of a page: first line in the page, text."""
    text = page.read_text()
    found = re.finditer(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [(text[: match.start(1)].count("\n") + 1, match.group(1)) for match in found]


def having(language):
    return [page for page in PAGES if blocks(page, language)]


def loaded(script):
    """Return a script as a module."""
    spec = importlib.util.spec_from_file_location(script.stem, script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parameters(documented):
    """Return the names in the Parameters section of a numpydoc docstring."""
    return list(described(documented))


def arguments(function):
    return [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]


def directives():
    """Return what the pages of the interface document: the kind, the name, options by name."""
    page = "\n".join(page.read_text() for page in sorted((ROOT / "docs" / "api").glob("*.md")))
    found = re.findall(r"^\.\. auto(function|class):: (\S+)\n((?:   :.*\n)*)", page, re.MULTILINE)
    return {name: (kind, dict(re.findall(r":([a-z-]+): ?(.*)", options))) for kind, name, options in found}


API = directives()
OF_TORCH = (
    "zstruct.Mixture",
    "zstruct.ZarrStructureDataset",
    "zstruct.loading.l",
    "zstruct.loading.t",
    "zstruct.layouts",
    "zstruct.features.torch",
)


def callables(name):
    """Yield what one directive shows that has parameters, with its place."""
    kind, options = API[name]
    place, _, own_name = name.rpartition(".")  # modules may be called as functions are
    shown = getattr(pkgutil.resolve_name(place), own_name)
    if kind == "function":
        yield name, shown
        return
    if "__init__" not in options.get("exclude-members", ""):
        yield name, shown
    own = dir(shown) if "inherited-members" in options else vars(shown)
    public = [member for member in own if not member.startswith("_")]
    for key, names in (("members", public), ("special-members", [])):
        listed = [part.strip() for part in options[key].split(",") if part.strip()] if key in options else []
        for member in (listed or names) if key in options else []:
            found = inspect.getattr_static(shown, member)
            if inspect.isfunction(found) or isinstance(found, classmethod | staticmethod):
                yield f"{name}.{member}", getattr(shown, member)


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A directory with the sample in ``data/``, and features of its structures, where examples run."""
    shutil.copytree(SAMPLE, tmp_path / "data")
    np.savez(tmp_path / "fingerprints.npz", X=np.eye(407, 64, dtype=bool), y=np.zeros(407))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    return tmp_path


@pytest.fixture
def own_registries(monkeypatch):
    """Forget the readers and layouts that an example registers."""
    monkeypatch.setattr(zstruct.sources.registry, "_READERS", dict(zstruct.sources.registry._READERS))
    layouts = dict(zstruct.layouts.LAYOUTS)
    yield
    zstruct.layouts.LAYOUTS.clear()
    zstruct.layouts.LAYOUTS.update(layouts)


@pytest.mark.parametrize("page", having("python"), ids=lambda page: page.name)
def test_examples_run(page, workplace, own_registries):
    pytest.importorskip("torch")
    if page.name == "howto.md":
        howto_files.write(workplace)
    names = {"__name__": "example"}
    for line, text in blocks(page, "python"):
        code = compile("\n" * line + text, str(page), "exec")  # errors show the line of the page
        exec(code, names)
    if page.name == "howto.md":
        assert [len(part) for part in zstruct.open_split("all.zarr", "default")] == [8, 8]
        assert (
            zstruct.open("aenet.zarr").sizes["structure"] == zstruct.open("omat.zarr").sizes["structure"] == 8
        )
        assert zstruct.Store("relax.zarr").n_structures == 20  # eight of which were there
    if page.name == "growing.md":  # a story with an end: 0.11, 0.07 and 0.05 eV an atom
        assert len(names["errors"]) == 3
        assert names["errors"][-1] < 0.75 * names["errors"][0]
        assert zstruct.Store("learned.zarr").n_structures == 24 + 3 * 24


@pytest.mark.parametrize("page", having("bash"), ids=lambda page: page.name)
def test_commands_run(page, workplace):
    lines = [line for _, text in blocks(page, "bash") for line in text.splitlines()]
    for line in lines:
        if line.startswith("zstruct "):
            assert cli.main(shlex.split(line, comments=True)[1:]) == 0, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    places = {target: ROOT if target.startswith("notebooks/") else page.parent for target in targets}
    assert not [target for target, folder in places.items() if not (folder / target).exists()]


def test_the_drawing_of_the_packed_layout_is_what_its_script_draws():
    make_packed = loaded(ROOT / "docs" / "make_packed.py")
    assert make_packed.PAGE.read_text(encoding="utf-8") == make_packed.page(), (
        "run python docs/make_packed.py"
    )


def test_every_picture_is_shown_told_and_small():
    shown = {}
    for page in PAGES:
        for told, file in re.findall(r"!\[([^]]*)\]\((pictures/[^)]+)\)", page.read_text()):
            shown.setdefault(file, []).append(told)
    files = sorted((ROOT / "docs" / "pictures").iterdir())
    assert sorted(shown) == [f"pictures/{file.name}" for file in files]
    assert all(len(told) > 40 for words in shown.values() for told in words)
    sizes = [file.stat().st_size for file in files]
    assert max(sizes) < 60_000
    assert sum(sizes) < 400_000


def test_the_page_of_fields_is_the_schema():
    make_fields = loaded(ROOT / "docs" / "make_fields.py")
    assert make_fields.PAGE.read_text() == make_fields.page(), "run python docs/make_fields.py"


def test_the_page_of_formats_is_what_the_registries_say():
    make_formats = loaded(ROOT / "docs" / "make_formats.py")
    assert make_formats.PAGE.read_text() == make_formats.page(), "run python docs/make_formats.py"


@pytest.mark.parametrize("name", zstruct.__all__)
def test_public_names_have_docstrings(name):
    if f"zstruct.{name}".startswith(OF_TORCH):
        pytest.importorskip("torch")
    assert inspect.getdoc(getattr(zstruct, name))


@pytest.mark.parametrize("name", API)
def test_docstrings_name_the_parameters_that_there_are(name):
    if name.startswith(OF_TORCH):
        pytest.importorskip("torch")
    for place, called in callables(name):
        there, told = arguments(called), parameters(called)
        if told:
            assert sorted(told) == sorted(there), place
        elif len(there) > 1:  # a short description may name them in passing
            assert all(re.search(rf"\b{name}\b", called.__doc__) for name in there), place


def test_the_pages_of_the_interface_have_every_public_name():
    pytest.importorskip("torch")
    pages = [page.read_text() for page in (ROOT / "docs" / "api").glob("*.md")]
    documented = re.findall(r"^\.\. auto\w+:: zstruct\.(\w+)$", "\n".join(pages), re.MULTILINE)
    modules = {name for name in zstruct.__all__ if inspect.ismodule(getattr(zstruct, name))}
    assert sorted(documented) == sorted({*zstruct.__all__} - modules)


def test_the_page_of_the_interface_leads_to_all_of_its_pages():
    names = {f"api/{page.stem}" for page in (ROOT / "docs" / "api").glob("*.md")}
    text = (ROOT / "docs" / "api.md").read_text()
    assert set(re.findall(r"^## \[.+\]\((api/\w+)\.md\)$", text, re.MULTILINE)) == names
    assert set(re.findall(r"^api/\w+$", text, re.MULTILINE)) == names


def test_the_tables_of_the_accessor_have_all_that_it_has():
    page = (ROOT / "docs" / "api" / "look.md").read_text()
    listed = re.findall(r"~zstruct\.explore\.StructureAccessor\.(\w+)", page)
    has = [name for name in dir(zstruct.explore.StructureAccessor) if not name.startswith("_")]
    assert sorted(listed) == has


def test_the_dataset_takes_what_its_recipe_does():
    pytest.importorskip("torch")
    made = zstruct.ZarrStructureDataset.__init__
    assert parameters(made) == arguments(made) == ["path", *arguments(zstruct.loading.Recipe)]


def test_parameters_are_found_in_docstrings():
    assert parameters(zstruct.build)[:3] == ["paths", "out", "select"]
    assert parameters(zstruct.Store.again) == []


def test_the_page_on_building_explains_every_option():
    text = (ROOT / "docs" / "building.md").read_text()
    options = [
        name
        for one in (zstruct.build, zstruct.Filters, zstruct.Encoding, zstruct.rewrite)
        for name in arguments(one)
    ]
    missing = [name for name in options if not re.search(rf"`{name}\b|\b{name}=", text)]
    assert {*missing} <= {"out", "store", "storage_options"}


COMMANDS = (
    "append",
    "build",
    "peek",
    "index",
    "info",
    "label",
    "leaks",
    "live",
    "log",
    "ls",
    "outliers",
    "compare",
    "drop",
    "duplicates",
    "export",
    "featurize",
    "formats",
    "features-add",
    "project",
    "split",
    "references",
    "report",
    "rewrite",
    "select",
    "stats",
    "verify",
    "warmup",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_page_on_the_command_line_names_every_option_and_no_other(command, capsys):
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    shown = re.split(r"^(?:positional arguments|options):$", capsys.readouterr().out, maxsplit=1, flags=re.M)[
        1
    ]
    offered = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", shown)) - {"--help"}
    page = (ROOT / "docs" / "cli.md").read_text()
    section = re.search(rf"^## {command}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL).group(1)
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", section)) == offered


def test_the_page_on_the_command_line_has_every_command(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    shown = re.findall(r"^ {4}(\w[\w-]*)", capsys.readouterr().out, re.MULTILINE)
    page = (ROOT / "docs" / "cli.md").read_text()
    assert sorted(shown) == sorted(COMMANDS) == sorted(re.findall(r"^## (\w[\w-]*)$", page, re.MULTILINE))


@pytest.mark.long
def test_the_sample_is_what_its_script_makes(tmp_path, monkeypatch):
    make_sample = loaded(ROOT / "tests" / "data" / "make_sample.py")
    monkeypatch.setattr(make_sample, "HERE", tmp_path)
    make_sample.main()
    made = tmp_path / "sample"
    assert sorted(file.name for file in made.iterdir()) == sorted(file.name for file in SAMPLE.iterdir())
    for file in SAMPLE.iterdir():
        for ours, bundled in zip(iread(made / file.name), iread(file), strict=True):
            assert ours.info == bundled.info
            assert str(ours.symbols) == str(bundled.symbols)
            # Other processors may round the last of the six decimals the other way.
            np.testing.assert_allclose(ours.positions, bundled.positions, atol=2e-6)
            np.testing.assert_allclose(ours.get_forces(), bundled.get_forces(), atol=2e-5)
            assert ours.get_potential_energy() == pytest.approx(bundled.get_potential_energy(), abs=2e-5)
