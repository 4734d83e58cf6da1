"""Gaussian surrogates against SciPy's multivariate normal and their own draws."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tfbdl import random
from tfbdl.errors import ModelError, OptionsError, UnknownNameError
from tfbdl.inference import FAMILIES, surrogate

RNG = np.random.default_rng(7)
SHAPES = {"a": (2, 2), "b": (3,)}
KEYS = random.split(random.key(3), 20_000)


def make(family, **options):
    """A surrogate of seven numbers in two sites, all of whose weights are away from their start."""
    locs = {
        name: keras.Variable(RNG.normal(size=shape), dtype="float64")
        for name, shape in SHAPES.items()
    }
    made = surrogate.make(family, locs, **options)
    for weight in made.weights:
        weight.assign(RNG.normal(size=weight.shape) * 0.5 - (0.5 if "scale" in weight.name else 0))
    return made


def joined(values, leading=()):
    return np.concatenate([np.asarray(v).reshape(*leading, -1) for v in values.values()], axis=-1)


gaussians = pytest.mark.parametrize(
    ("family", "options"), [("mean_field", {}), ("low_rank", {"rank": 2}), ("full_rank", {})]
)


def test_families_are_known_by_name():
    assert set(FAMILIES) == {"mean_field", "low_rank", "full_rank", "delta"}


@gaussians
def test_entropy_is_that_of_the_multivariate_normal(family, options):
    q = make(family, **options)
    exact = scipy.stats.multivariate_normal(joined(q.mean()), q.covariance().numpy()).entropy()
    assert float(q.entropy()) == pytest.approx(exact, rel=1e-10)


@gaussians
def test_draws_have_the_mean_and_covariance(family, options):
    q = make(family, **options)
    draws = joined(q.sample(KEYS), (20_000,))
    covariance = q.covariance().numpy()
    sd = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(joined(q.stddev()), sd, rtol=1e-10)
    # Five standard errors of a mean, and of a covariance, of 20,000 draws.
    np.testing.assert_array_less(np.abs(draws.mean(0) - joined(q.mean())), 5 * sd / 20_000**0.5)
    error = 5 * np.sqrt((covariance**2 + np.outer(sd, sd) ** 2) / 20_000)
    np.testing.assert_array_less(np.abs(np.cov(draws.T) - covariance), error)


def test_low_rank_and_full_rank_correlate_sites():
    for family, options in (("low_rank", {"rank": 2}), ("full_rank", {})):
        covariance = make(family, **options).covariance().numpy()
        assert np.abs(covariance[:4, 4:]).max() > 0.05


def test_low_rank_covariance_is_diagonal_plus_factors():
    q = make("low_rank", rank=2)
    weights = {weight.name: weight.numpy() for weight in q.weights}
    sigma, U = np.logaddexp(0, weights["raw_scale"]), weights["factor"]
    np.testing.assert_allclose(q.covariance(), np.diag(sigma**2) + U @ U.T, rtol=1e-12)


def test_mean_field_scale_is_the_softplus_of_the_raw_scale():
    locs = {"a": keras.Variable(np.zeros(3), dtype="float64")}
    q = surrogate.make("mean_field", locs, initial_raw_scale=-5.0)
    np.testing.assert_allclose(q.stddev()["a"], np.log1p(np.exp(-5.0)) * np.ones(3))


def test_delta_draws_its_locations_without_entropy():
    q = make("delta")
    for keys, leading in ((KEYS[0], ()), (KEYS[:3], (3,))):
        for name, draw in q.sample(keys).items():
            expected = np.broadcast_to(q.mean()[name], (*leading, *SHAPES[name]))
            np.testing.assert_array_equal(draw, expected)
    assert float(q.entropy()) == 0.0
    assert not np.any(joined(q.stddev()))
    assert q.trainable_weights == []


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_draw_depends_on_its_key_alone(family):
    q = make(family)
    together, single = q.sample(KEYS[:4]), q.sample(KEYS[2])
    for name in SHAPES:
        np.testing.assert_allclose(together[name][2], single[name], rtol=1e-12)


def test_sites_draw_different_noise():
    locs = {name: keras.Variable(np.zeros(4), dtype="float64") for name in ("a", "b")}
    draw = surrogate.make("mean_field", locs).sample(KEYS[0])
    assert not np.any(draw["a"].numpy() == draw["b"].numpy())


def test_frozen_noise_draws_the_mean():
    q = make("full_rank")
    with random.frozen():
        draw = q.sample(KEYS[0])
    np.testing.assert_array_equal(joined(draw), joined(q.mean()))


def test_weights_have_the_dtype_of_the_sites():
    locs = {"a": keras.Variable(np.zeros(2), dtype="float32")}
    for family in FAMILIES:
        q = surrogate.make(family, locs)
        assert {weight.dtype for weight in q.weights} <= {"float32"}
        assert q.sample(KEYS[0])["a"].dtype == tf.float32


def test_full_rank_is_refused_above_2000_parameters_with_the_memory_it_would_take():
    locs = {"kernel": keras.Variable(np.zeros((30, 100)), dtype="float32")}
    with pytest.raises(ModelError, match=r"3,000 parameters.*0\.3 GiB.*above 2,000.*'low_rank'"):
        surrogate.make("full_rank", locs)


def test_an_unknown_family_and_an_unknown_option_are_refused():
    locs = {"a": keras.Variable(np.zeros(2), dtype="float32")}
    with pytest.raises(UnknownNameError, match="Did you mean 'mean_field'"):
        surrogate.make("meanfield", locs)
    with pytest.raises(OptionsError, match=r"'full_rank' has no option 'rank'.*initial_raw"):
        surrogate.make("full_rank", locs, rank=3)


def test_no_random_site_is_refused():
    with pytest.raises(ModelError, match="at least one random site"):
        surrogate.make("mean_field", {})
