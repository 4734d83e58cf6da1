"""MOPED: prior and posterior around the weights of a trained net."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import scipy.stats

import tfbdl
from tfbdl import functional
from tfbdl.errors import ModelError, OptionsError

layers = keras.layers
RNG = np.random.default_rng(5)
X = RNG.normal(size=(32, 3)).astype("float32")
Y = np.sin(X[:, :1])


def trained():
    """A net whose weights are not those of an initialiser; one bias is zero."""
    with functional.seeded(3):
        net = keras.Sequential(
            [keras.Input((3,)), layers.Dense(4, "tanh"), layers.Dense(1)], name="net"
        )
    net.layers[-1].kernel.assign([[2.0], [-1.0], [0.5], [3.0]])
    net.layers[0].bias.assign([1.0, -2.0, 3.0, 0.0])
    return net


def moped(delta=0.1, **options):
    options = {"likelihood_options": {"scale": 1.0}} | options
    return tfbdl.bayesianize(trained(), "gaussian", moped_delta=delta, **options)


def test_the_posterior_starts_at_the_weights_with_scales_in_proportion():
    net, model = trained(), moped(0.25)
    for name, weight in functional.site_names(net).items():
        weight = np.asarray(weight)
        np.testing.assert_array_equal(model.posterior.mean()[name], weight)
        expected = np.where(weight == 0, np.log1p(np.exp(-5.0)), 0.25 * np.abs(weight))
        np.testing.assert_allclose(model.posterior.stddev()[name], expected, rtol=1e-5)


def test_the_prior_is_centred_at_the_weights():
    net, model = trained(), moped(prior_options={"scale": 0.5})
    params = model.init(0)
    expected = sum(
        scipy.stats.norm(np.asarray(weight), 0.5).logpdf(params[name]).sum()
        for name, weight in functional.site_names(net).items()
    )
    assert float(model.log_prior(params)) == pytest.approx(expected, rel=1e-5)
    mean, stddev = model.gaussian_prior()
    np.testing.assert_array_equal(mean["dense_1.kernel"], net.layers[-1].kernel)
    np.testing.assert_allclose(stddev["dense_1.kernel"], 0.5)


def test_the_divergence_is_that_of_normals_about_one_centre():
    model = moped(0.1, prior_options={"scale": 2.0})
    sigma = np.concatenate([s.ravel() for s in model.posterior.stddev().values()])
    expected = np.sum(np.log(2.0 / sigma) + sigma**2 / 8.0 - 0.5)  # the means are equal
    draw = model.surrogate.sample(tfbdl.random.key(0))
    assert float(model.kl(draw)) == pytest.approx(expected, rel=1e-5)


def test_pruned_weights_are_no_part_of_the_divergence():
    model = moped(prior_options={"scale": 2.0}).prune(0.5)
    kept = np.concatenate([np.asarray(m).ravel() for m in model.surrogate.masks.values()]) > 0
    sigma = np.concatenate([s.ravel() for s in model.posterior.stddev().values()])[kept]
    expected = np.sum(np.log(2.0 / sigma) + sigma**2 / 8.0 - 0.5)
    draw = model.surrogate.sample(tfbdl.random.key(0))
    assert kept.sum() == kept.size - round(0.5 * kept.size)
    assert float(model.kl(draw)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_training_moves_the_posterior_and_not_the_prior(tmp_path):
    net, model = trained(), moped(estimator="flipout")
    model.compile("adam", jit_compile=False)
    model.fit(X, Y, epochs=3, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    fresh = model.clone(seed=4)
    for one in (model, again, fresh, model.clone()):
        assert one.moped_delta == 0.1
        for name, weight in functional.site_names(net).items():
            np.testing.assert_array_equal(one.prior_centres[name], weight)
    before = np.asarray(net.layers[-1].kernel)
    assert not np.array_equal(model.posterior.mean()["dense_1.kernel"], before)
    np.testing.assert_array_equal(fresh.posterior.mean()["dense_1.kernel"], before)
    for name, value in model.posterior.stddev().items():
        np.testing.assert_array_equal(again.posterior.stddev()[name], value)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_a_prior_with_learned_scales_is_centred_too():
    model = moped(prior="empirical_normal", num_data=32)
    prior = model.prior_of("dense_1.kernel", {})
    np.testing.assert_array_equal(prior.mean(), trained().layers[-1].kernel)


def test_copies_with_other_sites_or_without_a_centre():
    model = moped()
    fewer = model.clone(sites=["dense_1.kernel"])
    np.testing.assert_array_equal(
        fewer.prior_of("dense_1.kernel", {}).mean(), trained().layers[-1].kernel
    )
    plain, _ = model.clone(moped_delta=None).gaussian_prior()
    np.testing.assert_array_equal(plain["dense.bias"], np.zeros(4))


def test_a_configuration_without_the_option_is_that_of_before():
    assert "moped_delta" not in tfbdl.bayesianize(trained(), "gaussian").get_config()
    assert moped(0.2).get_config()["moped_delta"] == 0.2


def test_what_does_not_fit_is_said():
    with pytest.raises(OptionsError, match=r"moped_delta must be a finite number above 0.*-1"):
        moped(-1)
    with pytest.raises(OptionsError, match=r"Received: '0\.1'"):
        moped("0.1")
    with pytest.raises(OptionsError, match=r"Expected posterior='mean_field'. Received: 'delta'"):
        moped(posterior="delta")
    with pytest.raises(ModelError, match="centres a normal prior"):
        moped(prior="laplace")
