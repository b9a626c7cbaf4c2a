"""What both pages draw with: ticks, the key of colours, the picture, of columns and structures by hand."""

import json

import pytest

from zstruct.reporting.scripts import STYLE, asset, look_module, report_script

SCATTER = """(({{columns, color}}) => {{
  const canvas = () => {{
    const made = document.createElement("canvas");
    return document.body.appendChild(made), made.style.width = "600px", made.style.height = "400px", made;
  }};
  const given = columns.map((one) => ({{ label: "", ...one, values: one.values.map((x) => x ?? NaN) }}));
  const n = given[0].values.length, none = () => {{}};
  const scatter = new look.Scatter(canvas(), canvas(), {{ n, columns: given }}, none, none);
  scatter.show(0, 1, color);
  const key = document.createElement("div");
  look.legend(key, scatter.color);
  const [x, y] = [scatter.x, scatter.y].map((scale) => scale.ticks(6).map(([, text]) => text));
  const words = [...key.children].map((one) => one.textContent);
  return {{ x, y, drawn: scatter.drawn, key: words, lost: look.undrawn(n - scatter.drawn, scatter) }};
}})({given})"""


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    """A page with what draws, as ``look``."""
    file = tmp_path_factory.mktemp("look") / "look.html"
    script = look_module().replace("export {", "window.look = {")
    file.write_text(
        f"<!DOCTYPE html><meta charset=utf-8><style>{asset(STYLE)}</style><script>{script}</script>"
    )
    opened = browser.page(file)
    yield opened
    assert opened.faults() == []
    opened.close()


def drawn(page, *columns, color=-1):
    return page.evaluate(SCATTER.format(given=json.dumps({"columns": columns, "color": color})))


def numbers(*values, **others):
    return {"values": values, **others}


def test_values_that_hardly_differ_have_ticks_that_do(page):
    seen = drawn(page, numbers(-15850.25, -15850.25 - 2e-9), numbers(5.1, 5.1 + 1e-15))
    for ticks in (seen["x"], seen["y"]):
        assert 2 <= len(ticks) <= 8
        assert len(set(ticks)) == len(ticks)
    assert seen["drawn"] == 2


@pytest.mark.parametrize(
    ("values", "log", "ticks"),
    [
        ([2, 7.5], True, ["2", "3", "4", "5", "6", "7"]),
        ([0.1, 1000], True, ["0.1", "1", "10", "100", "1,000"]),
        ([1, 20], True, ["1", "2", "5", "10", "20"]),
        ([3, 3], False, ["3"]),
        ([1, 4], False, ["1", "2", "3", "4"]),
        ([0, 1e6], False, ["0", "200,000", "400,000", "600,000", "800,000", "1,000,000"]),
        ([-2e-7, 2e-7], False, ["-2e-7", "-1e-7", "0", "1e-7", "2e-7"]),
        ([None, None], False, []),
    ],
)
def test_ticks_are_round_and_whole_numbers_are_counted(page, values, log, ticks):
    seen = drawn(page, numbers(*values, log=log), numbers(1, 2))["x"]
    assert [text.replace("-", "\N{MINUS SIGN}") for text in ticks] == seen


def test_thousands_of_texts_have_a_few_ticks_and_a_short_key(page):
    texts = [f"text {k}" for k in range(5000)]
    seen = drawn(page, numbers(0, 4999, texts=texts), numbers(1, 2), color=0)
    assert 2 <= len(seen["x"]) <= 6
    assert len(seen["key"]) == 25
    assert seen["key"][-1] == "and 4,976 more, by the same colours"


def test_the_key_has_values_that_there_are_and_says_what_has_none(page):
    assert drawn(page, numbers(1, 2, 3), numbers(0, 0.5, 2), color=1)["key"] == ["0", "1", "2"]
    seen = drawn(page, numbers(1, 2, None, 4), numbers(0, 1, 100, None, log=True), color=1)
    assert seen["key"] == ["1", "10", "100", "none, or not above 0"]
    assert (
        seen["lost"] == "Not drawn: 3 without these values, or without any above 0 along a logarithmic axis."
    )
    assert drawn(page, numbers(1, 2), numbers(7, 7), color=1)["key"] == ["7"]
    assert drawn(page, numbers(1, 2), numbers(None, None), color=1)["key"] == ["none"]


def viewed(page, n, side, repeats=1, edge=3.0):
    """Return what a viewer draws of `n` hydrogen atoms on a cubic lattice in a periodic cube."""
    return page.evaluate(
        f"""((n, side, repeats) => {{
          const canvas = document.body.appendChild(document.createElement("canvas"));
          const viewer = new look.Viewer(canvas, {{ 1: {{ radius: 0.31, color: [255, 255, 255] }} }});
          const row = Math.ceil(Math.cbrt(n)), positions = [];
          for (let k = 0; k < n; k++)
            positions.push(k % row, Math.floor(k / row) % row, Math.floor(k / row / row));
          viewer.repeats = repeats;
          viewer.set({{ numbers: new Uint8Array(n).fill(1), positions: positions.map((x) => {edge} * x),
                       cell: [side, 0, 0, 0, side, 0, 0, 0, side], periodic: 7, forces: null }});
          const {{ center, reach, whole }} = viewer.all, pen = canvas.getContext("2d");
          const ink = pen.getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean);
          const [atoms, bonds] = [canvas.dataset.atoms, canvas.dataset.bonds].map(Number);
          return {{ center, reach, whole, ink, atoms, bonds }};
        }})({n}, {side}, {repeats})"""
    )


def test_a_molecule_in_a_wide_cell_is_no_speck(page):
    near, wide = viewed(page, 8, 6), viewed(page, 8, 600)
    assert (near["center"], near["reach"]) == ([3, 3, 3], near["whole"])
    assert wide["center"] == [1.5, 1.5, 1.5]
    assert wide["reach"] < 10 < 1000 < wide["whole"]


def test_cells_are_repeated_as_far_as_there_is_room(page):
    assert viewed(page, 2, 6, repeats=3)["atoms"] == 2 * 27
    assert viewed(page, 10_000, 70, repeats=3)["atoms"] == 8 * 10_000
    assert viewed(page, 60_000, 130, repeats=3)["atoms"] == 60_000


def test_bonds_are_drawn_of_few_atoms_and_many_are_drawn_all_the_same(page):
    assert viewed(page, 8, 6, edge=0.7)["bonds"] == 12
    many = viewed(page, 100_000, 141)
    assert (many["atoms"], many["bonds"], many["ink"]) == (100_000, 0, True)


def test_the_module_gives_what_the_script_of_reports_has():
    for name in ("drawing.js", "scatter.js", "viewer.js"):
        assert asset(name) in look_module()
        assert asset(name) in report_script()
