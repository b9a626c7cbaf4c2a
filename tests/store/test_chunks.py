"""How many rows chunks and shards have."""

from hypothesis import given
from hypothesis import strategies as st

from zstruct.store.chunks import choose_grid


@given(st.integers(0, 10**10), st.integers(1, 10**7), st.sampled_from(["atom", "structure"]))
def test_chunk_grid_is_bounded_and_nests(n_rows, row_bytes, level):
    grid = choose_grid(n_rows, row_bytes, level)
    assert 1 <= grid.chunk_rows <= grid.shard_rows
    assert grid.shard_rows % grid.chunk_rows == 0
    assert grid.shard_rows // grid.chunk_rows <= 16
    assert grid.chunk_rows * row_bytes <= 2 << 20 or grid.chunk_rows == 1
    assert grid.shard_rows <= max(1, n_rows) + grid.chunk_rows
