"""Stores made by hand, as the tests of loading have them."""

from tests.loading.conftest import featured, make_store, plain, small_chunks, source

__all__ = ["featured", "make_store", "plain", "small_chunks", "source"]
