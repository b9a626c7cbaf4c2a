"""Where structures first came from: what a store said when they left it, they bring along.

Atoms taken out of a store carry the input and the frame they were built from under keys of their
own, `zstruct.schema.PROVENANCE`. Here these become the provenance of the store that is built of them.
"""

from __future__ import annotations

import numpy as np

from zstruct.ragged import Packed, by_appearance
from zstruct.schema import FIELDS, PROVENANCE, STRUCTURE

__all__ = ["restore_provenance"]


def restore_provenance(packed: Packed) -> None:
    """Replace source and frame of the structures of a block by those that they brought along.

    Only where a structure has both; other properties of these names are left as they are.
    """
    kinds = {name: FIELDS[name].kind for name in PROVENANCE}
    brought = {name: packed.fields.get(key) for name, key in PROVENANCE.items()}
    for name, field in brought.items():
        if field is None or (field.level, field.kind, field.shape) != (STRUCTURE, kinds[name], ()):
            return
    here = np.ones(len(packed), dtype=bool)
    for key in PROVENANCE.values():
        here &= packed.present.get(key, True)
    codes, texts = packed.columns[PROVENANCE["source"]], packed.categories[PROVENANCE["source"]]
    index = {text: code for code, text in enumerate(packed.categories["source"])}
    places = np.array([index.setdefault(text, len(index)) for text in texts], dtype=np.int32)
    sources = np.where(here, places[codes], packed.columns["source"])
    # Texts in the order in which structures bring them, and none that no structure has any more.
    used, first, back = np.unique(sources, return_index=True, return_inverse=True)
    order, packed.columns["source"] = by_appearance(first, back)
    known = list(index)
    packed.categories["source"] = [known[k] for k in used[order].tolist()]
    packed.columns["frame"] = np.where(here, packed.columns[PROVENANCE["frame"]], packed.columns["frame"])
    for key in PROVENANCE.values():
        for table in (packed.columns, packed.fields, packed.present, packed.categories):
            table.pop(key, None)
