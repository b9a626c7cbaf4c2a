"""Maps: principal components of all vectors, kept as features of structures."""

import sys
import types

import numpy as np
import pytest

import zstruct
from tests.coverage.stores import store_of
from tests.coverage.test_farthest import vectors_like
from tests.coverage.test_samplings import means
from zstruct import cli
from zstruct.coverage import spectrum, vectors
from zstruct.coverage.spectrum import first_axes
from zstruct.errors import InputError, MissingExtraError, StoreExistsError


@pytest.fixture
def store(tmp_path, rng):
    counts = 1 + np.arange(80) % 4
    features = rng.normal(size=(counts.sum(), 5)) @ rng.normal(size=(5, 5)) + 3
    return store_of(tmp_path / "a.zarr", counts, features)


def components(values, n):
    """Return principal components by singular vectors, and their part of the variance."""
    away = values - values.mean(axis=0)
    left, sizes, right = np.linalg.svd(away, full_matrices=False)
    signs = np.sign(right[np.arange(len(right)), np.abs(right).argmax(axis=1)])
    return (left * sizes * signs)[:, :n], (sizes**2 / (sizes**2).sum())[:n]


def test_a_map_has_principal_components(store, capsys, monkeypatch):
    monkeypatch.setattr(vectors, "_BLOCK_BYTES", 1)  # blocks of 64
    report = zstruct.project(store.path, "x")
    expected, explained = components(means(store), 2)
    found = zstruct.open(store.path).zs.features("map")
    assert found.dims == ("structure", "feature")
    assert found.feature.values.tolist() == ["pca_0", "pca_1"]
    np.testing.assert_allclose(found.values, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(report.explained, explained, rtol=1e-9)
    assert report.added
    assert f"with {explained[0]:.1%}, {explained[1]:.1%} of the variance" in str(report)
    assert not zstruct.project(store.path, "x").added
    with pytest.raises(StoreExistsError, match="overwrite=True"):
        zstruct.project(store.path, "x", standardise=False)
    assert cli.main(["project", store.path, "x", "--name", "three", "--n", "3"]) == 0
    assert "features/three: pca of 80 structures" in capsys.readouterr().out
    data = zstruct.StructureReader(store.path, ["numbers"], features="three")
    np.testing.assert_allclose(data[4]["features"], components(means(store), 3)[0][4], rtol=1e-5, atol=1e-6)


def test_axes_of_many_features_are_found_without_all_products(monkeypatch, rng):
    values = (
        rng.normal(size=(400, 120))
        * np.geomspace(1, 0.01, 120)
        @ np.linalg.qr(rng.normal(size=(120, 120)))[0]
    )
    exact = first_axes(vectors_like(values), 3)
    monkeypatch.setattr(spectrum, "_WIDE", 50)
    monkeypatch.setattr(vectors, "_BLOCK_BYTES", 1)
    found = first_axes(vectors_like(values), 3)
    np.testing.assert_allclose(found.squares, exact.squares, rtol=1e-4)
    np.testing.assert_allclose(found.axes, exact.axes, atol=1e-3)
    assert found.total == pytest.approx(exact.total)
    assert exact.squares / exact.total == pytest.approx(components(values, 3)[1])


def test_what_can_not_be_a_map_is_said(store):
    with pytest.raises(InputError, match="needs a name of its own"):
        zstruct.project(store.path, "x", "x")
    with pytest.raises(InputError, match=r"have only 5 axes along which structures differ, not 6"):
        zstruct.project(store.path, "x", n=6)
    with pytest.raises(InputError, match="'pca' or 'umap'"):
        zstruct.project(store.path, "x", method="tsne")
    with pytest.raises(InputError, match="soap"):
        zstruct.project(store.path, "soap")


def test_umap_if_it_is_installed(store, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingExtraError, match=r"pip install \"zstruct\[umap\]\""):
        zstruct.project(store.path, "x", method="umap")

    class UMAP:
        def __init__(self, n_components, random_state):
            self.n, self.seed = n_components, random_state

        def fit_transform(self, values):
            np.testing.assert_allclose(values, means(store), rtol=1e-9, atol=1e-12)
            return values[:, : self.n] + self.seed

    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=UMAP))
    report = zstruct.project(store.path, "x", "u", method="umap", seed=4)
    assert (report.explained, report.method) == ((), "umap")
    found = zstruct.open(store.path).zs.features("u")
    np.testing.assert_allclose(found.values, means(store)[:, :2] + 4, rtol=1e-5)
    assert found.feature.values.tolist() == ["umap_0", "umap_1"]
