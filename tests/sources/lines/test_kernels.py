"""Kernels of lines: what Python runs and what is compiled give the same, and that is right."""

import numpy as np
import pytest

from tests.jit.both import both
from zstruct.jit.kernel import compiled_always
from zstruct.sources.lines import kernels
from zstruct.sources.lines.rows import ELEMENT, INTEGER, REAL, SKIP, TEXT, coded, read_rows
from zstruct.sources.lines.windows import Keys, Window

KEYS = Keys(("ITEM: TIMESTEP", "ITEM: NUMBER OF ATOMS", "end"), alone=("end",), ignored="#")


def text_of(text):
    return np.frombuffer(text.encode() + b"\n" * kernels.PAD, np.uint8).copy()


def runs_of(text, final=True):
    data = text_of(text)

    def run(index):
        rows = np.zeros((20, 4), np.int64)
        n, p, lines = index(data, 0, len(text), final, *KEYS._table, rows)
        return rows[:n].tolist(), p, lines

    interpreted, compiled = both(run, kernels.index_runs)
    assert interpreted == compiled
    return interpreted


def test_runs_of_lines():
    text = "1 2\n3 4\n\n# x\n ITEM: TIMESTEP\r\nITEM: TIMESTEPS\nend\n"
    text += "end it\nendless\nITEM: NUMBER OF ATOMS\nx"
    rows, p, lines = runs_of(text)
    codes = [(code, n, before) for code, _, n, before in rows]
    assert codes == [
        (1, 2, 0), (0, 2, 2), (2, 1, 4), (1, 1, 5), (4, 1, 6), (4, 1, 7), (1, 1, 8), (3, 1, 9), (1, 1, 10),
    ]  # fmt: skip
    assert [text[place] for _, place, _, _ in rows] == list("1\n IeeeIx")
    assert (p, lines) == (len(text), 11)
    rows, p, lines = runs_of(text, final=False)
    assert (len(rows), p, lines) == (8, len(text) - 1, 10)


def test_more_runs_than_there_is_room_for():
    text = "end\n" * 500 + "x\n" * 500
    runs, p = KEYS.runs(text_of(text), 0, len(text), True)
    assert p == len(text)
    assert len(runs) == 501
    assert runs[-1].tolist() == [1, 2000, 500, 500]


def window_of(text):
    data = text_of(text)
    runs, stop = KEYS.runs(data, 0, len(text), True)
    return Window(data, stop, runs, np.array([0, len(runs)]), 0, 0, True)


@pytest.mark.parametrize("compiled", [False, True])
def test_rows(compiled):
    window = window_of("7 Ti -0.5 1e-3 any\n8 o 3 4 thing\r\nend\n9 H 1 2 any\n")
    steps = [(INTEGER, 1), (ELEMENT, 1), (REAL, 2), (TEXT, 1)]
    runs = np.array([0, 2])
    if compiled:
        with compiled_always():
            (ids, numbers, reals, spans), fine = read_rows(window, runs, steps)
    else:
        (ids, numbers, reals, spans), fine = read_rows(window, runs, steps)
    assert fine.all()
    assert ids.tolist() == [7, 8, 9]
    assert numbers.tolist() == [22, 8, 1]
    assert reals.tolist() == [[-0.5, 1e-3], [3.0, 4.0], [1.0, 2.0]]
    codes, texts = coded(window, spans)
    assert [texts[c] for c in codes] == ["any", "thing", "any"]


@pytest.mark.parametrize(
    "line", ["1 2", "1 2 3 4", "1 x 3", "1 2 Xx", "1 2 X", "1.5 2 H", "1 2 \xe4", "1 2_0 H"]
)
def test_what_is_odd(line):
    window = window_of(f"1 2 H\n1 2 H\nend\n1 2 H\n{line}\nend\n2 2 H\n")
    (ids, _, _), fine = read_rows(window, np.array([0, 2, 4]), [(INTEGER, 1), (REAL, 1), (ELEMENT, 1)])
    assert fine.tolist() == [True, False, True]
    assert ids[[0, 1, -1]].tolist() == [1, 1, 2]


def test_lines_that_are_longer_than_words_at_once():
    numbers = [0.1 * k for k in range(40)]
    window = window_of(" ".join(map(repr, numbers)) + " x" * 100 + "\n")
    (rows,), fine = read_rows(window, np.array([0]), [(REAL, 40), (SKIP, 100)])
    assert fine.all()
    assert rows[0].tolist() == numbers
