"""SWAG: its moments against their formulas and against theory on a quadratic, resuming, storing."""

import keras
import numpy as np
import pytest
from scipy import linalg
from small_models import Stop, assert_same, network, network_data, stop_at
from tfbdl_engines.network_config import SwagOptions
from tfbdl_engines.swag import Swag, _Path

import tfbdl
from tfbdl import errors
from tfbdl.data import as_dataset
from tfbdl.inference.swag import Trajectory
from tfbdl.protocols import Context
from tfbdl.testing.steps import without_xla

layers = keras.layers
SHORT = {"steps": 20, "batch_size": 16, "snapshots": 5, "every": 7, "rank": 3}


def fit(model, data, seed=1, context=None, **options):
    engine = Swag(SwagOptions(**options))
    return engine.fit(model, as_dataset(data), context or Context(seed=seed))


def linear(inputs=2, scale=1.0, **options):
    parts = [keras.Input((inputs,)), layers.Dense(1, use_bias=False, name="d")]
    options = {"likelihood_options": {"scale": scale}, **options}
    return without_xla(tfbdl.BayesianNetwork(keras.Sequential(parts), "gaussian", **options))


def rows(count, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 2)).astype("float32")
    return x, (x @ [0.7, -0.4] + rng.normal(size=count)).astype("float32")


# -- the moments -----------------------------------------------------------------------------


def test_the_normal_is_that_of_the_paper():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(9, 4)) + 100.0
    trajectory = Trajectory.empty(4)
    for each in weights:
        trajectory = trajectory.with_snapshot(each, rank=3)
    means = np.cumsum(weights, axis=0) / np.arange(1, 10)[:, np.newaxis]
    diagonal = (weights**2).mean(axis=0) - weights.mean(axis=0) ** 2
    D = (weights - means)[-3:]
    normal = trajectory.normal()
    np.testing.assert_allclose(normal.mean, weights.mean(axis=0), rtol=1e-12)
    expected = 0.5 * np.diag(diagonal) + D.T @ D / (2 * (3 - 1))
    np.testing.assert_allclose(normal.covariance(0, 4), expected, rtol=1e-8)
    np.testing.assert_allclose(normal.stddev() ** 2, np.diagonal(expected), rtol=1e-8)
    J = rng.normal(size=(2, 3, 4))
    np.testing.assert_allclose(normal.quadratic(J), J @ expected @ J.transpose(0, 2, 1), rtol=1e-8)
    alone = Trajectory.empty(4)
    for each in weights:
        alone = alone.with_snapshot(each, rank=0)
    np.testing.assert_allclose(alone.normal().covariance(0, 4), np.diag(diagonal), rtol=1e-8)


@pytest.mark.parametrize("path", ["constant", "cyclical"])
def test_the_path_is_gradient_descent_with_momentum_on_the_log_joint(path):
    x, y = rows(48)
    model = linear(prior_options={"scale": 0.5})
    start = model.net.get_weights()[0].astype("float64")[:, 0]
    options = {
        "steps": 0,
        "initial": "current",
        "batch_size": 16,
        "snapshots": 4,
        "every": 5,
        "rank": 4,
        "optimizer": "sgd",
        "snapshot_rate": 0.1,
        "momentum": 0.6,
        "path": path,
        "lowest_rate": 0.02,
    }
    result = fit(model, (x, y), **options)
    order = _Path(linear(), as_dataset((x, y)), SwagOptions(**options), None, 1).order(0, 0, 20)
    w, velocity, snapshots, losses = start, np.zeros(2), [], []
    for step, batch in enumerate(order):
        error = x[batch] @ w - y[batch]
        loss = 0.5 * np.mean(error**2) + 0.5 * np.log(2 * np.pi)
        prior = 0.5 * w @ w / 0.25 + np.log(0.5) * 2 + np.log(2 * np.pi)
        losses.append(loss + prior / 48)
        velocity = 0.6 * velocity + x[batch].T @ error / 16 + w / 0.25 / 48
        share = (step % 5 + 1) / 5
        w = w - (0.1 if path == "constant" else (1 - share) * 0.1 + share * 0.02) * velocity
        if step % 5 == 4:
            snapshots.append(w)
    means = [np.mean(snapshots[: i + 1], axis=0) for i in range(4)]
    D = np.array(snapshots) - means
    covariance = 0.5 * np.diag(np.var(snapshots, axis=0)) + D.T @ D / (2 * 3)
    np.testing.assert_allclose(result.posterior.mean()["d.kernel"][:, 0], means[-1], rtol=1e-4)
    found = result.posterior.covariance()["d.kernel"]
    np.testing.assert_allclose(found, covariance, rtol=2e-3, atol=1e-7)
    expected = np.mean(np.reshape(losses, (4, 5)), axis=1)
    np.testing.assert_allclose(result.history["loss"], expected, rtol=1e-4)
    np.testing.assert_allclose(model.net.get_weights()[0][:, 0], means[-1], rtol=1e-4)


