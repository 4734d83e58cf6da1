"""The model ``kalman``: EM against the exact joint normal, its priors, and what a fit offers."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from linear_gaussian_cases import condition, joint, random_model
from tfbdl_kalman_lstm import KalmanFilter, prior
from tfbdl_kalman_lstm.config import KalmanOptions
from tfbdl_kalman_lstm.likelihood import log_likelihood
from tfbdl_kalman_lstm.model import KalmanModel
from tfbdl_kalman_lstm.series import NILE

import tfbdl
from tfbdl.config import make
from tfbdl.data import as_dataset
from tfbdl.errors import DataError, OptionsError
from tfbdl.inference.mcmc.target import full_batch

T = 5
OFFSET = np.array([0.4, -0.3])
TRUTH = random_model(3)
EVERYTHING = {**TRUTH, "B": OFFSET}
LEARNED = {
    "everything": {"learned": ("A", "B", "H", "Q", "R", "m0", "P0")},
    "noise alone": {"learned": ("Q", "R"), "Q_structure": "diagonal", "R_structure": "scalar"},
    "matrices": {"learned": ("A", "H", "P0"), "R_structure": "diagonal"},
    "offset": {"learned": ("B", "R", "m0"), "R_structure": "diagonal"},
}


def two_sequences(gaps=True):
    y = 3.0 + np.random.default_rng(5).normal(size=(2, T, 2))
    if gaps:  # in part, as a whole, and at the end
        y[0, 1, 0], y[0, 3], y[1, 2, 1], y[1, 4] = np.nan, np.nan, np.nan, np.nan
    return y


def model_for(y, **options):
    data = as_dataset(y, dtype="float64", allow_nan=True)
    model = KalmanModel(make(KalmanOptions, {"form": "free", **options}), data.info)
    return model, model.rows(data)


def tensors(params):
    return {name: tf.constant(value, tf.float64) for name, value in params.items()}


def completed(params, y):
    """Given what was seen, mean and covariance of all states and observations of a sequence."""
    offsets = np.tile(params["B"], (len(y), 1))
    mean, covariance, H, R = joint(params, len(y), offsets)
    mean = np.concatenate([mean, H @ mean])
    cross = covariance @ H.T
    covariance = np.block([[covariance, cross], [cross.T, H @ cross + R]])
    seen = np.flatnonzero(~np.isnan(y.ravel())) + len(y) * 2
    gain = np.linalg.solve(covariance[np.ix_(seen, seen)], covariance[seen]).T
    after = covariance - gain @ covariance[seen]
    return mean + gain @ (y.ravel()[seen - len(y) * 2] - mean[seen]), after


def expected_log_joint(params, old, y):
    """``E[log p(x, y; params) | y seen, old]``, without steps that tell nothing; by brute force."""
    total = 0.0
    for sequence in y:
        mean, covariance = completed(old, sequence)

        def term(rows, constant, noise, mean=mean, covariance=covariance):
            residual = rows @ mean - constant
            square = np.outer(residual, residual) + rows @ covariance @ rows.T
            sign, log_det = np.linalg.slogdet(2.0 * np.pi * noise)
            assert sign > 0
            return -0.5 * (log_det + np.trace(np.linalg.solve(noise, square)))

        there = ~np.isnan(sequence).all(axis=1)
        last = np.flatnonzero(there)[-1]
        pick = np.eye(4 * T)
        state = [pick[2 * t : 2 * t + 2] for t in range(T)]
        seen = [pick[2 * (T + t) : 2 * (T + t) + 2] for t in range(T)]
        total += term(state[0], params["m0"], params["P0"])
        for t in range(1, last + 1):
            total += term(state[t] - params["A"] @ state[t - 1], params["B"], params["Q"])
        for t in np.flatnonzero(there):
            total += term(seen[t] - params["H"] @ state[t], 0.0, params["R"])
    return total


def moved(name, value, structure, rng):
    """A value nearby, of the same structure; covariances by a congruence near one."""
    if name not in ("Q", "R", "P0"):
        return value + 1e-3 * rng.normal(size=value.shape)
    shift = 1e-3 * rng.normal(size=value.shape)
    if structure != "full":
        size = len(value) if structure == "diagonal" else 1
        return value * np.diag(1.0 + 1e-3 * rng.normal(size=size) * np.ones(len(value)))
    push = np.eye(len(value)) + shift
    return push @ value @ push.T


@pytest.mark.parametrize("options", LEARNED.values(), ids=LEARNED)
def test_m_step_maximises_the_expected_log_joint(options):
    y = two_sequences()
    model, rows = model_for(y, **{name: EVERYTHING[name] for name in EVERYTHING}, **options)
    statistics = model.e_step(tensors(EVERYTHING), rows)
    expected = sum(condition(EVERYTHING, part, np.tile(OFFSET, (T, 1)))[2] for part in y)
    np.testing.assert_allclose(statistics["log_likelihood"], expected, atol=1e-9)
    best = {name: value.numpy() for name, value in model.m_step(statistics).items()}
    for name in set(EVERYTHING) - set(options["learned"]):
        np.testing.assert_array_equal(best[name], EVERYTHING[name])
    highest = expected_log_joint(best, EVERYTHING, y)
    rng = np.random.default_rng(0)
    structures = {"Q": options.get("Q_structure", "full"), "R": options.get("R_structure", "full")}
    for name in options["learned"]:
        for _ in range(10):
            near = moved(name, best[name], structures.get(name, "full"), rng)
            loss = highest - expected_log_joint({**best, name: near}, EVERYTHING, y)
            assert loss > 0.0, name  # the gradient is 0 and the curvature negative
            assert loss < 0.1, name


def test_statistics_of_sequences_add_up_and_filling_does_not_count():
    y = two_sequences()
    model, rows = model_for(y, learned=("A", "Q", "R"), **EVERYTHING)
    whole = model.e_step(tensors(EVERYTHING), rows)
    parts = [model.e_step(tensors(EVERYTHING), rows[i : i + 1]) for i in range(2)]
    shorter = model.e_step(tensors(EVERYTHING), rows[1:, : T - 1])
    for name, value in whole.items():
        np.testing.assert_allclose(parts[0][name] + parts[1][name], value, atol=1e-9)
        np.testing.assert_allclose(parts[1][name], shorter[name], atol=1e-9)


def test_sequences_with_the_same_gaps_share_covariances_and_give_the_same():
    y = two_sequences(gaps=False)
    y[:, 1, 0] = np.nan
    model, rows = model_for(y, learned=("A", "Q", "R"), **EVERYTHING)
    assert model.shared
    together = model.e_step(tensors(EVERYTHING), rows)
    model.shared = False
    for name, value in model.e_step(tensors(EVERYTHING), rows).items():
        np.testing.assert_allclose(value, together[name], atol=1e-9)


@pytest.fixture(scope="module")
def nile():
    return tfbdl.fit("kalman", NILE, engine_options={"steps": 1000, "tolerance": 0})


def test_em_on_the_nile_reaches_the_maximum_likelihood(nile):
    fit = nile
    trace = np.array(fit.history["log_likelihood"])
    assert np.diff(trace).min() > -1e-9
    # Durbin & Koopman 2012, section 2.10.3: 15099 and 1469.1, and -632.54 without the first.
    assert fit.model.R_[0, 0] == pytest.approx(15098.5, abs=1.0)
    assert fit.model.Q_[0, 0] == pytest.approx(1469.1, abs=1.0)
    assert fit.metrics["diffuse_log_likelihood"] == pytest.approx(-632.546, abs=2e-3)
    params = {name: tf.constant(value) for name, value in fit.model.params.items()}
    scales = {name: tf.constant(0.0, tf.float64) for name in "QR"}

    @tf.function
    def with_gradient():
        with tf.GradientTape() as tape:
            tape.watch(scales)
            scaled = {name: params[name] * tf.exp(scale) for name, scale in scales.items()}
            value = log_likelihood(params | scaled, tf.constant(NILE)[None, :, None], shared=True)
        return value, tape.gradient(value, scales)

    value, gradients = with_gradient()
    assert float(value[0]) == pytest.approx(trace[-1], abs=1e-8)
    for gradient in gradients.values():
        assert abs(float(gradient)) < 1e-4  # nats for a factor of e


@pytest.mark.slow
def test_free_em_climbs_above_the_truth_and_finds_its_poles():
    truth = {
        "A": [[0.9, 0.3], [-0.3, 0.9]],
        "H": [[1.0, 0.0]],
        "Q": 0.1 * np.eye(2),
        "R": [[0.2]],
        "m0": np.zeros(2),
        "P0": np.eye(2),
    }
    kalman = KalmanFilter(**truth)
    y = kalman.sample(60, n=16, seed=1)[1]
    options = {"form": "free", "state_dim": 2}
    fit = tfbdl.fit("kalman", y, model_options=options, engine_options={"steps": 120})
    trace = np.array(fit.history["log_likelihood"])
    assert np.diff(trace).min() > -1e-8
    assert trace[-1] > kalman.log_prob(y).sum()
    found = np.sort_complex(np.linalg.eigvals(fit.model.A_))
    np.testing.assert_allclose(found, np.sort_complex(np.linalg.eigvals(truth["A"])), atol=0.06)


@pytest.mark.slow
def test_em_keeps_its_digits_where_a_trend_begins_anywhere():
    options = {"num_sequences": 10, "num_test": 0, "steps": 60}
    fit = tfbdl.fit(
        "kalman",
        "track",
        model_options={"form": "local_trend"},
        data_options=options,
        engine_options={"steps": 60, "tolerance": 0},
    )
    trace = np.array(fit.history["log_likelihood"])
    assert np.diff(trace).min() > -1e-7  # of 2,000 nats; the first velocity is 1e6 times wider
    np.testing.assert_allclose(np.diag(fit.model.R_), 1.0, atol=0.2)
    assert fit.metrics["diffuse_log_likelihood"] > fit.metrics["log_likelihood"]


@pytest.mark.slow
def test_a_free_model_of_one_series_learns_where_it_begins():
    level = 1000.0 + np.random.default_rng(0).normal(size=(40, 2))
    model, rows = model_for(level)
    assert model.form.learned == ("A", "B", "H", "Q", "R", "m0")
    params, values = tensors(model.start(rows, "auto", 0)), []

    @tf.function
    def step(params):
        statistics = model.e_step(params, rows)
        return statistics["log_likelihood"], model.m_step(statistics)

    for _ in range(8):
        value, params = step(params)
        values.append(float(value))
    assert np.diff(values).min() > -1e-6  # of about 100 nats, at means of 1,000 deviations
    shown = params["H"] @ params["m0"][:, None]
    np.testing.assert_allclose(shown[:, 0], [1000.0, 1000.0], atol=4.0)


def test_a_fitted_model_is_its_filter_and_the_same_after_save_and_load(nile, tmp_path):
    y, fit = np.where(np.arange(100) % 10 == 3, np.nan, NILE), nile
    known = KalmanFilter(**fit.model.params)
    np.testing.assert_array_equal(fit.model.smooth(y).means, known.smooth(y).means)
    assert fit.model.log_prob(y) == known.log_prob(y)
    ahead, forecast = fit.model.predict_ahead(y, 4), known.forecast(y, 4)
    np.testing.assert_allclose(ahead.mean, forecast.observation_means)
    np.testing.assert_allclose(ahead.variance[:, 0], forecast.observation_covariances[:, 0, 0])
    np.testing.assert_allclose(ahead.aleatoric, np.full((4, 1), fit.model.R_[0, 0]))
    filtered = known.filter(y)
    said = fit.predict(y)
    np.testing.assert_allclose(said.mean[5], filtered.predicted_means[5] @ fit.model.H_.T)
    seen = ~np.isnan(y)
    np.testing.assert_allclose(
        said.log_prob(np.nan_to_num(y))[seen], filtered.increments[seen], atol=1e-9
    )
    fit.save(tmp_path / "run")
    again = tfbdl.load(tmp_path / "run")
    assert again.model.log_prob(y) == fit.model.log_prob(y)


def test_sequences_held_out_are_scored():
    y = two_sequences(gaps=False)
    data = as_dataset(y, x_test=y[:1] + 0.1, dtype="float64")
    fit = tfbdl.fit("kalman", data, engine_options={"steps": 3})
    expected = -float(fit.model.log_prob(y[0] + 0.1))
    assert fit.metrics["test_nll"] == pytest.approx(expected)


def test_prior_of_a_covariance_is_that_of_its_deviations_and_correlation():
    scale = np.array([0.7, 2.0])
    s, c = np.array([0.5, 1.5]), 0.4
    value = np.array([[s[0] ** 2, c * s[0] * s[1]], [c * s[0] * s[1], s[1] ** 2]])
    jacobian = 4.0 * s[0] ** 2 * s[1] ** 2  # of (s1, s2, c) to the three elements
    density = scipy.stats.halfnorm.pdf(s, scale=scale).prod() * 0.5 / jacobian
    found = prior.covariance(tf.constant(value), tf.constant(scale))
    np.testing.assert_allclose(found, np.log(density), rtol=1e-10)
    alone = prior.variances(tf.constant(s**2), tf.constant(scale))
    density = scipy.stats.halfnorm.pdf(s, scale=scale).prod() / (4.0 * s.prod())
    np.testing.assert_allclose(alone, np.log(density), rtol=1e-10)


def test_log_joint_is_prior_and_exact_likelihood_of_all_chains():
    y = two_sequences()
    options = {"learned": ("A", "R"), "R_structure": "diagonal", "A_scale": 0.5, "R_scale": 2.0}
    model, _ = model_for(y, **EVERYTHING, **options)
    assert [site.name for site in model.sites] == ["A", "R_variances"]
    variances = np.array([[0.8, 1.3], [0.5, 2.0]])
    A = np.stack([TRUTH["A"], 0.5 * TRUTH["A"]])
    sd = 2.0 * np.nanstd(y, axis=(0, 1))
    expected = []
    for one, v in zip(A, variances, strict=True):
        params = {**EVERYTHING, "A": one, "R": np.diag(v)}
        total = sum(condition(params, part, np.tile(OFFSET, (T, 1)))[2] for part in y)
        total += scipy.stats.norm.logpdf(one, np.eye(2), 0.5).sum()
        total += (scipy.stats.halfnorm.logpdf(np.sqrt(v), scale=sd) - np.log(2 * np.sqrt(v))).sum()
        expected.append(total)
    params = {"A": tf.constant(A), "R_variances": tf.constant(variances)}
    np.testing.assert_allclose(model.log_joints(params, y), expected, rtol=1e-10)
    first = {name: value[0] for name, value in params.items()}
    assert float(model.log_joint(first, y)) == pytest.approx(expected[0], rel=1e-10)


def test_minibatches_share_the_priors_of_all_the_data():
    y = two_sequences(gaps=False)
    y[1] = 5.0 * y[1] - 20.0  # halves of other mean and spread
    data = as_dataset(y, dtype="float64")
    options = {"form": "free", "learned": ("A", "R", "m0"), "R_structure": "diagonal"}
    given = {name: EVERYTHING[name] for name in ("B", "H", "Q")}
    model = KalmanModel(make(KalmanOptions, {**options, **given}), data.info)
    full_batch(model, data)
    params = model.init(0)
    halves = [float(model.log_joint(params, y[i : i + 1])) for i in range(2)]
    # each half stands for the whole, so that their mean is the whole
    assert np.mean(halves) == pytest.approx(float(model.log_joint(params, y)), rel=1e-12)


def test_engines_that_draw_batches_take_one_sequence_whole_and_in_order():
    y = np.array(NILE[:20]) / 100.0
    data = as_dataset(y, dtype="float64")
    model = KalmanModel(make(KalmanOptions, {}), data.info)
    full_batch(model, data)
    params = model.init(0)
    mixed = tf.function(lambda batch: model.log_joint(params, batch), autograph=False)
    exact = float(model.log_joint(params, y))
    assert float(mixed(tf.constant(y[::-1].copy()))) == pytest.approx(exact, rel=1e-12)
    assert abs(float(model.log_joint(params, np.roll(y, 10))) - exact) > 1e-3  # order does matter
    torn = {"steps": 1, "validation_split": 0.2}
    with pytest.raises(DataError, match="Received: 4 steps set apart"):
        tfbdl.fit("kalman", y, engine="variational", engine_options=torn)


def by_grid(y):
    """Points of the square root of a variance, and the exact marginals of those of Q and R."""
    scale = y.std()
    roots = np.linspace(1e-3, 4.0 * scale, 120)
    log_density = np.empty((len(roots), len(roots)))
    for i, q in enumerate(roots):  # all values of r at once, by the scalar recursion
        mean, variance, total = np.full(len(roots), y.mean()), 1e4 * scale**2, 0.0
        variance = np.full(len(roots), variance)
        for value in y:
            s = variance + roots**2
            total = total - 0.5 * (np.log(2 * np.pi * s) + (value - mean) ** 2 / s)
            mean, variance = mean + variance / s * (value - mean), variance * roots**2 / s + q**2
        prior_r = scipy.stats.halfnorm.logpdf(roots, scale=scale)
        log_density[i] = total + prior_r + scipy.stats.halfnorm.logpdf(q, scale=scale)
    weights = np.exp(log_density - log_density.max())
    weights /= weights.sum()
    return roots, {"Q": weights.sum(axis=1), "R": weights.sum(axis=0)}


@pytest.mark.slow
def test_nuts_agrees_with_a_grid_over_both_variances():
    y = np.array(NILE[:30]) / 100.0
    options = {"chains": 4, "warmup": 300, "draws": 1000}
    fit = tfbdl.fit("kalman", y, engine="nuts", engine_options=options, seed=1)
    roots, marginals = by_grid(y)
    for name, marginal in marginals.items():
        mean = marginal @ roots
        spread = np.sqrt(marginal @ (roots - mean) ** 2)
        drawn = np.sqrt(fit.posterior.draws[name][..., 0, 0])
        error = tfbdl.diagnostics.mcse_mean(drawn[..., np.newaxis])[0]
        assert abs(drawn.mean() - mean) < 4.0 * error + 0.01 * spread
        assert drawn.std() == pytest.approx(spread, rel=0.15)
    best = np.unravel_index(np.argmax(fit.posterior.sample_stats["lp"]), (4, 1000))
    np.testing.assert_allclose(fit.model.Q_, fit.posterior.draws["Q"][best])


@pytest.mark.slow
def test_variational_posterior_is_near_a_grid_over_both_variances():
    level = {"A": 1.0, "H": 1.0, "Q": 1.0, "R": 1.0, "m0": 0.0, "P0": 1.0}
    y = KalmanFilter(**level).sample(80, seed=3)[1][0, :, 0]
    options = {"posterior": "full_rank", "steps": 600, "num_samples": 8, "learning_rate": 0.05,
               "schedule": "cosine"}  # fmt: skip
    fit = tfbdl.fit("kalman", y, engine="variational", engine_options=options, seed=1)
    roots, marginals = by_grid(y)
    drawn = fit.posterior.sample(4_000, seed=2)
    for name, marginal in marginals.items():
        mean = marginal @ roots
        spread = np.sqrt(marginal @ (roots - mean) ** 2)
        found = np.sqrt(drawn[name][:, 0, 0])
        # the exact one is no normal of the logarithms, the nearest of which is narrower
        assert abs(found.mean() - mean) < 0.25 * spread
        assert 0.7 * spread < found.std() < 1.15 * spread


@pytest.mark.parametrize(
    ("x", "options", "error", "match"),
    [
        (np.zeros((2, 2, 2, 2)), {}, DataError, r"must be \[T, m\] for one sequence"),
        (np.zeros((1, 1)), {}, DataError, "at least 2 steps. Received: 1"),
        ([[[1.0], [2.0]], [[np.nan], [np.nan]]], {}, DataError, "all of sequence 1 are missing"),
        (np.zeros(4), {"state_dim": 2}, OptionsError, "use form='free'"),
        (np.zeros(4), {"learned": ("q",)}, OptionsError, "Did you mean 'Q'"),
        (np.zeros(4), {"Q": [[1.0, 2.0]]}, OptionsError, r"Q must be \[1, 1\]"),
        (np.zeros(4), {"form": "free", "learned": ("A",)}, OptionsError, "H must be given or"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(x, options, error, match):
    with pytest.raises(error, match=match):
        tfbdl.fit("kalman", x, model_options=options)


def test_steps_held_out_of_one_sequence_are_refused():
    torn = as_dataset(NILE[:60], x_test=NILE[60:], dtype="float64")
    with pytest.raises(DataError, match="tear a sequence apart"):
        tfbdl.fit("kalman", torn)
    model, _ = model_for(NILE)
    with pytest.raises(DataError, match="belong together"):
        model.log_joint(model.init(0), NILE[:5])
