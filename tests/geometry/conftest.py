"""Structures as the tests of features have them."""

from tests.features.conftest import built, small, structures

__all__ = ["built", "small", "structures"]
