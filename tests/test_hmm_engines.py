"""Hidden Markov models fitted by EM, by Gibbs sampling and through their log joint."""

import itertools

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
from tfbdl_hmm.config import HMMOptions
from tfbdl_hmm.model import HiddenMarkovModel
from tfbdl_hmm.sequences import pad

import tfbdl
from tfbdl import diagnostics, errors, random
from tfbdl.data import as_dataset

TRUTH = HiddenMarkovModel.of(
    [0.5, 0.5],
    [[0.9, 0.1], [0.2, 0.8]],
    means=[[0.0, 0.0], [3.0, 1.0]],
    covariances=[[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.5], [0.5, 2.0]]],
)
SYMBOLS = HiddenMarkovModel.of(
    [0.2, 0.8], [[0.6, 0.4], [0.3, 0.7]], probs=[[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]]
)
START = {
    "initial": [0.4, 0.6],
    "transition": [[0.7, 0.3], [0.4, 0.6]],
    "means": [[0.5, 0.2], [2.0, 0.5]],
    "covariances": [np.eye(2), 2.0 * np.eye(2)],
}


@pytest.fixture(scope="module")
def states_and_y():
    states, y = TRUTH.sample(300, seed=0)
    return states[0], y[0]


@pytest.fixture(scope="module")
def fit(states_and_y):
    return tfbdl.fit("hmm", states_and_y[1], seed=1)


def one_step_of_baum_welch(params, y):
    """Rabiner's (40), (53), (54) in plain loops with his scaled variables; and log p(y)."""
    k, steps = len(params["initial"]), len(y)
    A = np.array(params["transition"])
    b = np.stack(
        [scipy.stats.multivariate_normal(m, S).pdf(y)
         for m, S in zip(params["means"], params["covariances"], strict=True)], axis=1,
    )  # fmt: skip
    alpha, beta, scale = np.zeros((steps, k)), np.ones((steps, k)), np.zeros(steps)
    for t in range(steps):
        alpha[t] = (params["initial"] if t == 0 else alpha[t - 1] @ A) * b[t]
        scale[t] = alpha[t].sum()
        alpha[t] /= scale[t]
    for t in range(steps - 2, -1, -1):
        beta[t] = A @ (b[t + 1] * beta[t + 1]) / scale[t + 1]
    gamma = alpha * beta
    xi = sum(
        np.outer(alpha[t], b[t + 1] * beta[t + 1]) * A / scale[t + 1] for t in range(steps - 1)
    )
    means = np.stack([np.average(y, axis=0, weights=gamma[:, j]) for j in range(k)])
    return {
        "initial": gamma[0],
        "transition": xi / xi.sum(axis=1, keepdims=True),
        "means": means,
        "covariances": np.stack([np.cov(y.T, aweights=gamma[:, j], ddof=0) for j in range(k)]),
    }, np.log(scale).sum()


def test_steps_of_em_are_those_of_baum_welch(states_and_y):
    y = states_and_y[1]
    fit = tfbdl.fit("hmm", y, engine_options={"initial": START, "steps": 2, "tolerance": 0})
    first, _ = one_step_of_baum_welch(START, y)
    second, after_first = one_step_of_baum_welch(first, y)
    _, after_second = one_step_of_baum_welch(second, y)
    assert fit.history["log_likelihood"] == pytest.approx([after_first, after_second], abs=1e-8)
    for name, expected in second.items():
        np.testing.assert_allclose(getattr(fit.model, f"{name}_"), expected, atol=1e-9)
    assert fit.model.log_prob(y) == pytest.approx(after_second, abs=1e-8)


def test_em_climbs_to_the_parameters_that_made_the_data(fit, states_and_y):
    states, y = states_and_y
    trace = np.array(fit.history["log_likelihood"])
    assert (np.diff(trace) >= -1e-9).all()
    assert trace[-1] >= TRUTH.log_prob(y)
    order = np.argsort(fit.model.means_[:, 0])
    np.testing.assert_allclose(fit.model.means_[order], TRUTH.means_, atol=0.4)
    found = fit.model.transition_[np.ix_(order, order)]
    np.testing.assert_allclose(found, TRUTH.transition_, atol=0.12)
    accuracy = (order.argsort()[fit.model.viterbi(y)] == states).mean()
    best = (TRUTH.viterbi(y) == states).mean()
    assert best - 0.03 < accuracy < 1.0
    free = 1 + 2 + 2 * (2 + 3)
    expected = -2.0 * trace[-1] + free * np.log(300)
    assert fit.metrics["bic"] == pytest.approx(expected, abs=1e-6)
    joint = fit.model.viterbi(y, return_log_joint=True)[1]
    assert fit.metrics["icl"] == pytest.approx(free * np.log(300) - 2.0 * joint, abs=1e-6)


