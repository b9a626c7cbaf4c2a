"""Results that are read by attribute, and by name as mappings are: ``found.energy`` is ``found["energy"]``.

For dataclasses; what is in them is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, ClassVar

from zstruct.arguments import shown
from zstruct.errors import UnknownNameError

__all__ = ["Record"]


class Record:
    """Reads a dataclass as a mapping of its fields, and of those properties that it names.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Pair(Record):
    ...     a: int
    ...     b: int
    >>> pair = Pair(1, 2)
    >>> pair["a"], dict(pair), "c" in pair
    (1, {'a': 1, 'b': 2}, False)
    """

    #: Properties that are read by name as fields are.
    also: ClassVar[tuple[str, ...]] = ()

    def keys(self) -> tuple[str, ...]:
        """Return the names there are: ``dict(found)`` works."""
        return (*(field.name for field in fields(self)), *self.also)  # type: ignore[arg-type]

    def __getitem__(self, name: str) -> Any:
        if not isinstance(name, str) or name not in self.keys():
            raise UnknownNameError(f"there is no {shown(name)} here; there are {', '.join(self.keys())}")
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def __contains__(self, name: object) -> bool:
        return name in self.keys()

    def items(self) -> list[tuple[str, Any]]:
        """Return names with what they stand for."""
        return [(name, getattr(self, name)) for name in self.keys()]

    def values(self) -> list[Any]:
        """Return what the names stand for."""
        return [value for _, value in self.items()]

    def get(self, name: str, default: Any = None) -> Any:
        """Return what a name stands for, or the default if there is no such name."""
        return getattr(self, name) if name in self.keys() else default
