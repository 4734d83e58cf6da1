"""Scores of generated rows, against closed forms, scikit-learn and an independent measurement."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg
from sklearn.neighbors import NearestNeighbors
from tfbdl_bayesian_gan.evaluation import (
    frechet_distance,
    gaussian_frechet,
    jensen_shannon,
    mode_shares,
    modes_covered,
    nearest_neighbours,
)

from tfbdl.errors import DataError


def published_rows(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows of the paper's released code, made by its own formula and generator."""
    rng = np.random.RandomState(seed)
    parts = []
    for _ in range(10):
        mean = 5.0 * rng.randn(2)
        A = 5.0 * rng.randn(100, 2)
        parts.append((rng.randn(1000, 2) + mean) @ A.T)
    x = np.concatenate(parts)
    return (x - x.mean(axis=0)) / x.std(axis=0), np.repeat(np.arange(10), 1000)


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray]:
    return published_rows(1234)


def test_jensen_shannon_orders_what_is_missed_as_an_independent_measurement_does(rows) -> None:
    """Measured apart from this code: .0011, .180, .285, .668; they vary by seed by a fifth."""
    x, labels = rows
    rng = np.random.default_rng(0)
    order = rng.permutation(len(x))
    halves = jensen_shannon(x[order[:5000]], x[order[5000:]], points=1000)
    five = jensen_shannon(x, x[labels < 5], points=1000)
    normal = rng.multivariate_normal(x.mean(axis=0), np.cov(x.T), 3000)
    one = jensen_shannon(x, x[labels == 0], points=1000)
    assert 0.0 <= halves < 0.005
    assert five == pytest.approx(0.180, rel=0.2)
    assert jensen_shannon(x, normal, points=1000) == pytest.approx(0.285, rel=0.2)
    assert one == pytest.approx(0.668, rel=0.05)


def test_jensen_shannon_of_two_normals_is_that_of_quadrature() -> None:
    """JS(N(0, 1), N(2, 1)) along one axis, the other axis alike, less what the kernels smooth."""
    rng = np.random.default_rng(1)
    real = rng.standard_normal((6000, 2)) * [3.0, 1.0]
    fake = rng.standard_normal((6000, 2)) * [3.0, 1.0] + [6.0, 0.0]
    grid = np.linspace(-12, 14, 20_001)
    sd = 3.0 * np.sqrt(1 + 3000 ** (-1 / 3))  # Scott's kernel of 3,000 points in two dimensions
    p, q = (np.exp(-0.5 * np.square((grid - m) / sd)) for m in (0.0, 6.0))
    p, q = p / p.sum(), q / q.sum()
    m = 0.5 * (p + q)
    expected = 0.5 * np.sum(p * np.log(p / m)) + 0.5 * np.sum(q * np.log(q / m))
    assert jensen_shannon(real, fake) == pytest.approx(expected, abs=0.02)  # sd over seeds: 0.007


def test_jensen_shannon_is_symmetric_bounded_and_repeats() -> None:
    rng = np.random.default_rng(2)
    a = rng.standard_normal((300, 5))
    far = rng.standard_normal((300, 5)) + 50.0
    assert jensen_shannon(a, far) == pytest.approx(np.log(2.0), abs=1e-3)
    assert jensen_shannon(a, np.tile(a[:1], (50, 1))) <= np.log(2.0)  # all at one place
    assert jensen_shannon(a, a[:200], seed=3) == jensen_shannon(a, a[:200], seed=3)


def test_modes_need_a_share_of_the_samples() -> None:
    centres = np.eye(4) * 10.0
    samples = np.repeat(centres, [60, 30, 9, 1], axis=0) + 0.1
    np.testing.assert_allclose(mode_shares(samples, centres), [0.6, 0.3, 0.09, 0.01])
    assert modes_covered(samples, centres) == 3
    assert modes_covered(samples, centres, share=0.01) == 4


def test_nearest_neighbours_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    samples, rows = rng.standard_normal((40, 3, 4)), rng.standard_normal((200, 3, 4))
    rows[7] = samples[3]  # learned by heart
    found = nearest_neighbours(samples, rows, k=5)
    known = NearestNeighbors(n_neighbors=5).fit(rows.reshape(200, -1))
    distances, indices = known.kneighbors(samples.reshape(40, -1))
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_allclose(found.distances, distances, atol=1e-7)
    assert found.distances[3, 0] == 0.0


def test_frechet_distance_is_that_of_the_closed_form() -> None:
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((2, 4, 4))
    C1, C2 = A @ A.T + np.eye(4), B @ B.T + np.eye(4)
    m1, m2 = rng.standard_normal((2, 4))
    root = np.real(linalg.sqrtm(C1 @ C2))  # the textbook form
    expected = np.sum((m1 - m2) ** 2) + np.trace(C1 + C2 - 2 * root)
    assert gaussian_frechet(m1, C1, m2, C2) == pytest.approx(expected, rel=1e-8)
    assert gaussian_frechet(m1, C1, m1, C1) == pytest.approx(0.0, abs=1e-8)
    x, y = rng.multivariate_normal(m1, C1, 20_000), rng.multivariate_normal(m2, C2, 20_000)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=0.05)  # 20,000 rows: about 0.01


def test_frechet_distance_of_one_column_is_that_of_two_normals() -> None:
    x = np.array([[0.0], [2.0], [4.0], [6.0]])
    y = 3.0 * x + 1.0
    sd = x.std(ddof=1)
    assert frechet_distance(x, y) == pytest.approx((10.0 - 3.0) ** 2 + (3 * sd - sd) ** 2)


@pytest.mark.parametrize(
    ("real", "fake", "said"),
    [
        (np.zeros((5, 3)), np.zeros((5, 4)), "as many numbers"),
        (np.zeros((2, 3)), np.zeros((5, 3)), "at least 3 real rows"),
        (np.zeros((5, 3)), np.full((5, 3), np.nan), "generated rows must be finite"),
    ],
)
def test_rows_that_cannot_be_compared_are_refused(real, fake, said) -> None:
    with pytest.raises(DataError, match=said):
        jensen_shannon(real, fake)
    with pytest.raises(DataError, match=said):
        frechet_distance(real, fake)


def test_more_neighbours_than_rows_are_refused() -> None:
    with pytest.raises(DataError, match="from 1 to the number of rows, 2"):
        nearest_neighbours(np.zeros((1, 2)), np.zeros((2, 2)), k=3)
