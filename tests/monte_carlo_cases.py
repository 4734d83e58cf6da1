"""Models whose evidence is known in closed form, as densities and networks."""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats

import tfbdl

tfd = tfp.distributions
F64 = "float64"
NOISE, ROWS, COLUMNS = 0.5, 12, 3
X = np.random.default_rng(0).normal(size=(ROWS, COLUMNS))
Y = X @ np.array([1.0, -0.5, 2.0]) + NOISE * np.random.default_rng(1).normal(size=ROWS)
POSTERIOR_PRECISION = np.eye(COLUMNS) + X.T @ X / NOISE**2
POSTERIOR_COVARIANCE = np.linalg.inv(POSTERIOR_PRECISION)
POSTERIOR_MEAN = POSTERIOR_COVARIANCE @ X.T @ Y / NOISE**2
EVIDENCE = stats.multivariate_normal(cov=NOISE**2 * np.eye(ROWS) + X @ X.T).logpdf(Y)
"""Of weights N(0, I), by integrating them out."""

TRIALS, SUCCESSES, A, B = 20, 14, 2.0, 3.0
BETA_BINOMIAL = stats.betabinom(TRIALS, A, B).logpmf(SUCCESSES)


def regression():
    """The joint density of weights and targets, of all states at once."""
    x, y = tf.constant(X), tf.constant(Y)

    def fn(w):
        log_prior = tf.reduce_sum(tfd.Normal(tf.zeros((), F64), 1.0).log_prob(w), -1)
        mean = tf.matmul(w, x, transpose_b=True)
        return log_prior + tf.reduce_sum(tfd.Normal(mean, NOISE).log_prob(y), -1)

    return tfbdl.LogDensity(fn, {"w": (COLUMNS,)}, dtype=F64, vectorized=True)


def coin():
    """A Beta prior and a binomial count, as a joint distribution."""
    a, b, n = (tf.constant(v, tf.float64) for v in (A, B, TRIALS))
    return tfd.JointDistributionNamed(
        {"p": tfd.Beta(a, b), "y": lambda p: tfd.Binomial(n, probs=p)}
    )


def network():
    """The same regression as a network without a bias, in float32."""
    net = keras.Sequential(
        [keras.Input((COLUMNS,)), keras.layers.Dense(1, use_bias=False, name="dense")]
    )
    return tfbdl.BayesianNetwork(
        net, "gaussian", tfbdl.prior("normal", scale=1.0), likelihood_options={"scale": NOISE}
    )


STEPS, MOTION, MOTION_SD, SEEN_SD, FIRST_SD = 6, 0.9, 0.6, 0.5, 1.0
SERIES = np.array([0.4, 1.1, 0.2, -0.6, -1.5, -0.3])


def state_space():
    """A linear Gaussian state space: the path of states given SERIES, of all paths at once."""
    y = tf.constant(SERIES)

    def fn(z):
        before = MOTION * z[:, :-1]
        total = tfd.Normal(tf.zeros((), F64), FIRST_SD).log_prob(z[:, 0])
        total += tf.reduce_sum(tfd.Normal(before, MOTION_SD).log_prob(z[:, 1:]), -1)
        return total + tf.reduce_sum(tfd.Normal(z, SEEN_SD).log_prob(y), -1)

    return tfbdl.LogDensity(fn, {"z": (STEPS,)}, dtype=F64, vectorized=True)
