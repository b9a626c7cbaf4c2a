"""Three stores that differ in their fields, for tests of what puts several together."""

from dataclasses import replace

import numpy as np
import pytest

from zstruct.schema import FIELDS as TABLE
from zstruct.schema import infer

#: Fields that not all of the three have, by those that have them.
HAVING = {"forces": "ac", "stress": "a", "serial": "b", "gap": "ab", "config_type": "abc", "converged": "bc"}
FIELDS = ["numbers", "positions", "cell", "pbc", "energy", *HAVING]


def _store(make, path, seed, n, names, texts, unit="eV", missing=0.0, dtype="float64"):
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 9, n)
    rows = int(counts.sum())
    fields = {
        "gap": replace(infer("gap", "structure", "float", ()), unit=unit),
        "serial": infer("serial", "structure", "int", ()),
        "converged": infer("converged", "structure", "bool", ()),
    }
    columns = {
        "numbers": rng.choice([1, 6, 8], rows).astype(np.uint8),
        "positions": rng.uniform(-3, 3, (rows, 3)),
        "cell": np.eye(3) * rng.uniform(4, 6, (n, 1, 1)),
        "pbc": rng.random((n, 3)) < 0.5,
        "energy": rng.normal(-50, 9, n),
        "forces": rng.normal(size=(rows, 3)),
        "stress": rng.normal(size=(n, 6)),
        "serial": rng.integers(2**53, 2**60, n),
        "gap": rng.normal(size=n),
        "config_type": rng.integers(0, len(texts), n).astype(np.int32),
        "converged": rng.random(n) < 0.5,
    }
    lost = rng.random(n) < missing
    columns["energy"][lost] = np.nan
    columns["config_type"][lost] = -1
    columns = {name: column for name, column in columns.items() if name in names or name not in HAVING}
    coverage = {"energy": int(n - lost.sum()), "config_type": int(n - lost.sum())}
    columns["positions"] = columns["positions"].astype(dtype)
    fields["positions"] = replace(TABLE["positions"], dtype=dtype)
    return make(path, counts, columns, fields, {"config_type": texts}, coverage)


@pytest.fixture(scope="module")
def three(make_store, tmp_path_factory):
    """Stores a, b and c of 41, 23 and 1 structures, by name."""
    folder = tmp_path_factory.mktemp("three")
    has = {name: [field for field, having in HAVING.items() if name in having] for name in "abc"}
    return {
        "a": _store(make_store, folder / "a.zarr", 1, 41, has["a"], ["bulk", "slab"]),
        "b": _store(
            make_store,
            folder / "b.zarr",
            2,
            23,
            has["b"],
            ["gas", "bulk"],
            "meV",
            missing=0.3,
            dtype="float32",
        ),
        "c": _store(make_store, folder / "c.zarr", 3, 1, has["c"], ["bulk"]),
    }


def expected(source, name, i):
    """What a batch of several has of a structure: the value in float64, or None where it is missing."""
    if name not in source.columns:
        return None
    value = source.value(name, i)
    if name == "config_type":
        return None if value < 0 else source.texts[name][value]
    if value.dtype.kind == "f" and np.isnan(value).all():
        return None
    return value * 1e-3 if name == "gap" and source.fields["gap"].unit == "meV" else value


def check(batch, which, sources, texts, names=FIELDS):
    """Check a batch of NumPy arrays against what was written.

    `which` has the name of the store and the structure of each row.
    """
    edges = batch["ptr"]
    assert len(edges) == len(which) + 1
    for row, (store, i) in enumerate(which):
        source = sources[store]
        for name in names:
            whole = batch[name]
            per_atom = name in ("numbers", "positions", "forces")
            value = whole[edges[row] : edges[row + 1]] if per_atom else whole[row]
            wanted = expected(source, name, i)
            if f"has_{name}" in batch:
                assert batch[f"has_{name}"][row] == (wanted is not None), name
            if wanted is None:
                empty = {
                    "f": np.isnan(value).all(),
                    "i": (value == (-1 if name == "config_type" else 0)).all(),
                }
                assert empty.get(value.dtype.kind, not value.any()), name
            elif name == "config_type":
                assert texts[value] == wanted
            else:
                exact = np.asarray(wanted)
                if exact.dtype.kind != "f":
                    np.testing.assert_array_equal(value, exact)
                else:
                    np.testing.assert_allclose(value, exact, rtol=1e-6)