def test_a_fit_is_the_same_after_save_and_load(fit, states_and_y, tmp_path):
    fit.save(tmp_path / "run")
    again = tfbdl.load(tmp_path / "run")
    assert again.model.log_prob(states_and_y[1]) == fit.model.log_prob(states_and_y[1])
    np.testing.assert_array_equal(again.model.covariances_, fit.model.covariances_)


def test_sequences_filled_with_nan_count_as_the_shorter_ones():
    params = {name: tf.constant(value) for name, value in SYMBOLS.params.items()}
    parts = [[0, 1, np.nan, 2, 1], [1]]
    together = SYMBOLS.e_step(params, tf.constant(pad(parts)))
    apart = [SYMBOLS.e_step(params, tf.constant([part], tf.float64)) for part in parts]
    for name, value in together.items():
        np.testing.assert_allclose(value, sum(part[name] for part in apart), atol=1e-12)


def test_statistics_at_drawn_paths_have_the_exact_expectation():
    params = {name: tf.constant(value) for name, value in SYMBOLS.params.items()}
    row = tf.constant([[0.0, 1.0, np.nan, 2.0, 1.0]], tf.float64)
    exact = SYMBOLS.e_step(params, row)
    drawn = SYMBOLS.sampled_e_step(params, tf.repeat(row, 4000, 0), random.key(1, "draws"))
    np.testing.assert_allclose(drawn["log_likelihood"], 4000 * exact["log_likelihood"])
    for name in ("initial", "transition", "symbols"):  # at most 4 each, so of variance at most 4
        gap = np.abs(drawn[name] / 4000 - exact[name]).max()
        assert 0.0 < gap < 4.0 * np.sqrt(4.0 / 4000)


def test_states_that_collapse_are_told_of():
    line = np.linspace(3.0, 5.0, 200)
    y = np.concatenate([np.zeros((100, 2)), np.column_stack([line, np.cos(9.0 * line)])])
    with pytest.warns(errors.TfbdlWarning, match="reached variance_floor"):
        fit = tfbdl.fit("hmm", y, engine_options={"steps": 50}, seed=0)
    least = np.linalg.eigvalsh(fit.model.covariances_).min()
    assert least == pytest.approx(1e-6, rel=1e-3)


@pytest.mark.parametrize(
    ("x", "options", "error", "match"),
    [
        (np.zeros(3), {"num_states": 4}, errors.DataError, "as many observations as states"),
        ((np.zeros((4, 1)), np.zeros(4)), {}, errors.DataError, r"Received: \(x, y\)"),
        ([0.0, 0.5], {"emission": "categorical"}, errors.DataError, "Symbols must be whole"),
        ([0, 1, 5], {"emission": "categorical", "num_symbols": 3}, errors.DataError, "from 0 to 2"),
        (np.full((5, 1), np.nan), {}, errors.DataError, "all are missing"),
        (np.zeros((2, 2, 2, 2)), {}, errors.DataError, "Observations of a gaussian model must"),
    ],
)
def test_data_that_cannot_be_fitted_are_refused(x, options, error, match):
    with pytest.raises(error, match=match):
        tfbdl.fit("hmm", x, model_options=options)


def test_a_sequence_without_some_of_its_steps_is_refused(states_and_y):
    torn = as_dataset(states_and_y[1]).hold_out([5, 9])
    with pytest.raises(errors.DataError, match=r"tear a sequence apart.*Received: 2 steps"):
        tfbdl.fit("hmm", torn)


