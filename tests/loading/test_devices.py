"""Devices: sentences about those that are not there, and what is put on those that are."""

from collections import namedtuple

import numpy as np
import pytest

from zstruct.batch.packed import Sample
from zstruct.errors import InputError

torch = pytest.importorskip("torch")

from zstruct.loading.devices import device_of, each_tensor, moved, pinned  # noqa: E402


@pytest.mark.parametrize(
    ("built", "there", "device", "sentence"),
    [
        (False, 0, "cuda", "device 'cuda': this torch was built without CUDA"),
        (True, 0, "cuda:0", "device 'cuda:0': torch finds no CUDA device here"),
        (True, 2, "cuda:2", "device 'cuda:2': there are 2, numbered from 0"),
    ],
)
def test_a_device_that_is_not_there_is_refused(monkeypatch, built, there, device, sentence):
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: built)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    with pytest.raises(InputError, match=sentence):
        device_of(device)


@pytest.mark.parametrize("given", ["gpu", "cpu:x", 1.5])
def test_a_device_that_torch_does_not_know_is_a_sentence(given):
    with pytest.raises(InputError, match=f"device is one that torch has, .*, not {given!r}: "):
        device_of(given)


def test_a_device_that_is_there_is_that_of_torch():
    assert device_of(None) is None
    assert device_of("cpu") == device_of(torch.device("cpu")) == torch.device("cpu")


def test_nested_batches_are_moved_whole():
    Pair = namedtuple("Pair", "left right")
    one = torch.zeros(2)
    sample = Sample({"x": one}, 4, 2, frozenset("x"))
    nested = {"a": [one, (one, "text")], "b": Pair(one, None), "c": sample, "d": np.ones(2), "e": 1}
    there = each_tensor(nested, lambda tensor: tensor.to("meta"))
    assert there["a"][0].device.type == there["a"][1][0].device.type == there["b"].left.device.type == "meta"
    assert (there["a"][1][1], there["b"].right, there["e"]) == ("text", None, 1)
    assert isinstance(there["b"], Pair)
    assert isinstance(there["c"], Sample)
    assert there["c"]["x"].device.type == "meta"
    assert (there["c"].structure, there["c"].n_atoms, there["c"].per_atom) == (4, 2, frozenset("x"))
    assert there["d"] is nested["d"]


class Elsewhere:
    """Stands for a tensor, and records how it is moved."""

    def __init__(self, dtype, asked=()):
        self.dtype, self.asked = dtype, asked

    def pin_memory(self):
        return self

    def to(self, *how, **options):
        dtype = how[0] if isinstance(how[0], torch.dtype) else self.dtype
        return Elsewhere(dtype, (*self.asked, *how))


def test_a_device_without_double_precision_gets_single():
    mps, cuda = torch.device("mps"), torch.device("cuda")
    batch = {"energy": Elsewhere(torch.float64), "forces": Elsewhere(torch.float32)}
    batch["n_atoms"] = Elsewhere(torch.int64)
    there = each_tensor(batch, lambda data: moved(data, mps))
    # First the cast: such a device can't even be sent what is in double precision.
    assert there["energy"].asked == (torch.float32, mps)
    assert there["forces"].asked == there["n_atoms"].asked == (mps,)
    assert moved(Elsewhere(torch.float64), cuda).asked == (cuda,)


def test_a_graph_goes_there_tensor_by_tensor():
    geometric = pytest.importorskip("torch_geometric.data")
    graph = geometric.Data(y=torch.zeros(1, dtype=torch.float64), z=torch.zeros(1, dtype=torch.int64))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zstruct.loading.devices._WITHOUT_DOUBLE", ("meta",))
        there = each_tensor(graph, lambda data: moved(data, torch.device("meta")))
    assert (there.y.dtype, there.z.dtype) == (torch.float32, torch.int64)
    assert there.y.device.type == there.z.device.type == "meta"


def test_what_can_pin_itself_does():
    class Graph:
        def pin_memory(self):
            return "pinned"

    assert pinned(Graph()) == "pinned"
