import numpy as np
import pytest

from zstruct.exporters.lines import Item, written
from zstruct.jit.kernel import compiled_always


@pytest.fixture(params=["as Python runs it", "compiled"])
def both_ways(request):
    if request.param == "compiled":
        with compiled_always():
            yield
    else:
        yield


def test_items_in_their_order(both_ways):
    n_atoms = np.array([2, 0, 1])
    head = [Item(b"<", n_atoms), Item(b" e=", np.array([0.5, -1.0, 1e-7]), b">\n")]
    positions = np.array([[0.1, 0.2], [1.5, 2.5], [3.0, 4.0]])
    atoms = [
        Item(rows=np.array([1, 8, 1]), texts=[b"", b"H", *6 * [b""], b"O"]),
        Item(b" ", positions, separator=b","),
        Item(b" ", np.array([True, False, True]), b"\n"),
    ]
    tail = [Item(b"end\n")]
    lines = written(n_atoms, head, atoms, tail)
    first = "<2 e=0.5>\nH 0.1,0.2 T\nO 1.5,2.5 F\nend\n"
    second = "<0 e=-1.0>\nend\n"
    third = "<1 e=1e-07>\nH 3.0,4.0 T\nend\n"
    assert lines.text.tobytes().decode() == first + second + third
    assert lines.ends.tolist() == np.cumsum([len(first), len(second), len(third)]).tolist()


def test_items_that_some_structures_lack(both_ways):
    n_atoms = np.array([1, 2])
    only = np.array([False, True])
    head = [
        Item(b"a=", np.array([-1, 1]), b" ", present=only, texts=[b"zero", b"one"]),
        Item(b"b=", np.array([np.nan, 7.0], np.float32), b"", present=only),
        Item(b"c", present=~only),
    ]
    atoms = [Item(b"|", np.array([-1, 0, 1]), present=only, texts=[b"x", b"y"])]
    assert written(n_atoms, head, atoms).text.tobytes() == b"ca=one b=7.0|x|y"


def test_texts_of_any_length(both_ways):
    texts = [bytes([97 + k % 26]) * k for k in range(70)]
    lines = written(np.zeros(70, np.int64), [Item(rows=np.arange(70), texts=texts, after=b";")])
    assert lines.text.tobytes().split(b";") == [*texts, b""]


def test_nothing():
    lines = written(np.zeros(0, np.int64), [Item(b"x", np.zeros((0, 3)))], [Item(rows=np.zeros(0, bool))])
    assert len(lines.text) == len(lines.ends) == 0
