"""From a store to a file of another format and back: what makes two stores equal."""

from pathlib import Path

import numpy as np

import zstruct

DATA = Path(__file__).parents[1] / "data"


def assert_equal_stores(a, b, *, without=()):
    """Two stores have the same fields with the same values, and the same structures lack them."""
    a, b = zstruct.Store(a), zstruct.Store(b)
    assert np.array_equal(a.read("offsets"), b.read("offsets"))
    wanted = {name: field for name, field in a.fields.items() if name not in without}
    assert dict(b.fields) == {name: b.fields[name] for name in wanted} | {
        name: b.fields[name] for name in without if name in b.fields
    }
    for name, field in wanted.items():
        assert b.fields[name] == field, name
        given, found = a.read(name), b.read(name)
        if field.kind == "category":
            given, found = (texts(store, name, rows) for store, rows in ((a, given), (b, found)))
        assert given.dtype.kind == found.dtype.kind
        assert np.array_equal(given, found, equal_nan=field.kind == "float"), name
        assert np.array_equal(a.present(name), b.present(name)), name


def texts(store, name, codes):
    return np.array([*store.categories(name), None], dtype=object)[codes]


def there_and_back(store, folder, path, format=None, *, without=(), **options):
    """Export a store, build another one of that, and compare them; return what was exported."""
    report = zstruct.export(store, path, format, progress=False, overwrite=True)
    zstruct.build(path, folder / "back.zarr", progress=False, overwrite=True, **options)
    assert_equal_stores(store, folder / "back.zarr", without=without)
    return report
