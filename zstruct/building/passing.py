"""What an index has of rows on their way into a store: worked out as they pass, a file for each shard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from zstruct.building.fields import PlannedField
from zstruct.building.markers import marker_of
from zstruct.building.plan import Plan
from zstruct.building.publication import Target
from zstruct.indexing.passing import Passed, Passing, passing_quantity
from zstruct.query.quantities import Quantity
from zstruct.schema import ATOM

__all__ = ["file_of", "passed", "passing"]


def file_of(marker: Path) -> Path:
    """Return what a shard leaves behind, given its marker."""
    return marker.with_suffix(".npy")


def passing(plan: Plan, planned: PlannedField, start: int, stop: int) -> Passing | None:
    """Return what looks at rows of a field on their way into a shard; None: nothing does."""
    quantity = _quantity(planned)
    if quantity is None:
        return None
    return Passing(quantity, plan.offsets if quantity.level == ATOM else None, start, stop)


def passed(plan: Plan, target: Target) -> Iterator[Passed]:
    """Yield what shards have left, as far as the last ones of a field all have."""
    for planned in plan.fields:
        quantity = _quantity(planned)
        if quantity is None:
            continue
        spec, files = plan.spec(planned), {}
        for k in reversed(range(spec.grid.n_shards(spec.shape[0]))):
            file = file_of(marker_of(target.encoded, planned.field.name, k))
            if not file.exists():
                break
            files[k] = file
        if files:
            offsets = plan.offsets if quantity.level == ATOM else None
            yield Passed(quantity, offsets, spec.shape[0], spec.grid.shard_rows, files)


def _quantity(planned: PlannedField) -> Quantity | None:
    return None if planned.is_presence else passing_quantity(planned.field.name)
