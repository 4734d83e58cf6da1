"""Gibbs sampling: exact posteriors, blocks in any order, and clear refusals."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfbdl
from tfbdl import diagnostics, errors, random

tfd = tfp.distributions

Y = np.random.default_rng(0).normal(2.0, 0.7, size=12).astype("float32")
PRIOR = {"mean": 1.0, "count": 0.5, "shape": 3.0, "rate": 2.0}  # of the normal-gamma


class NormalGamma:
    """Normal data of unknown mean and precision; each is drawn given the other."""

    def init(self, seed):
        return {"mu": tf.constant(10.0 * seed % 7), "tau": tf.constant(0.5)}

    @property
    def conditionals(self):
        return {"mean": self._mean, "precision": self._precision}

    def log_joint(self, params, y):
        return tfd.Normal(params["mu"], params["tau"] ** -0.5).log_prob(y[0])

    def _mean(self, key, params, y):
        count = PRIOR["count"] + y.shape[0]
        centre = (PRIOR["count"] * PRIOR["mean"] + tf.reduce_sum(y)) / count
        return {"mu": centre + random.normal((), key) / tf.sqrt(count * params["tau"])}

    def _precision(self, key, params, y):
        shape = PRIOR["shape"] + 0.5 * (y.shape[0] + 1)
        squares = tf.reduce_sum((y - params["mu"]) ** 2)
        squares += PRIOR["count"] * (params["mu"] - PRIOR["mean"]) ** 2
        return {"tau": tfd.Gamma(shape, PRIOR["rate"] + 0.5 * squares).sample(seed=key)}


def posterior_of_normal_gamma():
    """((mean, variance) of mu, (mean, variance) of tau), from the textbook."""
    n, total = len(Y), Y.sum(dtype="float64")
    count = PRIOR["count"] + n
    centre = (PRIOR["count"] * PRIOR["mean"] + total) / count
    shape = PRIOR["shape"] + n / 2
    between = PRIOR["count"] * n * (Y.mean() - PRIOR["mean"]) ** 2 / (2 * count)
    rate = PRIOR["rate"] + 0.5 * ((Y - Y.mean()) ** 2).sum() + between
    return (centre, rate / (count * (shape - 1))), (shape / rate, shape / rate**2)


@pytest.mark.slow
@pytest.mark.parametrize("order", ["systematic", "random"])
def test_the_posterior_of_mean_and_precision_is_exact(order):
    fit = tfbdl.fit(
        NormalGamma(), Y, engine="gibbs", seed=1,
        engine_options={"warmup": 100, "draws": 4000, "chains": 3, "order": order},
    )  # fmt: skip
    for name, (mean, variance) in zip(("mu", "tau"), posterior_of_normal_gamma(), strict=True):
        draws = fit.posterior.draws[name].astype("float64")
        assert draws.shape == (3, 4000)
        squares = (draws - mean) ** 2
        assert abs(draws.mean() - mean) < 4 * diagnostics.mcse_mean(draws)
        assert abs(squares.mean() - variance) < 4 * diagnostics.mcse_mean(squares)
    mu, tau = (fit.posterior.draws[name] for name in ("mu", "tau"))
    expected = 0.5 * np.log(tau / (2 * np.pi)) - 0.5 * tau * (Y[0] - mu) ** 2
    np.testing.assert_allclose(fit.posterior.sample_stats["lp"], expected, rtol=1e-4, atol=1e-5)


class Pair:
    """A bivariate normal with correlation 0.9 whose second part is flipped by a fair coin."""

    def init(self, seed):
        return {
            "x": tf.constant(5.0, tf.float64),
            "y": tf.constant(-5.0, tf.float64),
            "coin": tf.constant(0),
        }

    @property
    def conditionals(self):
        def part(name, other):
            def draw(key, params, batch):
                noise = random.normal((), key, "float64")
                return {name: 0.9 * params[other] + np.sqrt(1 - 0.9**2) * noise}

            return draw

        def coin(key, params, batch):
            return {"coin": tf.cast(random.uniform((), key) < 0.25, tf.int32)}

        return {"x": part("x", "y"), "y": part("y", "x"), "coin": coin}


@pytest.fixture(scope="module")
def pair():
    return tfbdl.fit(
        Pair(), None, engine="gibbs", seed=2,
        engine_options={"warmup": 50, "draws": 3000, "chains": 4},
    )  # fmt: skip


def test_a_bivariate_normal_is_exact(pair):
    x, y = pair.posterior.draws["x"], pair.posterior.draws["y"]
    assert x.dtype == np.float64
    for value, expected in ((x, 0.0), (y, 0.0), (x**2, 1.0), (y**2, 1.0), (x * y, 0.9)):
        assert abs(value.mean() - expected) < 4 * diagnostics.mcse_mean(value)
    lag = np.mean([np.corrcoef(chain[1:], chain[:-1])[0, 1] for chain in x])
    assert lag == pytest.approx(0.81, abs=0.03)  # correlation squared, of a systematic scan


def test_discrete_sites_keep_their_type(pair):
    coin = pair.posterior.draws["coin"]
    assert coin.dtype == np.int32
    assert abs(coin.mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / coin.size)
    assert pair.posterior.sample_stats == {}


def test_draws_are_a_function_of_the_seed_and_can_be_extended(pair):
    longer = tfbdl.fit(
        Pair(), None, engine="gibbs", seed=2,
        engine_options={"warmup": 50, "draws": 3200, "chains": 4},
    )  # fmt: skip
    for name, draws in pair.extend(200).posterior.draws.items():
        np.testing.assert_array_equal(draws, longer.posterior.draws[name])
        np.testing.assert_array_equal(draws[:, :3000], pair.posterior.draws[name])


class Broken:
    """A model whose one conditional gives what it is told."""

    def __init__(self, fresh):
        self.conditionals = {"block": lambda key, params, batch: fresh}

    def init(self, seed):
        return {"alpha": tf.zeros((2,)), "beta": tf.zeros(())}


@pytest.mark.parametrize(
    ("fresh", "message"),
    [
        ({"alpa": tf.zeros(2)}, "'block' draws 'alpa', which is no site. Did you mean 'alpha'"),
        ({"alpha": tf.zeros(3)}, r"must draw 'alpha' as float32 \(2,\).*Received: float32 \(3,\)"),
        ({"beta": tf.zeros((), tf.int32)}, r"must draw 'beta' as float32 \(\).*int32"),
    ],
)
def test_a_conditional_that_draws_something_else_is_refused(fresh, message):
    with pytest.raises(errors.ModelError, match=message):
        tfbdl.fit(Broken(fresh), None, engine="gibbs")


def test_a_model_without_blocks_is_refused():
    model = Broken({})
    model.conditionals = {}
    with pytest.raises(errors.ModelError, match="no conditionals"):
        tfbdl.fit(model, None, engine="gibbs")
