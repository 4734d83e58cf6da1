"""The synthetic data of Bayesian GANs: ten planes in a hundred dimensions."""

from __future__ import annotations

import numpy as np
import pytest
from tfbdl_bayesian_gan.simulators import synthetic, synthetic_test

import tfbdl
from tfbdl.errors import OptionsError


def test_each_cluster_lies_on_a_plane_of_its_own() -> None:
    rows = synthetic(500, seed=3)
    assert rows.x.shape == (500, 100)
    assert rows.centres.shape == (10, 100)
    np.testing.assert_array_equal(np.bincount(rows.labels), np.full(10, 50))
    for k in range(10):
        own = rows.x[rows.labels == k].astype(np.float64)
        spread = np.linalg.svd(own - own.mean(axis=0), compute_uv=False)
        assert spread[1] > 1.0
        assert spread[2] < 1e-4  # float32 of values up to 10 in 50 rows


def test_columns_are_standardised_and_centres_are_those_of_the_clusters() -> None:
    rows = synthetic(10_000, seed=1)
    np.testing.assert_allclose(rows.x.mean(axis=0, dtype=np.float64), 0.0, atol=1e-6)
    np.testing.assert_allclose(rows.x.std(axis=0, dtype=np.float64), 1.0, atol=1e-5)
    for k in range(10):
        own = rows.x[rows.labels == k].astype(np.float64)
        error = own.std(axis=0, ddof=1) / np.sqrt(len(own))
        away = np.abs(own.mean(axis=0) - rows.centres[k]) / error
        assert away.max() < 4.5  # 100 columns that two numbers make: P(|z| > 4.5) = 7e-6


def test_the_seed_decides_the_clusters_and_the_number_of_rows_does_not() -> None:
    a, b = synthetic(500, seed=0), synthetic(500, seed=0)
    np.testing.assert_array_equal(a.x, b.x)
    many = synthetic(5000, seed=0)
    cosines = np.sum(a.centres * many.centres, axis=1) / (
        np.linalg.norm(a.centres, axis=1) * np.linalg.norm(many.centres, axis=1)
    )
    assert cosines.min() > 0.97  # in units that are estimated from 500 and from 5,000 rows
    assert not np.allclose(a.centres, synthetic(500, seed=1).centres)


def test_the_data_set_holds_out_rows_of_the_same_clusters() -> None:
    options = {"num_rows": 2000, "num_test": 500, "cluster_seed": 2}
    data = tfbdl.build("gmm", "gan_synthetic", data_options=options).info
    assert data.x_shape == (100,)
    train, test = synthetic(2000, seed=2), synthetic_test(2000, 500, seed=2)
    np.testing.assert_allclose(test.centres, train.centres)
    nearest = np.argmin(np.square(test.x[:, np.newaxis] - train.centres).sum(axis=-1), axis=1)
    assert np.mean(nearest == test.labels) > 0.95  # planes may cross near the origin
    assert not np.isin(test.x[:, 0], train.x[:, 0]).any()


def test_wrong_options_are_named() -> None:
    with pytest.raises(OptionsError, match="Did you mean 'clusters'"):
        tfbdl.build("gmm", "gan_synthetic", data_options={"cluster": 3})
