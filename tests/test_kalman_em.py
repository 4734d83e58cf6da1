"""The model ``kalman`` by EM: its steps against the exact joint normal, and what a fit offers."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from kalman_cases import EVERYTHING, OFFSET, T, model_for, tensors, two_sequences
from linear_gaussian_cases import condition, joint
from tfbdl_kalman_lstm import KalmanFilter
from tfbdl_kalman_lstm.likelihood import log_likelihood
from tfbdl_kalman_lstm.series import NILE

import tfbdl
from tfbdl.data import as_dataset

LEARNED = {
    "everything": {"learned": ("A", "B", "H", "Q", "R", "m0", "P0")},
    "noise alone": {"learned": ("Q", "R"), "Q_structure": "diagonal", "R_structure": "scalar"},
    "matrices": {"learned": ("A", "H", "P0"), "R_structure": "diagonal"},
    "offset": {"learned": ("B", "R", "m0"), "R_structure": "diagonal"},
}


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


@pytest.mark.slow
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
