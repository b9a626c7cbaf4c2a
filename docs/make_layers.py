"""Draw ``docs/layers.svg``, who may import whom, from the contracts in ``pyproject.toml``.

    python docs/make_layers.py

A test fails when the drawing and the contracts differ.
"""

import tomllib
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("layers.svg")
PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"

WIDTH, LEFT, RIGHT, TOP = 760, 64, 736, 24
ROW, STEP, GAP = 38, 48, 8
LETTER, SMALL_LETTER = 8.5, 7.0  # widths, of a name and of a mark

HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"
  aria-labelledby="title desc">
<!-- Written by docs/make_layers.py from pyproject.toml; don't edit. -->
<title id="title">Who may import whom</title>
<desc id="desc">{desc}</desc>
<style>
.card {{ fill: #ffffff; stroke: #d0d7de; }}
.box {{ fill: #eaf1f8; stroke: #9db7d1; }}
.name {{ fill: #1f2937; font: 600 14px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }}
.mark {{ fill: #fff4d6; stroke: #d9a520; }}
.library {{ fill: #6b4e00; font: 600 10.5px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }}
.axis {{ stroke: #6b7280; fill: none; }}
.tip {{ fill: #6b7280; }}
.note {{ fill: #6b7280; font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }}
@media (prefers-color-scheme: dark) {{
.card {{ fill: #14181d; stroke: #30363d; }}
.box {{ fill: #1d2b3a; stroke: #45617d; }}
.name {{ fill: #e6edf3; }}
.mark {{ fill: #3a2f10; stroke: #8a6d1f; }}
.library {{ fill: #f2d58a; }}
.axis {{ stroke: #9aa4af; }}
.tip, .note {{ fill: #9aa4af; }}
}}
</style>
<rect class="card" x="0.5" y="0.5" width="{inner_width}" height="{inner_height}" rx="10"/>
"""


def contracts() -> list[dict[str, Any]]:
    """Return the contracts."""
    found: list[dict[str, Any]] = tomllib.loads(PYPROJECT.read_text())["tool"]["importlinter"]["contracts"]
    return found


def layers() -> list[list[str]]:
    """Return the modules of every layer, the highest first."""
    (contract,) = (each for each in contracts() if each.get("containers") == ["zstruct"])
    return [[name.strip() for name in layer.split("|")] for layer in contract["layers"]]


def libraries() -> dict[str, list[str]]:
    """Return the libraries that only some modules may import, by the parts of the package these are in."""
    found: dict[str, list[str]] = {}
    for contract in contracts():
        if contract["type"] != "protected":
            continue
        for importer in contract["allowed_importers"]:
            marks = found.setdefault(importer.split(".")[1], [])
            marks += [name for name in contract["protected_modules"] if name not in marks]
    return found


def page() -> str:
    """Return the drawing."""
    rows, marks = layers(), libraries()
    height = TOP + len(rows) * STEP + 58
    text = "; ".join(", ".join(row) for row in rows)
    lines = [
        HEAD.format(
            width=WIDTH,
            height=height,
            inner_width=WIDTH - 1,
            inner_height=height - 1,
            desc=f"The layers of zstruct, the highest first; each imports lower ones only: {text}.",
        )
    ]
    bottom = TOP + len(rows) * STEP - (STEP - ROW)
    lines.append(f'<path class="axis" d="M40 {TOP}V{bottom - 8}"/>')
    lines.append(f'<path class="tip" d="M35 {bottom - 9}h10l-5 9z"/>')
    middle = (TOP + bottom) / 2
    turned = f'transform="rotate(-90 26 {middle:g})"'
    lines.append(
        f'<text class="note" x="26" y="{middle:g}" text-anchor="middle" {turned}>imports go downwards</text>'
    )
    for at, row in enumerate(rows):
        needed = [_content(name, marks.get(name, [])) for name in row]
        spare = (RIGHT - LEFT - GAP * (len(row) - 1) - sum(needed)) / len(row)
        x = float(LEFT)
        for name, content in zip(row, needed, strict=True):
            lines += _box(name, x, TOP + at * STEP, content + spare, marks.get(name, []))
            x += content + spare + GAP
    y = bottom + 30
    apart = "Parts side by side do not import each other."
    alone = "Only the parts that are marked so import this library."
    lines.append(f'<text class="note" x="{LEFT}" y="{y}">{apart}</text>')
    lines += _marks(["torch"], LEFT, y + 11)
    x = LEFT + _width("torch") + 8
    lines.append(f'<text class="note" x="{x:g}" y="{y + 24}">{alone}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def _content(name: str, marks: list[str]) -> float:
    """Return the width of a name and its libraries."""
    return LETTER * len(name) + sum(_width(mark) + 6 for mark in marks)


def _box(name: str, x: float, y: int, width: float, marks: list[str]) -> list[str]:
    """Draw a part of the package, with its libraries at the right of its name."""
    start = x + (width - _content(name, marks)) / 2
    middle = start + LETTER * len(name) / 2
    rect = f'<rect class="box" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW}" rx="6"/>'
    text = f'<text class="name" x="{middle:.1f}" y="{y + 24}" text-anchor="middle">{name}</text>'
    return [rect, text, *_marks(marks, start + LETTER * len(name) + 8, y + 11)]


def _marks(names: list[str], x: float, y: int) -> list[str]:
    lines = []
    for name in names:
        width = _width(name)
        lines.append(f'<rect class="mark" x="{x:.1f}" y="{y}" width="{width}" height="16" rx="8"/>')
        place = f'x="{x + width / 2:.1f}" y="{y + 11.8:g}" text-anchor="middle"'
        lines.append(f'<text class="library" {place}>{name}</text>')
        x += width + 6
    return lines


def _width(mark: str) -> float:
    return round(SMALL_LETTER * len(mark) + 12, 1)


if __name__ == "__main__":
    PAGE.write_text(page())
