"""Draw ``docs/pictures/packed.svg``: structures of different sizes end to end, and how each is found.

python docs/make_packed.py
"""

from pathlib import Path

PAGE = Path(__file__).with_name("pictures") / "packed.svg"

STRUCTURES = {"H₂O": [8, 1, 1], "H₂": [1, 1], "CH₄": [6, 1, 1, 1, 1]}
OF_STRUCTURES = {
    "energy": ["-14.2", "-6.8", "-24.0"],
    "config_type": ["liquid", "gas", "gas"],
    "n_atoms": ["3", "2", "5"],
}
OF_ATOMS = ("numbers", "positions", "forces")

LEFT, CELL, ROW, STEP = 150, 56, 28, 34
WIDTH, HEIGHT = 760, 392
WIDE = 150  # of a structure's value

HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"
  aria-labelledby="title desc">
<!-- Written by docs/make_packed.py; don't edit. -->
<title id="title">Structures in a store</title>
<desc id="desc">{desc}</desc>
<style>
.card {{ fill: #ffffff; stroke: #d0d7de; }}
.s0 {{ fill: #dbe9f6; stroke: #6b94bd; }}
.s1 {{ fill: #fff0c2; stroke: #c69a26; }}
.s2 {{ fill: #dcf0dd; stroke: #6aa56d; }}
.name {{ fill: #1f2937; font: 600 14px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }}
.value {{ fill: #1f2937; font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }}
.note {{ fill: #57606a; font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }}
.line {{ stroke: #8a94a0; fill: none; }}
@media (prefers-color-scheme: dark) {{
.card {{ fill: #14181d; stroke: #30363d; }}
.s0 {{ fill: #1d2f42; stroke: #5f87ae; }}
.s1 {{ fill: #40340f; stroke: #a88322; }}
.s2 {{ fill: #1b3520; stroke: #568c5a; }}
.name, .value {{ fill: #e6edf3; }}
.note {{ fill: #9aa4af; }}
.line {{ stroke: #6b7681; }}
}}
</style>
<rect class="card" x="0.5" y="0.5" width="{inner_width}" height="{inner_height}" rx="10"/>
"""
DESC = (
    "Arrays over structures, such as energy, have one value for each of three molecules. Arrays over atoms,"
    " such as numbers, positions and forces, have the atoms of all molecules end to end, 3, then 2, then 5."
    " Offsets 0, 3, 5 and 10 say where each begins and ends."
)


def text(x: float, y: float, words: str, kind: str = "value", anchor: str = "middle") -> str:
    """Return some words."""
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{words}</text>'


def box(x: float, y: float, width: float, of: int) -> str:
    """Return a cell of a structure."""
    return f'<rect class="s{of}" x="{x:g}" y="{y:g}" width="{width:g}" height="{ROW}"/>'


def page() -> str:
    """Return the drawing."""
    size = {"width": WIDTH, "height": HEIGHT, "inner_width": WIDTH - 1, "inner_height": HEIGHT - 1}
    lines = [HEAD.format(desc=DESC, **size)]
    y = 40
    starts = [LEFT + i * (WIDE + 55) for i in range(len(STRUCTURES))]
    for of, name in enumerate(STRUCTURES):
        lines.append(text(starts[of] + WIDE / 2, y - 12, f"structure {of}: {name}", "note"))
    for name, values in OF_STRUCTURES.items():
        lines.append(text(LEFT - 14, y + 19, name, "name", "end"))
        for of, value in enumerate(values):
            lines += [box(starts[of], y, WIDE, of), text(starts[of] + WIDE / 2, y + 19, value)]
        y += STEP
    top, y = y - STEP + ROW, y + 54
    atom = 0
    edges = [0]
    for of, numbers in enumerate(STRUCTURES.values()):
        for end, x in ((0, starts[of]), (len(numbers), starts[of] + WIDE)):
            lines.append(f'<path class="line" d="M{x:g} {top}L{LEFT + (atom + end) * CELL:g} {y}"/>')
        for number in numbers:
            for k, name in enumerate(OF_ATOMS):
                said = str(number) if name == "numbers" else "x y z"
                x = LEFT + atom * CELL
                lines += [box(x, y + k * STEP, CELL, of), text(x + CELL / 2, y + k * STEP + 19, said)]
            atom += 1
        edges.append(atom)
    for k, name in enumerate(OF_ATOMS):
        lines.append(text(LEFT - 14, y + k * STEP + 19, name, "name", "end"))
    y += len(OF_ATOMS) * STEP + 8
    lines.append(text(LEFT - 14, y + 28, "offsets", "name", "end"))
    for edge in edges:
        x = LEFT + edge * CELL
        lines += [f'<path class="line" d="M{x} {y - 10}V{y + 12}"/>', text(x, y + 28, str(edge))]
    words = "atoms of structure i: rows offsets[i] to offsets[i + 1], without padding"
    lines.append(text(LEFT + atom * CELL / 2, y + 62, words, "note"))
    return "\n".join([*lines, "</svg>"]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
