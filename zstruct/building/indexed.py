"""The index of a store that is built: what the indexes of stores among the inputs have is taken from them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from zstruct.building.fields import PlannedField
from zstruct.building.passing import passed
from zstruct.building.plan import Plan
from zstruct.building.publication import Target
from zstruct.building.stored_blocks import StoredBlock
from zstruct.indexing.columns import Indexed, write_columns
from zstruct.progress import Runner
from zstruct.query.index import NAME, Index, index_of, indexed
from zstruct.query.quantities import QUANTITIES
from zstruct.store.grown import GrownStore
from zstruct.store.metadata import group_document, write_document
from zstruct.store.spec import INDEX
from zstruct.store.write import show_groups

__all__ = ["put_index"]


def put_index(target: Target, plan: Plan, runner: Runner) -> None:
    """Put the index of a store that is whole into it; one of a store that grows has what its index had.

    Of one that is behind a URL, whose index lacks something, nothing is read to complete it: the next version
    has none.

    Parameters
    ----------
    target
        Where the store is made.
    plan
        What is in it.
    runner
        Where tasks run.
    """
    made, folder, known = plan.made(target.store), target.groups / INDEX, list(_known(plan))
    before = known[0].columns if plan.grows and known and known[0].start == 0 else frozenset()
    also = tuple(sorted(before))
    if isinstance(made, GrownStore) and not before >= {*indexed(made, also)}:
        return
    written = write_columns(
        made,
        folder,
        runner,
        also=also,
        known=[*known, *passed(plan, target)],
        links=plan.grows,
        durable=False,
    )
    if written:
        write_document(target.store / INDEX, group_document({}), durable=False)
        os.replace(folder, target.store / INDEX / NAME)
        show_groups(target.store, INDEX)  # whoever publishes the store waits for the disk


def _known(plan: Plan) -> Iterator[Indexed]:
    """Yield what indexes of other stores say of structures of this one."""
    if plan.order_file is not None:
        return
    fields = {planned.original: planned for planned in plan.fields if not planned.is_presence}
    edges = plan.structure_edges.tolist()
    indexes: dict[str, Index | None] = {}
    for block, start, stop in zip(plan.blocks, edges[:-1], edges[1:], strict=True):
        if isinstance(block, StoredBlock):
            store = block.source.store
            if store.path not in indexes:
                indexes[store.path] = index_of(store)
            index = indexes[store.path]
            if index is not None and (columns := _same(block, index, fields)):
                yield Indexed(start, stop, Index(index.store, columns), block.chosen)


def _same(block: StoredBlock, index: Index, fields: Mapping[str, PlannedField]) -> frozenset[str]:
    """Return the columns of an index that are worked out from rows that become rows as they are."""

    def is_kept(name: str) -> bool:
        column = block.source.columns.get(name)
        planned = fields.get(name)
        if column is None or planned is None:
            return column is None and planned is None
        here, there = column.field, planned.field
        same = (here.dtype, here.unit, here.kind, here.level) == (
            there.dtype, there.unit, there.kind, there.level,
        )  # fmt: skip
        return same and column.array == name == there.name and not column.floats

    rows = {name: QUANTITIES[name] for name in index.columns}
    return frozenset(name for name, row in rows.items() if all(map(is_kept, (*row.needs, *row.also))))
