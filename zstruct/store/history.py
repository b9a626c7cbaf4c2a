"""The history of a store: what was built, appended, cut or rewritten, in steps, from the first to the last.

It is a group of the store with one small array, the UTF-8 bytes of a line of JSON for each step. It says what
came in and what came of it by digests, and knows neither time nor machine. It is no part of the content.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from zstruct.errors import CorruptStoreError
from zstruct.keywords import keywords
from zstruct.store.digests import rows_digest
from zstruct.store.spec import GROUP_VERSION, HISTORY, array_digest, table_spec
from zstruct.store.store import Store
from zstruct.store.write import complete, create, create_parent, write_array
from zstruct.text import counted

__all__ = ["History", "Input", "Step", "log", "write_history"]

_GROUP, _STEPS = f"{HISTORY}/log", "steps"


@dataclass(frozen=True)
class Input:
    """What came into a store in one step.

    Parameters
    ----------
    label
        What the user called it.
    n_structures
        How many structures there were, before any was left out.
    content
        The hash of all that was known of these, whatever they came from; None of stores.
    digest
        Of a store, its content digest; None of anything else.
    chosen
        Of a store of which not all was taken, what tells its structures from others.
    """

    label: str
    n_structures: int | None = None
    content: str | None = None
    digest: str | None = None
    chosen: str | None = None

    def __str__(self) -> str:
        n = "" if self.n_structures is None else f"{counted(self.n_structures, 'structure')}, "
        known = self.digest or self.content
        return self.label if known is None else f"{self.label} ({n}{known[:12]})"


@dataclass(frozen=True)
class Step:
    """One step in the history of a store.

    Parameters
    ----------
    did
        ``"build"``, ``"append"``, ``"drop"`` or ``"rewrite"``.
    digest, n_structures, n_atoms
        Of the store after it.
    before
        The digest that it had before; None if there was nothing.
    n_kept
        How many of its first structures are the first ones of what was before, in their order.
    inputs
        What came in, in order.
    options
        What was asked for, where that says something.
    """

    did: str
    digest: str
    n_structures: int
    n_atoms: int
    before: str | None = None
    n_kept: int = 0
    inputs: Sequence[Input] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON can express it; what is None is left out."""
        said = asdict(replace(self, inputs=())) | {"inputs": [_some(asdict(one)) for one in self.inputs]}
        return _some({**said, "options": told(self.options)})

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Step:
        """Return a step again; of newer versions, what is known here."""
        known = {name: said[name] for name in cls.__dataclass_fields__ if name in said}
        names = Input.__dataclass_fields__
        inputs = tuple(Input(**{n: one[n] for n in names if n in one}) for one in said.get("inputs", ()))
        return cls(**{**known, "inputs": inputs})

    def __str__(self) -> str:
        what = f"{self.did}: {counted(self.n_structures, 'structure')}, {counted(self.n_atoms, 'atom')}"
        lines = [f"{what}, {self.digest[:12]}"]
        lines += [f"  {one}" for one in self.inputs[:_SHOWN]]
        if len(self.inputs) > _SHOWN:
            lines.append(f"  ... and {len(self.inputs) - _SHOWN:,} more")
        lines += [f"  {name}={value}" for name, value in self.options.items()]
        return "\n".join(lines)


_SHOWN = 5


