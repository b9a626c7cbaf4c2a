"""What is drawn for structures is as random as it says: noise, rotations, reflections."""

import math

import numpy as np
import pytest

from zstruct.transforms.kernels import add_normal, mirrors, rotations


def normals(n_structures, n_values, stream=7):
    """Return noise of unit width, (structures, values)."""
    values = np.zeros(n_structures * n_values, np.float32)
    edges = np.arange(n_structures + 1)
    add_normal(values, edges, n_values, edges[:-1], np.uint64(stream), 1.0)
    return values.reshape(n_structures, n_values).astype(np.float64)


def matrices(n, stream=7):
    out = np.empty((n, 3, 3))
    rotations(np.arange(n), np.uint64(stream), out)
    return out


def test_noise_is_normal():
    from scipy import stats

    x = normals(2000, 1500)
    n = x.size
    assert abs(x.mean()) * math.sqrt(n) < 4
    assert abs(x.var() - 1) * math.sqrt(n / 2) < 4
    assert abs((x**3).mean()) * math.sqrt(n / 15) < 4
    assert abs((x**4).mean() - 3) * math.sqrt(n / 96) < 4
    assert stats.kstest(x.ravel()[::10], "norm").pvalue > 1e-3
    for z in (3.0, 4.0, 4.5):
        wanted = n * math.erfc(z / math.sqrt(2))
        assert abs((np.abs(x) > z).sum() - wanted) < 4 * math.sqrt(wanted)


@pytest.mark.parametrize(
    "lag", [1, 8, 256, *(pytest.param(lag, marks=pytest.mark.long) for lag in (2, 3, 16, 32, 100, 512))]
)
def test_noise_is_not_correlated(lag):
    x = normals(2000, 1500)
    for power in (x, x**2 - 1, np.sign(x)):
        product = power[:, lag:] * power[:, :-lag]
        assert abs(product.mean()) / product.std() * math.sqrt(product.size) < 4.5
    neighbours = x[lag:] * x[:-lag]  # of structures with indices that follow each other
    assert abs(neighbours.mean()) * math.sqrt(neighbours.size) < 4.5


def test_two_coordinates_are_independent():
    # Box and Muller's pairs are 16 apart, two in 32: their joint distribution, in 400 equal cells.
    from scipy import stats

    x = normals(4000, 192)
    u = np.floor(stats.norm.cdf(x) * 20).astype(int).clip(0, 19)
    pairs = u.reshape(-1, 2, 16)
    seen = np.bincount((pairs[:, 0] * 20 + pairs[:, 1]).ravel(), minlength=400)
    assert stats.chisquare(seen).pvalue > 1e-3


def test_rotations_are_uniform():
    r = matrices(200_000)
    assert np.abs(r @ r.transpose(0, 2, 1) - np.eye(3)).max() < 1e-14
    assert np.allclose(np.linalg.det(r), 1.0)
    # Haar measure: E[R] = 0, E[Rij Rkl] = delta_ik delta_jl / 3, and the angle has density (1 - cos) / pi.
    assert np.abs(r.mean(axis=0)).max() < 4 * math.sqrt(1 / 3 / len(r))
    second = np.einsum("nij,nkl->ijkl", r, r) / len(r)
    assert np.abs(second - np.einsum("ik,jl->ijkl", np.eye(3), np.eye(3)) / 3).max() < 4 * 0.4 / math.sqrt(
        len(r)
    )
    from scipy import stats

    angle = np.arccos(((np.trace(r, axis1=1, axis2=2) - 1) / 2).clip(-1, 1))
    assert stats.kstest(angle, lambda a: (a - np.sin(a)) / np.pi).pvalue > 1e-3


def test_mirrors_are_reflections():
    r = np.empty((20_000, 3, 3))
    mirrors(np.arange(len(r)), np.uint64(5), 0.25, r)
    assert np.allclose(r @ r, np.eye(3))
    mirrored = np.linalg.det(r) < 0
    assert mirrored.mean() == pytest.approx(0.25, abs=4 * math.sqrt(0.19 / len(r)))
    assert (r[~mirrored] == np.eye(3)).all()
    # The normals of the planes are uniform: E[n n^T] = 1/3, and I - 2 n n^T is 1/3 on average.
    assert np.abs(r[mirrored].mean(axis=0) - np.eye(3) / 3).max() < 0.03
