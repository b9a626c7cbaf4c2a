"""Which structures cover a store: chosen by where they lie in the space of stored features.

A structure is a vector there (`vectors`). `farthest` and `leverage` choose among vectors, and `samplings` are
what users ask for. Nothing is known here of expressions.
"""

from __future__ import annotations