def told(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that say something: neither None, nor False, nor empty.

    Examples
    --------
    >>> told({"reader": None, "filters": {"max_force": 5.0, "where": None}, "exclude": []})
    {'filters': {'max_force': 5.0}}
    """
    found = {name: told(value) if isinstance(value, Mapping) else value for name, value in options.items()}
    return {name: value for name, value in found.items() if value not in (None, False, "", [], {})}


def _some(said: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if value is not None}


@dataclass(frozen=True)
class History(Sequence[Step]):
    """The steps in which a store came to be, the first one first; printing it shows them.

    Parameters
    ----------
    path
        The store.
    n_structures
        How many there are now.
    digest
        Of its content now.
    steps
        The steps; none of a store of an earlier version.
    """

    path: str
    n_structures: int
    digest: str
    steps: Sequence[Step]

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: Any) -> Any:
        return self.steps[index]

    def rows_kept(self, digest: str) -> int | None:
        """Return how many of the first structures are those that the store had when it had another digest.

        What was computed of these then is right of them now. What came since stands behind them.

        Parameters
        ----------
        digest
            A content digest.

        Returns
        -------
        int or None
            All of them for the digest that it has; None if it never had this one, as far as is known.
        """
        n = self.n_structures
        if digest == self.digest:
            return n
        if not self.steps or self.steps[-1].digest != self.digest:  # somebody else changed the store
            return None
        for step in reversed(self.steps):
            if step.digest == digest:
                return n
            n = min(n, step.n_kept)
            if step.before == digest:
                return n
        return None

    def grew_from(self, digest: str) -> int | None:
        """Return `rows_kept` where these are all the structures that there were; None elsewhere.

        Parameters
        ----------
        digest
            A content digest.
        """
        kept = self.rows_kept(digest)
        for step in reversed(self.steps):
            if step.digest == digest:
                break
            if step.did not in ("append", "rewrite"):
                return None
            if step.before == digest:
                break
        return kept

    def contents(self) -> dict[tuple[int, str], str]:
        """Return the labels of all that came in but stores, by how many structures it had and its hash."""
        came = [one for step in self.steps for one in step.inputs]
        return {
            (one.n_structures, one.content): one.label
            for one in came
            if one.content is not None and one.n_structures is not None
        }

    def stores(self) -> dict[tuple[str, str | None], str]:
        """Return the labels of stores that came in, by digest and by what tells their structures."""
        came = [one for step in self.steps for one in step.inputs]
        return {(one.digest, one.chosen): one.label for one in came if one.digest is not None}

    def __str__(self) -> str:
        if not self.steps:
            return f"{self.path} has no history: it was made before stores had one"
        return "\n".join([self.path, *map(str, self.steps)])

    __repr__ = __str__


@keywords()
def log(path: str | os.PathLike[str] | Store, *, storage_options: Mapping[str, Any] | None = None) -> History:
    """Return how a store came to be: what was built, appended, cut or rewritten, and of which inputs.

    Parameters
    ----------
    path
        The store.
    storage_options
        Of a URL, for fsspec: keys, endpoints and the like.

    Returns
    -------
    History
        The steps; none of a store of an earlier version.

    Raises
    ------
    StoreFormatError
        If there is no finished store.
    CorruptStoreError
        If its history is damaged.

    Examples
    --------
    >>> import tempfile, ase.build, zstruct
    >>> path = tempfile.mkdtemp() + "/molecules.zarr"
    >>> report = zstruct.build([ase.build.molecule("H2O")], path, progress=False)
    >>> report = zstruct.append(path, [ase.build.molecule("CO2")], progress=False)
    >>> [(step.did, step.n_structures) for step in zstruct.log(path)]
    [('build', 1), ('append', 2)]
    """
    store = Store.of(path, storage_options)
    steps: list[Step] = []
    if "log" in store.group_names(HISTORY):
        text = store.read(f"{_GROUP}/{_STEPS}").tobytes()
        try:
            steps = [Step.from_json(json.loads(line)) for line in text.splitlines()]
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise CorruptStoreError(
                f"{store.path}: its history is damaged; restore the store from a copy or build it again"
            ) from error
    return History(store.path, store.n_structures, store.digest, steps)


def write_history(path: str | os.PathLike[str], steps: Iterable[Step]) -> None:
    """Write the history of a store that is being made; what is there of an interrupted call is replaced.

    Parameters
    ----------
    path
        The store, whose consolidated metadata is still to come.
    steps
        All steps; the last one made this store. Without any, there is none.
    """
    said = [*steps]
    if not said:
        return
    lines = [json.dumps(step.to_json(), sort_keys=True).encode() + b"\n" for step in said]
    rows = np.frombuffer(b"".join(lines), dtype=np.uint8)
    spec, _ = table_spec(_STEPS, ("byte",), rows, "a line of JSON for each step, in UTF-8")
    # The table of shards that other groups have would be larger than all that it is about.
    grid = spec.grid
    shards = [rows[k * grid.shard_rows : (k + 1) * grid.shard_rows] for k in range(grid.n_shards(len(rows)))]
    digest = array_digest(spec.dtype, spec.shape, grid, map(rows_digest, shards))
    spec = replace(spec, attrs={**spec.attrs, "digest": digest})
    create_parent(path, HISTORY, durable=False)
    folder = Path(path, _GROUP)
    create(
        folder,
        [spec],
        {
            "encoding-type": f"zstruct-{HISTORY}",
            "encoding-version": GROUP_VERSION,
            "store_digest": said[-1].digest,
        },
    )
    write_array(folder, spec, rows, durable=False)
    complete(folder, {}, durable=False)