def test_starts_that_cannot_be_are_refused(states_and_y):
    y = states_and_y[1]
    bad = {**START, "transition": [[0.7, 0.2], [0.4, 0.6]]}
    with pytest.raises(errors.OptionsError, match=r"Each row of transition must.*sums \[0.9"):
        tfbdl.fit("hmm", y, engine_options={"initial": bad})
    with pytest.raises(errors.OptionsError, match="k-means needs distances"):
        tfbdl.fit(
            "hmm", [0, 1, 0, 1], model_options={"emission": "categorical"},
            engine_options={"initial": "kmeans++"},
        )  # fmt: skip


def symbols_posterior(y, k, symbols):
    """Weights of all paths with the parameters integrated out under uniform Dirichlets."""

    def marginal(counts):
        n = np.asarray(counts, float)
        a = np.ones_like(n)
        return (
            scipy.special.gammaln(a.sum(-1)) - scipy.special.gammaln((a + n).sum(-1))
            + scipy.special.gammaln(a + n).sum(-1)
        ).sum()  # fmt: skip

    paths = np.array(list(itertools.product(range(k), repeat=len(y))))
    logs = []
    for z in paths:
        moves, seen = np.zeros((k, k)), np.zeros((k, symbols))
        np.add.at(moves, (z[:-1], z[1:]), 1)
        there = ~np.isnan(y)
        np.add.at(seen, (z[there], y[there].astype(int)), 1)
        logs.append(marginal(np.eye(k)[z[0]]) + marginal(moves) + marginal(seen))
    logs = np.array(logs)
    return paths, np.exp(logs - np.logaddexp.reduce(logs))


@pytest.mark.slow
def test_gibbs_draws_have_the_posterior_of_symbols():
    y = np.array([0, 0, 1, np.nan, 1, 0])
    paths, weights = symbols_posterior(y, 2, 2)
    fit = tfbdl.fit(
        "hmm", y, engine="gibbs", seed=3,
        model_options={"emission": "categorical", "num_symbols": 2},
        engine_options={"chains": 4, "warmup": 100, "draws": 4000},
    )  # fmt: skip
    z = fit.posterior.draws["z"]
    assert z.shape == (4, 4000, 6)
    for i, j in ((0, 1), (1, 2), (2, 3), (0, 5)):  # does not depend on the states' numbers
        expected = weights[paths[:, i] == paths[:, j]].sum()
        same = (z[..., i] == z[..., j]).astype(float)
        assert abs(same.mean() - expected) < 4 * diagnostics.mcse_mean(same)
    staying = (paths[:, 1:] == paths[:, :-1]).sum(axis=1)
    drawn = fit.posterior.draws["transition"]
    rows = np.stack([(paths[:, :-1] == j).sum(axis=1) for j in range(2)], axis=1)
    own = np.stack(
        [((paths[:, :-1] == j) & (paths[:, 1:] == j)).sum(axis=1) for j in range(2)], axis=1
    )
    expected = weights @ ((own + 1) / (rows + 2)).sum(axis=1)  # E[trace A], Dirichlet means
    trace = np.trace(drawn, axis1=-2, axis2=-1)
    assert abs(trace.mean() - expected) < 4 * diagnostics.mcse_mean(trace)
    assert abs((z[..., 1:] == z[..., :-1]).sum(-1).mean() - weights @ staying) < 0.1
    best = np.unravel_index(fit.posterior.sample_stats["lp"].argmax(), (4, 4000))
    np.testing.assert_allclose(fit.model.transition_, drawn[best])


