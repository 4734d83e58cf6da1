"""Linear regressions with priors over their precisions, and with one for each column."""

import numpy as np
import pytest
import tensorflow as tf
from linear_cases import closed, mvn_evidence, simulated
from scipy import stats
from sklearn.linear_model import ARDRegression

import tfbdl
from tfbdl import diagnostics, random

# -- linear_full ---------------------------------------------------------------------------------

HYPER = {"a0": 2.0, "b0": 1.0, "c0": 2.0, "d0": 0.5}


def by_quadrature(x, y):
    """log evidence, and mean and variance of each weight, by a sum over both precisions."""
    log_alpha, log_beta = np.linspace(-6, 4, 50), np.linspace(-1, 4, 50)
    phi = x
    terms, means, seconds = [], [], []
    for a in np.exp(log_alpha):
        for b in np.exp(log_beta):
            prior = stats.gamma.logpdf(a, 2.0, scale=1.0) + stats.gamma.logpdf(b, 2.0, scale=2.0)
            S = np.linalg.inv(a * np.eye(phi.shape[1]) + b * phi.T @ phi)
            mean = b * S @ phi.T @ y
            terms.append(mvn_evidence(phi, y, a, b) + prior + np.log(a) + np.log(b))
            means.append(mean)
            seconds.append(np.diag(S) + mean**2)
    terms = np.array(terms)
    cell = (log_alpha[1] - log_alpha[0]) * (log_beta[1] - log_beta[0])
    edge = np.ones((50, 50), bool)
    edge[1:-1, 1:-1] = False
    assert terms.reshape(50, 50)[edge].max() < terms.max() - 7.0  # the grid holds the mass
    weights = np.exp(terms - terms.max())
    evidence = terms.max() + np.log(weights.sum() * cell)
    weights /= weights.sum()
    mean = weights @ np.array(means)
    return evidence, mean, weights @ np.array(seconds) - mean**2


def test_vb_climbs_below_the_evidence_and_near_the_posterior():
    x, y = simulated(25, 2)
    y = y - 2.0
    fit = tfbdl.fit(
        "linear_full", (x, y), model_options={**HYPER, "intercept": False},
        engine_options={"steps": 50, "tolerance": 1e-12},
    )  # fmt: skip
    evidence, mean, variance = by_quadrature(x, y)
    trace = np.array(fit.history["elbo"])
    assert (np.diff(trace) > -1e-9).all()
    assert evidence - 0.5 < trace[-1] < evidence  # the bound misses what factors cannot hold
    np.testing.assert_allclose(
        fit.posterior.mean()["weights"], mean, atol=0.05 * np.sqrt(variance).min()
    )
    np.testing.assert_allclose(fit.posterior.stddev()["weights"], np.sqrt(variance), rtol=0.1)


def test_vb_keeps_its_digits_where_columns_are_of_all_sizes():
    # powers up to 12 of inputs to 10: columns of lengths 1 to 1e13
    x = np.linspace(0.0, 10.0, 60)[:, None]
    y = np.sin(x[:, 0]) + 0.1 * np.random.default_rng(0).normal(size=60)
    options = {"basis": "polynomial", "degree": 12}
    vb = tfbdl.fit("linear_full", (x, y), model_options=options)
    exact = closed(x, y, **options)
    np.testing.assert_allclose(vb.predict(x).mean, exact.predict(x).mean, atol=0.02)
    assert vb.metrics["beta"] == pytest.approx(exact.metrics["beta"], rel=0.05)


def test_the_variance_of_a_vb_prediction_is_that_of_its_factors():
    x, y = simulated(6, 2)
    fit = tfbdl.fit("linear_full", (x, y), model_options=HYPER)
    draws = fit.posterior.sample(100_000, seed=1)
    function = x @ draws["weights"].T + draws["intercept"]
    noise = np.mean(1.0 / draws["beta"])
    p = fit.predict(x)
    np.testing.assert_allclose(p.epistemic[:, 0], function.var(axis=1), rtol=0.03)
    np.testing.assert_allclose(p.aleatoric[:, 0], noise, rtol=0.03)


def test_conditionals_are_those_of_the_textbook():
    x, y = simulated(25, 2)
    model = tfbdl.build("linear_full", (x, y), model_options=HYPER)
    batch = tf.constant(x), tf.constant(y)
    state = {"weights": [1.0, -2.0], "intercept": 0.5, "alpha": 0.6, "beta": 2.0}
    state = {name: tf.constant(value, tf.float64) for name, value in state.items()}
    keys = tf.bitcast(random.split(random.key(0), 1000), tf.int32)

    def draws(block, site):
        def one(key):
            return model.conditionals[block](key, state, batch)[site]

        return tf.function(lambda: tf.map_fn(one, keys, fn_output_signature=tf.float64))().numpy()

    phi = np.column_stack([x, np.ones(25)])
    S = np.linalg.inv(np.diag([0.6, 0.6, 0.0]) + 2.0 * phi.T @ phi)
    found = np.column_stack([draws("weights", "weights"), draws("weights", "intercept")])
    mean = 2.0 * S @ phi.T @ y
    np.testing.assert_array_less(abs(found.mean(axis=0) - mean), 5 * np.sqrt(np.diag(S) / 1000))
    sizes = np.sqrt(np.outer(np.diag(S), np.diag(S)))  # five standard errors of a covariance
    assert (abs(np.cov(found.T) - S) < 5 * sizes * np.sqrt(2 / 1000)).all()
    misfit = ((y - x @ [1.0, -2.0] - 0.5) ** 2).sum()
    exact = {"alpha": (2.0 + 1.0, 1.0 + 2.5), "beta": (2.0 + 12.5, 0.5 + misfit / 2)}
    for name, (shape, rate) in exact.items():
        found = stats.kstest(draws(name, name), stats.gamma(shape, scale=1.0 / rate).cdf)
        assert found.pvalue > 1e-3


