"""Gradients by estimators: REINFORCE, NVIL, REBAR and RELAX, against enumeration."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import special

from tfbdl import random
from tfbdl.errors import DataError, ModelError, OptionsError, UnknownNameError
from tfbdl.inference import reparameterizations
from tfbdl.inference.reparameterizations import bernoulli, categorical, concrete

rp = reparameterizations
tfd = tfp.distributions
N = 100_000
Z = 4.0
P = np.array([0.5, 0.3, 0.2])


WEIGHTS = tf.constant([0.7, -1.2, 0.4, 1.5], tf.float64)
LOGITS = np.array([0.3, -0.5, 0.1, 0.8])
PAIR = tf.constant([[0.7, -1.2, 0.4], [1.5, 0.0, -0.5]], tf.float64)
PAIR_LOGITS = np.array([[0.3, -0.5, 0.1], [0.8, 0.0, -0.2]])


def bits(b: tf.Tensor) -> tf.Tensor:
    """Of four bits, not a sum of functions of one."""
    return tf.square(tf.reduce_sum(b * WEIGHTS, axis=-1) - 0.3)


def pair(b: tf.Tensor) -> tf.Tensor:
    """Of two variables of three classes."""
    return tf.square(tf.reduce_sum(b * PAIR, axis=(-1, -2)) - 0.3)


def exact_bits() -> np.ndarray:
    theta, total = special.expit(LOGITS), np.zeros(4)
    for b in np.array(list(itertools.product([0.0, 1.0], repeat=4))):
        p = np.where(b > 0, theta, 1 - theta).prod()
        total += p * (b @ WEIGHTS.numpy() - 0.3) ** 2 * (b - theta)
    return total


def exact_pair() -> np.ndarray:
    p, total = special.softmax(PAIR_LOGITS, axis=1), np.zeros((2, 3))
    for i, j in itertools.product(range(3), repeat=2):
        b = np.stack([np.eye(3)[i], np.eye(3)[j]])
        f = ((b * PAIR.numpy()).sum() - 0.3) ** 2
        total += p[0, i] * p[1, j] * f * (b - p)
    return total


PROBLEMS = {
    "bernoulli": (bits, LOGITS, exact_bits()),
    "categorical": (pair, PAIR_LOGITS, exact_pair()),
}


def random_control_variate(law: str) -> rp.ControlVariate:
    """That knows nothing of f."""
    rank = 1 if law == "bernoulli" else 2
    starts = [keras.initializers.GlorotUniform(seed) for seed in (1, 2)]
    hidden = keras.layers.Dense(5, "tanh", kernel_initializer=starts[0], dtype="float64")
    last = keras.layers.Dense(1, kernel_initializer=starts[1], dtype="float64")
    net = keras.Sequential([hidden, last])
    return rp.ControlVariate(None, net, law=law, event_rank=rank, dtype="float64")


ESTIMATORS: dict[str, Callable[..., rp.Estimate]] = {
    "reinforce": rp.reinforce,
    "constant": lambda *args, **kw: rp.reinforce(*args, baseline=1.3, **kw),
    "leave_one_out": lambda *args, **kw: rp.reinforce(*args, baseline="leave_one_out", **kw),
    "rebar": rp.rebar,
    "rebar_coupled": lambda *args, **kw: rp.rebar(*args, coupled=True, temperature=0.8, **kw),
    "rebar_baseline": lambda *args, **kw: rp.rebar(*args, baseline="leave_one_out", **kw),
    "relax": lambda *args, law, **kw: rp.relax(
        *args, law=law, control_variate=random_control_variate(law), **kw
    ),
    "relax_coupled": lambda *args, law, **kw: rp.relax(
        *args, law=law, control_variate=random_control_variate(law), coupled=True, **kw
    ),
}


def z_scores(gradient: tf.Tensor, expected: Any) -> np.ndarray:
    draws = gradient.numpy()
    return (draws.mean(axis=0) - expected) / (draws.std(axis=0) / np.sqrt(len(draws)))


@pytest.mark.parametrize("law", PROBLEMS)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_gradient_is_unbiased(name: str, law: str) -> None:
    f, logits, exact = PROBLEMS[law]
    found = ESTIMATORS[name](f, tf.constant(logits), N, random.key(7), law=law)
    assert found.gradient.shape == (N, *logits.shape)
    assert np.abs(z_scores(found.gradient, exact)).max() < Z


@pytest.mark.parametrize("law", PROBLEMS)
def test_draw_given_b_that_is_not_differentiated_is_found_out(
    law: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = {"bernoulli": bernoulli, "categorical": categorical}[law]
    whole = family.conditional
    monkeypatch.setattr(family, "conditional", lambda *given: tf.stop_gradient(whole(*given)))
    f, logits, exact = PROBLEMS[law]
    found = rp.rebar(f, tf.constant(logits), N, random.key(7), law=law)
    assert np.abs(z_scores(found.gradient, exact)).max() > 10


# -- the toy problem of Tucker et al. and Grathwohl et al.: E[(b - t)^2] ---------------------------


def toy(t: float) -> Callable[[tf.Tensor], tf.Tensor]:
    return lambda b: tf.reduce_sum(tf.square(b - t), axis=-1)


HALF = tf.zeros([1], tf.float64)  # theta = 1/2


@pytest.mark.parametrize(("t", "gradient"), [(0.45, 0.025), (0.499, 0.0005)])
def test_toy_gradient(t: float, gradient: float) -> None:
    exact = 0.25 * ((1 - t) ** 2 - t**2)  # theta (1 - theta) (f(1) - f(0))
    assert exact == pytest.approx(gradient, rel=1e-12)
    for name, estimator in ESTIMATORS.items():
        found = estimator(toy(t), HALF, N, random.key(8), law="bernoulli")
        assert abs(z_scores(found.gradient, exact)[0]) < Z, name


def test_reinforce_has_the_variance_of_enumeration() -> None:
    found = rp.reinforce(toy(0.45), HALF, N, random.key(9), law="bernoulli")
    # f(b)(b - theta) is 0.15125 or -0.10125
    assert float(found.variance()[0]) == pytest.approx(0.015939, rel=1e-3)
    alone = rp.reinforce(toy(0.45), HALF, N, random.key(9), law="bernoulli", baseline=0.2525)
    # that baseline leaves 0.025 of either
    assert alone.variance()[0] < 1e-12
    np.testing.assert_allclose(alone.gradient, 0.025, rtol=1e-9)


def tuned(control_variate: rp.ControlVariate, f: Any, logits: tf.Tensor, law: str) -> rp.Estimate:
    """An estimate with a control variate after some steps of training."""

    def estimate(key: tf.Tensor, samples: int = 200) -> rp.Estimate:
        return rp.relax(f, logits, samples, key, control_variate=control_variate, law=law)

    history = rp.reduce_variance(
        estimate, control_variate, random.key(10), steps=300, learning_rate=0.02
    )
    assert history[-50:].mean() < history[:50].mean()
    return estimate(random.key(11), N)


@pytest.mark.slow
@pytest.mark.parametrize("law", PROBLEMS)
def test_variances_are_in_order(law: str) -> None:
    f, values, exact = PROBLEMS[law]
    logits, rank = tf.constant(values), values.ndim
    remainder = rp.neural((16,), dtype="float64")
    kinds = {
        "rebar": rp.ControlVariate(f, None, law=law, event_rank=rank, dtype="float64"),
        "relax": rp.ControlVariate(f, remainder, law=law, event_rank=rank, dtype="float64"),
    }
    variance = {"reinforce": rp.reinforce(f, logits, N, random.key(11), law=law).variance()}
    for name, control_variate in kinds.items():
        found = tuned(control_variate, f, logits, law)
        assert np.abs(z_scores(found.gradient, exact)).max() < Z
        variance[name] = found.variance()
    totals = {name: float(tf.reduce_sum(value)) for name, value in variance.items()}
    assert totals["relax"] < totals["rebar"] < totals["reinforce"]


def test_toy_variance_falls_to_less_than_a_fifth_and_is_in_order() -> None:
    f, exact, of_reinforce = toy(0.45), 0.025, 0.015939
    remainder = rp.Quadratic(dtype="float64")
    learned = rp.ControlVariate(f, remainder, law="bernoulli", dtype="float64")
    # as published, without a baseline; f(1/2) is a hundredth of what f is at the corners
    rebar = rp.rebar(f, HALF, N, random.key(9), law="bernoulli", scale=100.0, temperature=100.0)
    relax = tuned(learned, f, HALF, "bernoulli")
    for found in (rebar, relax):
        assert abs(z_scores(found.gradient, exact)[0]) < Z
    assert relax.variance()[0] < rebar.variance()[0] < of_reinforce / 5


def test_input_dependent_baseline_is_unbiased_and_learns() -> None:
    logits = tf.constant(np.random.default_rng(5).normal(size=(3, 4)))
    x = tf.constant([0.0, 10.0, -4.0], tf.float64)  # f depends on the input

    def f(b: tf.Tensor) -> tf.Tensor:
        return bits(b) + x

    options = {"average": rp.start_average("float64"), "law": "bernoulli", "normalise": False}
    theta = special.expit(logits.numpy())
    exact = np.zeros((3, 4))
    for b in np.array(list(itertools.product([0.0, 1.0], repeat=4))):
        p = np.where(b > 0, theta, 1 - theta).prod(axis=1, keepdims=True)
        exact += p * (b @ WEIGHTS.numpy() - 0.3) ** 2 * (b - theta)  # what x adds has no gradient
    found = rp.nvil(f, logits, N, random.key(12), baseline=x + 1.0, **options)
    assert np.abs(z_scores(found.estimate.gradient, exact)).max() < Z
    blind = rp.reinforce(f, logits, N, random.key(12), law="bernoulli")
    assert (found.estimate.variance() < blind.variance()).numpy()[1:].all()
    left = found.estimate.value.numpy() - (x.numpy() + 1.0)
    assert float(found.average.mean) == pytest.approx(0.1 * left.mean(), rel=1e-9)
    assert float(found.average.variance) == pytest.approx(0.9 + 0.1 * left.var(), rel=1e-9)
    with tf.GradientTape() as tape:
        tape.watch(x)
        step = rp.nvil(bits, logits, 100, random.key(13), baseline=x, **options)
    np.testing.assert_allclose(  # towards f, by its mean error
        tape.gradient(step.baseline_loss, x),
        (x - tf.reduce_mean(step.estimate.value, axis=0)).numpy() / 3,
        rtol=1e-9,
    )
    scaled = rp.nvil(
        f,
        logits,
        100,
        random.key(13),
        baseline=0.0,
        law="bernoulli",
        average=rp.MovingAverage(tf.constant(2.0, tf.float64), tf.constant(9.0, tf.float64)),
    )
    whole = rp.reinforce(f, logits, 100, random.key(13), law="bernoulli", baseline=2.0)
    np.testing.assert_allclose(scaled.estimate.gradient, whole.gradient / 3.0, rtol=1e-12)


def test_moving_average_forgets() -> None:
    state = rp.start_average()
    for _ in range(50):
        state = rp.update_average(state, tf.constant([1.0, 3.0]), decay=0.5)
    np.testing.assert_allclose([state.mean, state.variance], [2.0, 1.0], rtol=1e-6)


def test_objective_has_the_estimate_and_the_gradient_of_f_itself() -> None:
    logits, shift = tf.Variable(LOGITS), tf.Variable(np.float64(0.5))
    with tf.GradientTape() as tape:
        found = rp.rebar(lambda b: bits(b) + shift**2, logits, 500, random.key(14), law="bernoulli")
        objective = found.objective()
    by_logits, by_shift = tape.gradient(objective, [logits, shift])
    np.testing.assert_allclose(by_logits, found.mean(), rtol=1e-12)
    assert float(by_shift) == pytest.approx(1.0, rel=1e-12)
    assert float(objective) == pytest.approx(float(tf.reduce_mean(found.value)), rel=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("law", PROBLEMS)
@pytest.mark.parametrize("coupled", [True, False])
def test_extreme_logits_give_no_nan(law: str, dtype: str, coupled: bool) -> None:
    logits = tf.constant([[0.0, -1e4, -np.inf], [1e4, -1e4, 3.0], [-1e4, -1e4, -1e4]], dtype)

    def f(b: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(b * tf.constant([1.0, -2.0, 0.5], dtype), axis=-1)

    for temperature in (1e-3, 0.5, 1e3):
        found = rp.rebar(
            f, logits, 200, random.key(15), law=law, temperature=temperature, coupled=coupled
        )
        assert found.gradient.dtype == dtype
        assert np.isfinite(found.gradient).all()
        assert np.isfinite(found.value).all()
        assert found.b.numpy()[:, 0, 2].max() == 0.0  # never
    score = rp.reinforce(f, logits, 200, random.key(15), law=law, baseline="leave_one_out")
    assert np.isfinite(score.gradient).all()


# -- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f, x, k: rp.reinforce(f, x, 0, k), OptionsError, "samples is a whole number"),
        (
            lambda f, x, k: rp.reinforce(f, x, 3, k, law="bernouli"),
            UnknownNameError,
            "Did you mean 'bernoulli'",
        ),
        (
            lambda f, x, k: rp.reinforce(f, x, 3, k, baseline="leave_one"),
            OptionsError,
            "Did you mean 'leave_one_out'",
        ),
        (
            lambda f, x, k: rp.reinforce(f, x, 1, k, baseline="leave_one_out"),
            OptionsError,
            "samples=2 or more",
        ),
        (lambda f, x, k: rp.rebar(f, x * np.nan, 3, k), DataError, "NaN or plus infinity"),
        (lambda f, x, k: rp.rebar(lambda b: b, x, 3, k), ModelError, r"Received: shape \(3, 2\)"),
        (lambda f, x, k: rp.rebar(lambda b: 1.0, x, 3, k), ModelError, "a number for each draw"),
        (lambda f, x, k: rp.ControlVariate(), OptionsError, "Received: neither"),
        (
            lambda f, x, k: rp.ControlVariate(f, temperature=0.0),
            OptionsError,
            "positive and finite",
        ),
        (lambda f, x, k: concrete.sample(x, -1.0, 3, k), OptionsError, "positive.*-1.0"),
        (lambda f, x, k: concrete.annealed(3, start=0.1, end=0.5), OptionsError, "start=0.1"),
        (
            lambda f, x, k: rp.update_average(rp.start_average(), x, decay=1.0),
            OptionsError,
            "below 1",
        ),
        (lambda f, x, k: rp.reduce_variance(f, [], k), ModelError, "nothing to train"),
        (lambda f, x, k: rp.reduce_variance(f, [x], k, steps=0), OptionsError, "steps=0"),
    ],
)
def test_bad_input_is_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(lambda b: tf.reduce_sum(b, axis=-1), tf.zeros([2]), random.key(0))
