"""BayesianNetwork as a density and as an object: sites, log joint, options, copies."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import tensorflow as tf
from tensorflow_probability import distributions as tfd

import tfbdl
from tfbdl import BayesianNetwork, functional, likelihoods, random
from tfbdl.distributions import Prior
from tfbdl.errors import ModelError, OptionsError, UnknownNameError

layers = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 3)).astype("float32")
Y = (X @ [1.0, -1.0, 0.5] + 0.1 * RNG.normal(size=12)).astype("float32")
SITES = ("dense.kernel", "dense.bias", "dense_1.kernel", "dense_1.bias")


def net(units=4):
    with functional.seeded(3):
        return keras.Sequential(
            [keras.Input((3,)), layers.Dense(units, "tanh"), layers.Dense(1)], name="net"
        )


def network(**options):
    return BayesianNetwork(net(), "gaussian", **options)


# -- sites


def test_all_trainable_variables_are_random_by_default():
    model = network()
    assert model.random_sites == SITES
    assert [site.name for site in model.sites] == [*SITES, "likelihood.scale"]
    assert [site.shape for site in model.sites] == [(3, 4), (4,), (4, 1), (1,), ()]
    assert model.sites[0].bijector is None
    assert float(model.sites[-1].bijector.forward(0.0)) == pytest.approx(np.log(2))


def test_the_posterior_starts_at_the_weights_of_the_net():
    model = network()
    for name, variable in functional.site_names(model.net).items():
        np.testing.assert_array_equal(model.posterior.mean()[name], variable)
        np.testing.assert_allclose(model.posterior.stddev()[name], np.log1p(np.exp(-5)), rtol=1e-6)


@pytest.mark.parametrize(
    ("sites", "chosen"),
    [
        ("dense.kernel", ("dense.kernel",)),
        (["*.kernel"], ("dense.kernel", "dense_1.kernel")),
        (["dense_1.*", "dense.bias"], SITES[1:]),
        (lambda name, variable: len(variable.shape) == 1, ("dense.bias", "dense_1.bias")),
        (["dense.bias", "likelihood.scale"], ("dense.bias", "likelihood.scale")),
    ],
)
def test_sites_are_chosen_by_name_pattern_or_predicate(sites, chosen):
    model = network(sites=sites)
    assert model.random_sites == chosen
    trained = {id(variable) for variable in model.trainable_variables}
    assert all(id(weight) in trained for weight in model.net.weights)  # the rest by its value


def test_what_is_no_site_does_not_vary():
    model = network(sites="dense_1.kernel")
    draws = model.posterior.sample(5)
    assert set(draws) == {"dense_1.kernel", "likelihood.scale"}
    assert np.ptp(draws["dense_1.kernel"], axis=0).min() > 0
    assert np.ptp(draws["likelihood.scale"]) == 0


def test_an_unknown_site_names_the_nearest():
    with pytest.raises(OptionsError, match=r"'dens.kernel' matches.*Did you mean 'dense.kernel'"):
        network(sites="dens.kernel")


def test_no_random_site_is_refused():
    with pytest.raises(ModelError, match=r"Trainable variables: dense\.kernel, dense\.bias"):
        network(sites=lambda name, variable: False)


def test_a_regularizer_on_a_random_weight_is_refused():
    dense = layers.Dense(1, kernel_regularizer="l2")
    with pytest.raises(ModelError, match=r"'dense\.kernel' has a regularizer.*second prior"):
        BayesianNetwork(keras.Sequential([keras.Input((3,)), dense]), "gaussian")


# -- the joint density


def test_log_joint_is_prior_and_likelihood_in_numpy():
    model = network(prior_options={"scale": 0.7}, num_data=120)
    params = {
        **{s.name: RNG.normal(size=s.shape).astype("float32") for s in model.sites[:-1]},
        "likelihood.scale": np.float32(0.6),
    }
    w1, b1, w2, b2 = (params[name] for name in SITES)
    loc = (np.tanh(X @ w1 + b1) @ w2 + b2)[:, 0]
    log_lik = scipy.stats.norm(loc, 0.6).logpdf(Y)
    log_prior = sum(scipy.stats.norm(0, 0.7).logpdf(params[n]).sum() for n in SITES)
    log_prior += scipy.stats.lognorm(1.0).logpdf(0.6)  # LogNormal(0, 1)
    tensors = {name: tf.constant(value) for name, value in params.items()}
    np.testing.assert_allclose(model.log_likelihood(tensors, (X, Y)), log_lik, rtol=1e-4)
    assert float(model.log_prior(tensors)) == pytest.approx(log_prior, rel=1e-5)
    expected = log_prior + 120 * log_lik.mean()  # twelve rows stand for 120
    assert float(model.log_joint(tensors, (X, Y))) == pytest.approx(expected, rel=1e-5)


def test_log_joint_of_a_model_that_knows_no_number_counts_the_rows_given():
    model = network()
    params = model.init(0)
    expected = float(model.log_prior(params)) + np.sum(model.log_likelihood(params, (X, Y)))
    assert float(model.log_joint(params, (X, Y))) == pytest.approx(expected, rel=1e-5)


def test_log_joint_runs_the_net_without_dropout_and_with_fixed_moving_statistics():
    with functional.seeded(1):
        body = keras.Sequential(
            [
                keras.Input((3,)),
                layers.Dense(8),
                layers.BatchNormalization(),
                layers.Dropout(0.5),
                layers.Dense(1),
            ]
        )
    model = BayesianNetwork(body, "gaussian")
    params = model.init(0)
    before = [variable.numpy() for variable in body.variables]
    values = {float(model.log_joint(params, (X, Y))) for _ in range(3)}
    assert len(values) == 1
    for was, variable in zip(before, body.variables, strict=True):
        np.testing.assert_array_equal(was, variable)


def test_init_is_a_function_of_the_seed():
    model = network()
    first, second, other = model.init(1), model.init(1), model.init(2)
    for name in SITES:
        np.testing.assert_array_equal(first[name], second[name])
        assert not np.array_equal(first[name], other[name])
        np.testing.assert_allclose(first[name], model.posterior.mean()[name], atol=0.06)
    assert float(first["likelihood.scale"]) == pytest.approx(0.5)


def test_elbo_is_the_expected_log_likelihood_less_the_kl():
    model = network(posterior_options={"initial_raw_scale": -2.0})
    draws = model.posterior.sample(50, seed=4)  # the draws that elbo takes at this seed
    terms = []
    for i in range(50):
        params = {name: tf.constant(value[i]) for name, value in draws.items()}
        terms.append(float(tf.reduce_sum(model.log_likelihood(params, (X, Y)))))
    kl = 0.0
    for name, mean in model.posterior.mean().items():
        if name != "likelihood.scale":
            q = tfd.Normal(mean, model.posterior.stddev()[name])
            kl += float(tf.reduce_sum(tfd.kl_divergence(q, tfd.Normal(0.0, 1.0))))
    assert model.elbo(X, Y, draws=50, seed=4) == pytest.approx(np.mean(terms) - kl, rel=1e-5)


def test_kl_of_a_sampled_scale_is_that_of_its_hyperprior_in_the_unconstrained_space():
    model = network(sites="likelihood.scale", posterior_options={"initial_raw_scale": -1.0})
    loc = float(model.learned_raw["likelihood.scale"].numpy())
    own = scipy.stats.norm(loc, np.logaddexp(0, -1.0))

    def integrand(u):  # log q(u) - log p(softplus(u)) - log |d softplus / du|
        log_prior = scipy.stats.lognorm(1.0).logpdf(np.logaddexp(0, u)) - np.logaddexp(0, -u)
        return own.pdf(u) * (own.logpdf(u) - log_prior)

    exact = scipy.integrate.quad(integrand, loc - 3, loc + 3)[0]
    draws = model.surrogate.sample(random.split(random.key(0), 4000))
    estimates = tf.vectorized_map(model.kl, draws).numpy()
    error = float(estimates.std()) / len(estimates) ** 0.5
    assert estimates.mean() == pytest.approx(exact, abs=4 * error)
    assert 4 * error < 0.1 * exact


# -- options


@pytest.mark.parametrize("name", ["flipot", "reparam", "Flipout"])
def test_an_unknown_estimator_is_refused(name):
    with pytest.raises(OptionsError, match=f"reparameterization, .*Received: '{name}'"):
        network(estimator=name)


def test_names_that_nothing_provides_are_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'gaussian'"):
        BayesianNetwork(net(), "gausian")
    with pytest.raises(UnknownNameError, match="Did you mean 'normal'"):
        network(prior="norml")
    with pytest.raises(UnknownNameError, match="Did you mean 'full_rank'"):
        network(posterior="fullrank")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_data": 0}, "num_data must be at least 1"),
        ({"kl_weight": -1.0}, "kl_weight must be"),
        ({"kl_weight": float("nan")}, "kl_weight must be"),
        ({"prior_options": {"scale": -1.0}}, "scale"),
        ({"likelihood_options": {"scale": 0.0}}, "scale"),
        ({"posterior_options": {"rank": 2}}, "'mean_field' has no option 'rank'"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(OptionsError, match=message):
        network(**options)


def test_a_net_that_is_none_or_has_no_weights_yet_is_refused():
    with pytest.raises(ModelError, match="must be a Keras 3 model"):
        BayesianNetwork(lambda x: x, "gaussian")
    unbuilt = BayesianNetwork(keras.Sequential([layers.Dense(1)], name="late"), "gaussian")
    with pytest.raises(ModelError, match=r"'late' has no weights yet.*keras\.Input"):
        unbuilt.predict(X)


def test_a_net_of_several_outputs_is_refused():
    inputs = keras.Input((3,))
    two = keras.Model(inputs, [layers.Dense(1)(inputs), layers.Dense(1)(inputs)])
    with pytest.raises(ModelError, match=r"one output tensor.*Received: 2 outputs"):
        BayesianNetwork(two, "gaussian")(X)


def test_full_rank_of_a_large_net_is_refused_with_the_memory():
    with pytest.raises(ModelError, match=r"5,001 parameters.*GiB.*above 2,000"):
        BayesianNetwork(net(1000), "gaussian", posterior="full_rank")


def test_a_prior_and_a_likelihood_may_be_objects():
    model = BayesianNetwork(net(), likelihoods.Gaussian(scale=0.3), tfbdl.prior("laplace"))
    assert (model.prior.name, model.likelihood.scale) == ("laplace", 0.3)
    with pytest.raises(OptionsError, match="prior_options go with a prior's name"):
        network(prior=tfbdl.prior("laplace"), prior_options={"scale": 2.0})


def test_a_custom_prior_is_counted_as_it_is_written():
    class Cauchy(Prior):
        def element(self, shape, dtype, name, **parameters):
            return tfd.Cauchy(tf.zeros((), dtype), 2.0)

    model = network(prior=Cauchy(tfbdl.Config()))
    params = model.init(0)
    expected = sum(scipy.stats.cauchy(0, 2).logpdf(params[name]).sum() for name in SITES)
    expected += scipy.stats.lognorm(1.0).logpdf(0.5)
    assert float(model.log_prior(params)) == pytest.approx(expected, rel=1e-5)
    model.compile(jit_compile=False)
    assert np.isfinite(model.fit(X, Y, verbose=0).history["loss"]).all()
    with pytest.raises(ModelError, match="no registered name"):
        model.get_config()


# -- copies


def test_bayesianize_leaves_the_net_as_it_is():
    original = net()
    before = original.get_weights()
    model = tfbdl.bayesianize(original, "gaussian")
    for variable in model.trainable_variables:
        variable.assign_add(tf.ones_like(variable))
    for was, now in zip(before, original.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


def test_clone_has_the_same_posterior_or_starts_anew_from_a_seed():
    model = network(posterior="low_rank", posterior_options={"rank": 2}, num_data=9)
    for variable in model.trainable_variables:
        variable.assign_add(0.1 * tf.ones_like(variable))
    copy = model.clone()
    for name, value in model.posterior.sample(3).items():
        np.testing.assert_array_equal(copy.posterior.sample(3)[name], value)
    assert (copy.num_data, int(copy.rng_seed)) == (9, int(model.rng_seed))
    first, second, other = model.clone(seed=1), model.clone(seed=1), model.clone(seed=2)
    np.testing.assert_array_equal(first.predict(X), second.predict(X))
    assert not np.array_equal(first.predict(X), other.predict(X))
    assert first.posterior.stddev()["dense.kernel"].max() < 0.02


def test_configuration_is_plain_and_makes_the_model_again():
    model = BayesianNetwork(
        net(),
        "student_t",
        prior="scale_mixture",
        likelihood_options={"df": 5.0},
        prior_options={"pi": 0.25},
        sites=["*.kernel"],
        kl_weight=0.5,
        num_data=7,
        name="mine",
    )
    config = model.get_config()
    assert (config["likelihood"], config["prior"]) == ("student_t", "scale_mixture")
    again = BayesianNetwork.from_config(config)
    assert again.get_config() == config
    assert again.random_sites == ("dense.kernel", "dense_1.kernel")
    assert again.prior.options.pi == 0.25
    assert again.likelihood.df == 5.0
