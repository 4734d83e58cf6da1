"""The codes of InfoGAN: draws, densities and entropies against theory and SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from tfbdl_bayesian_gan import codes
from tfbdl_bayesian_gan.codes import Categorical, Uniform

import tfbdl
from tfbdl import random

N = 20_000


def test_categorical_codes_are_one_hot_and_even() -> None:
    drawn = Categorical(5).draw(N, random.key(0)).numpy()
    np.testing.assert_array_equal(drawn.sum(axis=1), np.ones(N))
    assert set(np.unique(drawn)) == {0.0, 1.0}
    assert stats.chisquare(drawn.sum(axis=0)).pvalue > 1e-3


def test_uniform_codes_are_uniform() -> None:
    drawn = Uniform(-1.0, 3.0).draw(N, random.key(1)).numpy()
    assert drawn.shape == (N, 1)
    assert stats.kstest(drawn[:, 0], stats.uniform(-1.0, 4.0).cdf).pvalue > 1e-3


def test_codes_side_by_side_are_independent() -> None:
    drawn = codes.draw([Uniform(), Uniform()], N, random.key(2)).numpy()
    # the correlation of independent draws has the standard deviation 1 / sqrt(n)
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 4 / math.sqrt(N)


def test_log_q_is_the_density_of_its_family() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4, 3)).astype("float32")
    means, raw = rng.normal(size=(2, 4, 1)).astype("float32")
    c = np.concatenate([np.eye(3)[[0, 2, 1, 1]], rng.uniform(size=(4, 2))], axis=1)
    parameters = np.concatenate([logits, means, means, raw], axis=1)
    three = [Categorical(3), Uniform(scale=0.5), Uniform(scale=None)]
    found = codes.log_q(three, tf.constant(parameters), tf.constant(c, tf.float32))
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    scale = np.log1p(np.exp(raw[:, 0])) + 1e-3
    np.testing.assert_allclose(found[0], np.log((softmax * c[:, :3]).sum(axis=1)), rtol=1e-5)
    np.testing.assert_allclose(
        found[1], stats.norm(means[:, 0], 0.5).logpdf(c[:, 3]), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(
        found[2], stats.norm(means[:, 0], scale).logpdf(c[:, 4]), rtol=1e-4, atol=1e-5
    )


def test_entropies_are_those_of_the_distributions() -> None:
    assert Categorical(10).entropy == pytest.approx(stats.entropy([0.1] * 10))
    assert Uniform(-1.0, 3.0).entropy == pytest.approx(stats.uniform(-1.0, 4.0).entropy())


def test_guesses_are_probabilities_and_means() -> None:
    parameters = tf.constant([[0.0, math.log(3.0), 0.7, 5.0]])
    classes, number = codes.guesses([Categorical(2), Uniform(scale=None)], parameters)
    np.testing.assert_allclose(classes, [[0.25, 0.75]], rtol=1e-6)
    np.testing.assert_allclose(number, [[0.7]], rtol=1e-6)


def test_codes_survive_plain_values() -> None:
    for code in (Categorical(4), Uniform(0.0, 2.0, None)):
        assert codes.from_config(codes.to_config(code)) == code


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Categorical(1), "at least 2 classes"),
        (lambda: Uniform(1.0, 1.0), "low < high"),
        (lambda: Uniform(scale=0.0), "above 0"),
        (lambda: codes.from_config({"kind": "categoricl"}), "Did you mean 'categorical'"),
        (lambda: codes.from_config(3), "A code is Categorical"),
    ],
)
def test_codes_refuse_what_they_cannot_be(make, text: str) -> None:
    with pytest.raises(tfbdl.errors.OptionsError, match=text):
        make()