@pytest.mark.parametrize("covariance", ["full", pytest.param("diagonal", marks=pytest.mark.slow)])
def test_gibbs_draws_of_one_state_are_the_conjugate_posterior(covariance):
    y = np.random.default_rng(5).multivariate_normal([1.0, 2.0], [[1.0, 0.6], [0.6, 2.0]], size=12)
    y[4] = np.nan
    options = {
        "num_states": 1, "covariance": covariance,
        "m0": [0.0, 1.0], "kappa0": 2.0, "nu0": 6.0, "Psi0": [[3.0, 0.5], [0.5, 2.0]],
    }  # fmt: skip
    fit = tfbdl.fit(
        "hmm", y, engine="gibbs", seed=0, model_options=options,
        engine_options={"chains": 2, "warmup": 5, "draws": 3000},
    )  # fmt: skip
    seen = y[~np.isnan(y[:, 0])]
    n, mean, prior_mean = len(seen), seen.mean(axis=0), np.array([0.0, 1.0])
    scatter = (seen - mean).T @ (seen - mean)
    gap = mean - prior_mean
    Psi = np.array(options["Psi0"]) + scatter + 2.0 * n / (2.0 + n) * np.outer(gap, gap)
    draws = fit.posterior.draws["means"][:, :, 0]
    expected = (2.0 * prior_mean + n * mean) / (2.0 + n)
    assert (np.abs(draws.mean((0, 1)) - expected) < 4 * diagnostics.mcse_mean(draws)).all()
    if covariance == "full":
        spread, expected = fit.posterior.draws["covariances"][:, :, 0], Psi / (6.0 + n - 3.0)
    else:
        spread, expected = fit.posterior.draws["variances"][:, :, 0], np.diag(Psi) / (4.0 + n)
    assert (np.abs(spread.mean((0, 1)) - expected) < 4 * diagnostics.mcse_mean(spread)).all()
    assert fit.model.covariances_.shape == (1, 2, 2)


def test_the_log_joint_is_prior_and_likelihood(states_and_y):
    y = states_and_y[1]
    options = HMMOptions(
        stickiness=3.0, transition_concentration=2.0, initial_concentration=1.5,
        m0=[0.5, 0.5], kappa0=0.5, nu0=5.0, Psi0=[2.0, 1.0],
    )  # fmt: skip
    model = HiddenMarkovModel(options, as_dataset(y, dtype="float64").info)
    params = {name: tf.constant(value) for name, value in TRUTH.params.items()}
    expected = TRUTH.log_prob(y) + scipy.stats.dirichlet([1.5, 1.5]).logpdf([0.5, 0.5])
    for i, alpha in enumerate(([5.0, 2.0], [2.0, 5.0])):
        expected += scipy.stats.dirichlet(alpha).logpdf(TRUTH.transition_[i])
        S = TRUTH.covariances_[i]
        expected += scipy.stats.invwishart(5.0, np.diag([2.0, 1.0])).logpdf(S)
        expected += scipy.stats.multivariate_normal([0.5, 0.5], S / 0.5).logpdf(TRUTH.means_[i])
    assert float(model.log_joint(params, y)) == pytest.approx(expected, rel=1e-10)
    two = {name: tf.stack([value, value]) for name, value in params.items()}
    np.testing.assert_allclose(model.log_joints(two, y), [expected] * 2, rtol=1e-10)
    with pytest.raises(errors.DataError, match="steps of one sequence belong together"):
        model.log_joint(params, y[:5])


def test_samplers_can_begin_at_a_fit(fit, states_and_y):
    start = fit.model.clone().init(7)
    np.testing.assert_allclose(start["means"], fit.model.means_)
    fresh = fit.model.clone(seed=8).init(7)
    assert np.abs(fresh["means"] - start["means"]).max() > 0.0
    assert fit.model.init_latents(0)["z"].shape == (300,)


@pytest.mark.slow
def test_nuts_and_gibbs_agree(states_and_y):
    y = states_and_y[1][:150, :1]
    found = {}
    for engine in ("nuts", "gibbs"):
        options = {"chains": 2, "warmup": 300, "draws": 1500}
        drawn = tfbdl.fit("hmm", y, engine=engine, seed=2, engine_options=options).posterior.draws
        order = drawn["means"][..., 0].argsort(axis=-1)
        means = np.take_along_axis(drawn["means"][..., 0], order, axis=-1)
        staying = np.diagonal(drawn["transition"], axis1=-2, axis2=-1)
        found[engine] = np.concatenate([means, np.take_along_axis(staying, order, axis=-1)], -1)
    errors_of = [diagnostics.mcse_mean(value) for value in found.values()]
    gap = found["nuts"].mean((0, 1)) - found["gibbs"].mean((0, 1))
    assert (np.abs(gap) < 4.0 * np.hypot(*errors_of)).all()


@pytest.mark.slow
def test_criteria_choose_the_number_of_states(states_and_y):
    bic = [
        tfbdl.fit(
            "hmm", states_and_y[1], model_options={"num_states": k}, engine_options={"restarts": 3}
        ).metrics["bic"]
        for k in (1, 2, 3)
    ]
    assert np.argmin(bic) == 1
