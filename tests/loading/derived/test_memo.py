"""What was computed is kept: as many structures as said, the latest, each computed once."""

import os
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zstruct.loading.derived.memo import Memo


class Squares:
    """Computes squares of structures' indices, and counts how many."""

    def __init__(self, structures):
        self.structures, self.computed = structures, 0

    def __call__(self, missing):
        self.computed += len(missing)
        return [(np.array(i * i),) for i in self.structures[missing].tolist()]


@given(st.lists(st.lists(st.integers(0, 9), max_size=12), max_size=8), st.integers(1, 12))
def test_any_requests_get_what_was_computed(requests, most):
    memo = Memo(most)
    for request in requests:
        structures = np.array(request, dtype=np.int64)
        found = memo.through(structures, Squares(structures))
        assert [int(square) for (square,) in found] == [i * i for i in request]
        assert len(memo) <= most


def test_nothing_is_computed_twice_while_it_is_kept():
    memo, structures = Memo(True), np.array([4, 7, 4, 1])

    first, second = Squares(structures), Squares(structures)
    memo.through(structures, first)
    memo.through(structures, second)

    assert (first.computed, second.computed, len(memo)) == (3, 0, 3)


def test_those_used_longest_ago_go_first():
    memo = Memo(2)
    for structure in (1, 2, 1, 3):
        memo.through(np.array([structure]), Squares(np.array([structure])))

    kept, gone = Squares(np.array([1])), Squares(np.array([2]))
    memo.through(np.array([1]), kept)
    memo.through(np.array([2]), gone)

    assert (kept.computed, gone.computed) == (0, 1)


def test_another_process_begins_with_nothing():
    memo = Memo(5)
    memo.through(np.array([1]), Squares(np.array([1])))

    assert (len(memo), len(pickle.loads(pickle.dumps(memo)))) == (1, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_forked_while_a_thread_is_at_it_goes_on():
    memo = Memo(5)
    with memo._lock:  # as a thread of the parent would hold it
        pid = os.fork()
        if pid == 0:
            found = memo.through(np.array([3]), Squares(np.array([3])))
            os._exit(0 if found == [(9,)] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