@pytest.mark.slow
def test_gibbs_draws_from_the_posterior():
    x, y = simulated(25, 2)
    y = y - 2.0
    _, mean, variance = by_quadrature(x, y)
    fit = tfbdl.fit(
        "linear_full", (x, y), engine="gibbs", model_options={**HYPER, "intercept": False},
        engine_options={"chains": 2, "warmup": 100, "draws": 2000},
    )  # fmt: skip
    draws = fit.posterior.draws["weights"]
    for j in range(2):
        error = diagnostics.mcse_mean(draws[..., j])
        assert abs(draws[..., j].mean() - mean[j]) < 4 * error
    np.testing.assert_allclose(draws.var((0, 1)), variance, rtol=0.15)


@pytest.mark.slow
def test_vb_gibbs_and_nuts_agree():
    x, y = simulated(60, 3)
    vb = tfbdl.fit("linear_full", (x, y))
    lengths = {"chains": 2, "warmup": 500, "draws": 2000}
    for engine in ("gibbs", "nuts"):
        fit = tfbdl.fit("linear_full", (x, y), engine=engine, engine_options=lengths)
        for name in ("weights", "intercept", "beta"):
            sd = vb.posterior.stddev()[name]
            assert (abs(fit.posterior.mean()[name] - vb.posterior.mean()[name]) < 0.15 * sd).all()
            np.testing.assert_allclose(fit.posterior.stddev()[name], sd, rtol=0.1)
        np.testing.assert_allclose(
            fit.predict(x[:4], draws=2000).variance, vb.predict(x[:4]).variance, rtol=0.1
        )


# -- ard -----------------------------------------------------------------------------------------


def test_ard_finds_the_columns_that_matter_as_scikit_learn_does():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 20)) * np.geomspace(0.1, 10, 20)
    w = np.zeros(20)
    w[:4] = [10.0, -20.0, 5.0, 8.0]
    y = x @ w + 0.3 * rng.normal(size=100) + 5.0
    fit = closed(x, y, "ard")
    relevant, alpha, beta = fit.model.relevant_, fit.model.alpha_, float(fit.model.beta_)
    assert relevant[:4].all()
    assert relevant.sum() <= 12  # of 16 useless columns a third fits noise by chance
    assert (fit.posterior.stddev()["weights"][~relevant] == 0.0).all()
    phi, t = x - x.mean(axis=0), y - y.mean()
    kept = phi[:, relevant]
    expected = mvn_evidence(kept, t, alpha[relevant], beta)
    assert fit.metrics["log_evidence"] == pytest.approx(expected, abs=1e-7)
    for i in range(kept.shape[1]):  # stationary in each precision that is finite
        nudge = np.exp(1e-3 * np.eye(kept.shape[1])[i])
        up, down = (mvn_evidence(kept, t, alpha[relevant] * f, beta) for f in (nudge, 1 / nudge))
        assert abs(up - down) / 2e-3 < 1e-4
    C = np.linalg.inv(np.eye(100) / beta + (kept / alpha[relevant]) @ kept.T)
    for column in phi[:, ~relevant].T:  # Tipping & Faul 2003: q^2 <= s where alpha is infinite
        assert (column @ C @ t) ** 2 <= column @ C @ column
    none = {"alpha_1": 0, "alpha_2": 0, "lambda_1": 0, "lambda_2": 0}
    peer = ARDRegression(**none, threshold_lambda=1e8, tol=1e-8, max_iter=5000).fit(x, y)
    np.testing.assert_allclose(fit.posterior.mean()["weights"], peer.coef_, atol=1e-3)


def test_the_relevance_vector_machine_needs_few_rows_of_sinc():
    rng = np.random.default_rng(1)
    x = np.linspace(-10.0, 10.0, 60)[:, None]
    y = np.sinc(x[:, 0] / np.pi) + 0.05 * rng.normal(size=60)
    options = {"basis": "gaussian", "centers": "rows", "width": 2.0}
    fit = closed(x, y, "ard", **options)
    assert fit.metrics["relevant"] <= 12
    grid = np.linspace(-9.0, 9.0, 50)[:, None]
    error = fit.predict(grid).mean[:, 0] - np.sinc(grid[:, 0] / np.pi)
    assert np.sqrt(np.mean(error**2)) < 0.04
    assert fit.model.centers_.shape == (60, 1)