def stationary(x, y, rate):
    """Optimum and covariance of SGD on one row a step: the fixed point of its second moments."""
    x, y = x.astype("float64"), y.astype("float64")
    best = np.linalg.lstsq(x, y, rcond=None)[0]
    gradients = x * (x @ best - y)[:, np.newaxis]
    noise = rate**2 * (gradients.T @ gradients) / len(x)
    contraction = np.zeros((4, 4))
    for row in x:  # S = E[(I - rate x x') S (I - rate x x')] + noise
        A = np.eye(2) - rate * np.outer(row, row)
        contraction += np.kron(A, A) / len(x)
    # the cross terms of error and gradient are of the mean error, which is zero
    return best, linalg.solve(np.eye(4) - contraction, noise.ravel()).reshape(2, 2)


def test_the_moments_on_a_quadratic_are_those_of_the_stationary_law():
    x, y = rows(4_000, seed=3)
    rate, snapshots = 0.05, 250
    options = {"steps": 0, "batch_size": 1, "snapshots": snapshots, "every": 60, "rank": 2}
    result = fit(
        linear(),
        (x, y),
        objective="likelihood",
        momentum=0.0,
        optimizer="sgd",
        snapshot_rate=rate,
        **options,
    )
    best, covariance = stationary(x, y, rate)
    spread = np.sqrt(np.diagonal(covariance))
    # between snapshots 60 steps pass, in which the memory falls to exp(-3)
    z = (result.posterior.mean()["d.kernel"][:, 0] - best) / (spread / np.sqrt(snapshots))
    assert np.abs(z).max() < 5.0
    variance = 2.0 * result.posterior.normal.scale**2
    np.testing.assert_allclose(variance / spread**2, 1.0, atol=5.0 * np.sqrt(2 / snapshots))


@pytest.mark.slow
def test_draws_have_the_moments_of_the_normal():
    result = fit(linear(), rows(32), **SHORT)
    normal = result.posterior.normal
    drawn = result.posterior.sample(20_000, seed=2)["d.kernel"][:, :, 0]
    whole, spread = normal.covariance(0, 2), normal.stddev()
    z = (drawn.mean(axis=0) - normal.mean) / (spread / np.sqrt(20_000))
    assert np.abs(z).max() < 4.0
    error = (np.cov(drawn.T) - whole) / np.outer(spread, spread)
    assert np.abs(error).max() < 4.0 * np.sqrt(2 / 20_000)


# -- runs ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_that_was_stopped_on_the_path_ends_as_one_that_was_not(tmp_path):
    model, data = without_xla(network(dropout=0.0)), network_data()
    options = {**SHORT, "checkpoint_seconds": 0.0}
    whole = tfbdl.fit(model, data, engine="swag", engine_options=options, seed=4)
    assert whole.history["loss"][-1] < whole.history["loss"][0]
    for step in (12, 40):  # in the training, on the path
        out = tmp_path / f"run{step}"
        with pytest.raises(Stop):
            tfbdl.fit(
                model,
                data,
                engine="swag",
                engine_options=options,
                seed=4,
                out=out,
                on_step=stop_at(step),
            )
        resumed = tfbdl.resume(out, model=model, data=data)
        assert_same(whole, resumed)
    loaded = tfbdl.load(out)
    assert_same(whole, loaded)
    x = data[0]
    np.testing.assert_array_equal(loaded.predict(x).mean, whole.predict(x).mean)
    scale = whole.posterior.draws["likelihood.scale"]
    assert (scale > 0).all()
    assert scale.std() > 0


@pytest.mark.slow
def test_learned_parameters_are_averaged_and_moving_statistics_kept():
    parts = [keras.Input((2,)), layers.Dense(3), layers.BatchNormalization(), layers.Dense(1)]
    model = without_xla(tfbdl.BayesianNetwork(keras.Sequential(parts), "gaussian"))
    with pytest.warns(errors.TfbdlWarning, match="moving statistics"):
        result = fit(model, network_data(), optimizer="adam", **SHORT)
    draws = result.posterior.draws
    assert draws["batch_normalization.gamma"].std() > 0
    moving = model.net.layers[1].moving_mean.numpy()
    np.testing.assert_array_equal(draws["batch_normalization.moving_mean"][0, 5], moving)
    assert np.abs(moving).max() > 0
    raw = model.learned_raw["likelihood.scale"].numpy()
    centre = result.posterior.point()["likelihood.scale"]
    np.testing.assert_allclose(np.log1p(np.exp(raw)), centre, rtol=1e-5)


def test_a_path_that_diverges_says_what_to_do():
    with pytest.raises(errors.RunError, match=r"snapshot_rate \(50\), or use optimizer='adam'"):
        fit(linear(), rows(32), **{**SHORT, "every": 40}, optimizer="sgd", snapshot_rate=50.0)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"rank": 1}, "one deviation has no covariance"),
        ({"path": "cyclical", "lowest_rate": 1.0}, "lowest_rate must not be above"),
        ({"snapshots": 1}, "an integer of at least 2"),
    ],
)
def test_options_that_make_no_normal_are_refused(options, match):
    with pytest.raises(errors.OptionsError, match=match):
        tfbdl.fit(linear(), rows(32), engine="swag", engine_options=options)
