"""Stores made by hand, column by column, with chunks so small that structures straddle them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from zstruct.ragged import counts_to_offsets
from zstruct.schema import ATOM, FIELDS, Field, infer
from zstruct.store import chunks
from zstruct.store.chunks import choose_grid
from zstruct.store.spec import ArraySpec, categories_specs, spec_of
from zstruct.store.write import create, finish, write_array


@dataclass(frozen=True)
class Source:
    """What a store was made of."""

    path: Path
    counts: NDArray
    columns: dict[str, NDArray]
    fields: dict[str, Field]
    texts: dict[str, list[str]]

    @property
    def offsets(self) -> NDArray:
        return counts_to_offsets(self.counts)

    def __len__(self) -> int:
        return len(self.counts)

    def value(self, name: str, i: int) -> NDArray:
        """The field of one structure, as it was written."""
        if self.fields[name].level == ATOM:
            return self.columns[name][self.offsets[i] : self.offsets[i + 1]]
        return self.columns[name][i]


def write_store(
    path: Path,
    counts: NDArray,
    columns: dict[str, NDArray],
    fields: dict[str, Field] | None = None,
    texts: dict[str, list[str]] | None = None,
    coverage: dict[str, int] | None = None,
) -> Source:
    """Write a store of given columns."""
    fields = {name: (fields or {}).get(name, FIELDS.get(name)) for name in columns}
    texts, coverage, n = texts or {}, coverage or {}, len(counts)
    source = Source(path, counts, columns, fields, texts)
    written = [
        (ArraySpec(name, (dim,), rows.shape, dtype, {}, 0, choose_grid(len(rows), 8)), rows)
        for name, dim, rows, dtype in (
            ("offsets", "structure_edge", source.offsets, "int64"),
            ("n_atoms", "structure", np.asarray(counts), "int32"),
        )
    ]
    for name, column in columns.items():
        attrs = {"coverage": coverage.get(name, n)}
        written.append((spec_of(fields[name], name, len(column), attrs), column))
    for name in texts:
        written += categories_specs(name, texts[name])
    create(path, [row for row, _ in written], {"n_structures": n, "n_atoms": int(counts.sum())})
    for row, values in written:
        write_array(path, row, values)
    finish(path, {"digest": "made by hand"}, {})
    return source


@pytest.fixture(scope="module")
def narrow_chunks():
    """Chunks of 16 rows of atoms (8 where rows are wide) and 4 structures, 2 of them in a shard."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "_CHUNK_ROWS", {"atom": 16, "structure": 4})
        patch.setattr(chunks, "_CHUNK_BYTES", 8 * 24)
        patch.setattr(chunks, "_CHUNKS_PER_SHARD", 2)
        yield


@pytest.fixture(scope="module")
def make_store(narrow_chunks) -> Callable[..., Source]:
    """`write_store`, in a module whose stores have narrow chunks."""
    return write_store


@pytest.fixture(scope="module")
def source(make_store, tmp_path_factory) -> Source:
    """61 structures of 1 to 40 atoms (a chunk has 8 or 16) with every kind of field."""
    rng = np.random.default_rng(7)
    counts = rng.integers(1, 12, 61)
    counts[[0, 17, 60]] = 1
    counts[[5, 33]] = 40
    n, rows = len(counts), int(counts.sum())
    has_forces, has_type, has_step = (rng.random(n) < 0.6 for _ in range(3))
    forces = rng.normal(size=(rows, 3))
    forces[~np.repeat(has_forces, counts)] = np.nan
    hirshfeld = rng.normal(size=rows)
    hirshfeld[~np.repeat(has_type, counts)] = np.nan
    fields = {
        "hirshfeld": infer("hirshfeld", "atom", "float", ()),
        "dos": infer("dos", "structure", "float", (5,)),
        "converged": infer("converged", "structure", "bool", ()),
        "serial": infer("serial", "structure", "int", ()),
        "step": replace(infer("step", "structure", "int", ()), dtype="float64"),  # as format 1.0 has it
        "site": infer("site", "atom", "category", ()),
    }
    columns = {
        "numbers": rng.integers(1, 119, rows).astype(np.uint8),
        "positions": rng.normal(size=(rows, 3)) * 10,
        "forces": forces,
        "tags": rng.integers(-(2**60), 2**60, rows),
        "cell": rng.normal(size=(n, 3, 3)),
        "pbc": rng.random((n, 3)) < 0.5,
        "energy": rng.normal(size=n) - 19517.0,
        "stress": rng.normal(size=(n, 6)).astype(np.float32),
        "config_type": np.where(has_type, rng.integers(0, 3, n), -1).astype(np.int32),
        "source": np.zeros(n, np.int32),
        "frame": np.arange(n),
        "hirshfeld": hirshfeld,
        "dos": rng.normal(size=(n, 5)),
        "converged": rng.random(n) < 0.5,
        "serial": rng.integers(-(2**60), 2**60, n),
        "step": np.where(has_step, 2.0**30 + np.arange(n), np.nan),
        "site": rng.integers(0, 2, rows).astype(np.int32),
    }
    assert FIELDS["stress"].dtype == "float64"
    fields["stress"] = Field.from_json(
        {**{k: getattr(FIELDS["stress"], k) for k in Field.__slots__}, "dtype": "float32"}
    )
    return make_store(
        tmp_path_factory.mktemp("stores") / "mixed.zarr",
        counts,
        columns,
        fields,
        {"config_type": ["bulk", "slab", "Möbius"], "source": ["a.xyz"], "site": ["top", "hollow"]},
        {
            "forces": int(has_forces.sum()),
            "hirshfeld": int(has_type.sum()),
            "config_type": int(has_type.sum()),
            "step": int(has_step.sum()),
        },
    )


@pytest.fixture(scope="module")
def data(source):
    """The 61 structures as a dataset of tensors in double precision."""
    torch = pytest.importorskip("torch")
    from zstruct.loading import ZarrStructureDataset

    return ZarrStructureDataset(source.path, dtype=torch.float64)


def _ragged(path: Path, make: Callable[..., Source]) -> Source:
    """53 structures of 1 to 9 atoms, half of them periodic along one to three vectors."""
    rng = np.random.default_rng(11)
    counts = rng.integers(1, 10, 53)
    n, rows = len(counts), int(counts.sum())
    cell = np.eye(3) * rng.uniform(2.0, 5.0, (n, 1, 1)) + rng.normal(0, 0.2, (n, 3, 3))
    columns = {
        "numbers": rng.choice([1, 6, 8, 22], rows).astype(np.uint8),
        "positions": rng.uniform(-3, 3, (rows, 3)),
        "cell": cell,
        "pbc": (rng.random((n, 3)) < 0.6) & (rng.random((n, 1)) < 0.5),
        "energy": rng.normal(size=n),
        "forces": rng.normal(size=(rows, 3)),
    }
    return make(path, counts, columns)


@pytest.fixture(scope="module")
def plain(make_store, tmp_path_factory) -> Source:
    """Structures without any groups."""
    return _ragged(tmp_path_factory.mktemp("plain") / "plain.zarr", make_store)


@pytest.fixture(scope="module")
def featured(make_store, tmp_path_factory) -> Source:
    """The same structures with features and derivatives "bumps" (and "single"), and a list "rc3"."""
    from tests.loading.groups import Bumps, write_descriptor, write_list  # it registers a descriptor

    source = _ragged(tmp_path_factory.mktemp("featured") / "featured.zarr", make_store)
    write_descriptor(source, "bumps", Bumps(), "float64")
    write_descriptor(source, "single", Bumps(2.5), "float32")
    write_list(source, "rc3", 3.0)
    return source
