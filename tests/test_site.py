"""The site that `make docs` makes: every link of it leads somewhere."""

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from PIL import Image

import zstruct
from tests.chromium import executable
from tests.test_docs import loaded

ROOT = Path(__file__).parents[1]
PLACES = {"a": "href", "img": "src", "link": "href", "script": "src"}


class Page(HTMLParser):
    """Where a page leads, and what places there are in it."""

    def __init__(self, path):
        super().__init__()
        self.links, self.places, self.path = [], {""}, path
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        said = dict(attributes)
        self.places.update(said[name] for name in ("id", "name") if said.get(name))
        if said.get(PLACES.get(tag)):
            self.links.append(said[PLACES[tag]])

    def broken(self, pages):
        """Return the links that lead nowhere."""
        for link in self.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (self.path.parent / unquote(parts.path)).resolve() if parts.path else self.path
            known = pages.get(target)
            if not target.is_file() or (known and unquote(parts.fragment) not in known.places):
                yield link


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, made anew, without a warning."""
    for package in ("sphinx", "myst_nb", "furo", "sphinx_copybutton"):
        pytest.importorskip(package)
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(ROOT / "docs"), str(out)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return out


@pytest.mark.long
def test_every_link_of_the_site_leads_somewhere(site):
    paths = [path for path in site.rglob("*.html") if "_static" not in path.parts]
    pages = {path.resolve(): Page(path.resolve()) for path in paths}
    broken = {str(path): found for path, page in pages.items() if (found := sorted(set(page.broken(pages))))}
    assert broken == {}
    n_links = sum(len(page.links) for page in pages.values())
    assert len(pages) > 30
    assert n_links > 1000


@pytest.mark.long
def test_pictures_can_be_drawn_again(tmp_path):
    pytest.importorskip("matplotlib")
    if executable() is None:
        pytest.skip("there is no Chromium")
    loaded(ROOT / "docs" / "make_pictures.py").main(tmp_path)
    assert len([*tmp_path.iterdir()]) == 8
    for made in tmp_path.iterdir():
        with Image.open(made) as new, Image.open(ROOT / "docs" / "pictures" / made.name) as kept:
            assert new.size == kept.size, made.name


@pytest.mark.long
def test_notebooks_are_shown_with_what_they_draw(site):
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        page = Page(site / "notebooks" / f"{notebook.stem}.html")
        assert any("_images/" in link for link in page.links), notebook


@pytest.mark.long
@pytest.mark.parametrize("width", [1280, 375])
def test_pages_are_no_wider_than_the_screen(site, browser, width):
    wide = {}
    for path in sorted(site.rglob("*.html")):
        if path.parts[-2] in ("_static", "_modules") or "_modules" in path.parts:
            continue
        page = browser.page(path, width)
        asked, shown = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        page.close()
        if asked > shown:
            wide[path.name] = asked
    assert wide == {}


@pytest.mark.long
@pytest.mark.parametrize("name", ["index", "migrating", "api"])
def test_a_page_on_a_phone_has_its_heading_in_view(site, browser, tmp_path, name):
    page = browser.page(site / f"{name}.html", 375, 812)
    box = page.evaluate("document.querySelector('h1').getBoundingClientRect().toJSON()")
    assert 0 <= box["left"] < box["right"] <= 375
    assert 0 <= box["top"] < box["bottom"] <= 812
    page.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 10_000  # an empty one has 3 kB
    page.close()


def test_a_broken_link_is_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<a href="b.html#there">b</a><a href="b.html#gone">b</a><img src="no.svg">'
    )
    (tmp_path / "b.html").write_text(
        '<p id="there"><a href="https://example.org/x">x</a><a href="#there">y</a>'
    )
    pages = {path: Page(path) for path in sorted(tmp_path.resolve().glob("*.html"))}
    assert [list(page.broken(pages)) for page in pages.values()] == [["b.html#gone", "no.svg"], []]


def test_the_citation_is_of_this_version():
    said = (ROOT / "CITATION.cff").read_text().splitlines()
    assert f"version: {zstruct.__version__}" in said


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("np.int64", "https://numpy.org/doc/stable/reference/arrays.scalars.html#numpy.int64"),
        ("NDArray", "https://numpy.org/doc/stable/reference/typing.html#numpy.typing.NDArray"),
        ("os.PathLike", "https://docs.python.org/3/library/os.html#os.PathLike"),
        (
            "xarray.core.dataset.Dataset",
            "https://docs.xarray.dev/en/stable/generated/xarray.Dataset.html",
        ),
        ("Recipe", None),
    ],
)
def test_types_of_others_lead_to_their_pages(written, url):
    pytest.importorskip("sphinx")
    others = loaded(ROOT / "docs" / "others.py")
    assert others.address(others.whole(written)) == url


def test_tables_of_the_interface_have_what_its_pages_document(tmp_path):
    pytest.importorskip("sphinx")
    api_pages = loaded(ROOT / "docs" / "api_pages.py")
    page = tmp_path / "page.md"
    page.write_text("# A\n\n## B\n\n.. autofunction:: b.c\n\n.. autoclass:: b.D\n   :members:\n\n## E\n")
    assert api_pages.parts(page) == {"B": ["b.c", "b.D"], "E": []}
    page.write_text(".. autoexception:: b.F\n")
    assert api_pages.parts(page) == {"": ["b.F"]}
    assert "   b.F\n" in api_pages.tables(page)
