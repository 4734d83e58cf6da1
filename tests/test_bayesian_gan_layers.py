"""Layers of a Bayesian GAN's nets that keep no state, and feature matching, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tfbdl_bayesian_gan import BayesianGAN, builders, log_posteriors
from tfbdl_bayesian_gan.batch_standardization import BatchStandardization
from tfbdl_bayesian_gan.row_noise import RowNoise, drawn_from
from tfbdl_bayesian_gan.stacked import StackedNet
from tfbdl_bayesian_gan.weight_normalization import NormalizedDense

from tests.bayesian_gan_cases import rows, small
from tfbdl import random
from tfbdl.errors import OptionsError

RNG = np.random.default_rng(0)


def test_row_noise_has_its_deviation_where_a_key_is_given_and_is_nothing_elsewhere() -> None:
    h = tf.zeros((2000, 5))
    layer = RowNoise(0.5)
    np.testing.assert_array_equal(layer(h), h)
    with drawn_from(random.key(1)):
        drawn = layer(h).numpy()
        again, other = layer(h).numpy(), RowNoise(0.5, place=1)(h).numpy()
    np.testing.assert_array_equal(drawn, again)  # a function of the key and the place
    # 10,000 numbers: sd of a standard deviation 0.0035, of a correlation 0.01
    assert abs(drawn.std() - 0.5) < 0.016
    assert abs(np.corrcoef(drawn.ravel(), other.ravel())[0, 1]) < 0.045
    np.testing.assert_array_equal(layer(h), h)
    with pytest.raises(OptionsError, match="must not be negative"):
        RowNoise(-1.0)


def test_normalized_dense_has_columns_of_the_given_lengths() -> None:
    layer = NormalizedDense(3)
    x = RNG.normal(size=(4, 6)).astype("float32")
    layer(x)
    V, g, b = RNG.normal(size=(6, 3)), np.array([0.5, 2.0, -1.0]), RNG.normal(size=3)
    values = {"kernel": V, "length": g, "bias": b}
    for weight in layer.weights:
        weight.assign(values[weight.name])
    expected = x @ (V * g / np.linalg.norm(V, axis=0)) + b
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)


def test_batch_standardization_is_that_of_the_batch_at_hand() -> None:
    layer = BatchStandardization()
    x = 3 + 2 * RNG.normal(size=(50, 4)).astype("float32")
    # epsilon, 1e-7, lies far below a variance of 4
    np.testing.assert_allclose(layer(x), (x - x.mean(0)) / x.std(0), atol=1e-5)
    layer.gamma.assign([2.0] * 4)
    layer.beta.assign([1.0] * 4)
    np.testing.assert_allclose(layer(x), 1 + 2 * (x - x.mean(0)) / x.std(0), atol=1e-5)


def test_matched_features_count_the_distance_of_means_for_all_rows() -> None:
    reals, fakes = RNG.normal(size=(2, 1, 7, 3)), RNG.normal(size=(2, 4, 5, 3))
    log_prior = RNG.normal(size=4)
    apart = reals.mean(axis=2) - fakes.mean(axis=2)
    found = log_posteriors.of_matched_features(reals, fakes, log_prior, 20.0)
    np.testing.assert_allclose(found, -20 * (apart**2).sum(-1) / 3 + log_prior, rtol=1e-12)


def test_features_are_what_the_last_layer_sees() -> None:
    stack = StackedNet(builders.mlp_discriminator((3,), (6, 4)), 2, "discriminator")
    params = stack.start(seed=1)
    x = rows(5)
    features = stack.features(params, tf.constant(x)).numpy()
    assert features.shape == (2, 5, 4)
    last = [v.numpy() for n, v in params.items() if n.startswith("discriminator.logit")]
    logits = np.einsum("jnf,jfo->jno", features, last[0]) + last[1][:, None]
    np.testing.assert_allclose(stack.all(params, tf.constant(x)), logits, atol=1e-5)


@pytest.mark.slow
def test_nets_with_all_three_are_trained_at_once_and_copied() -> None:
    model = small(
        generator_objective="feature_matching", generator_standardization=True,
        discriminator_noise=0.5, weight_normalization=True, generators=2,
    )  # fmt: skip
    assert all(net.is_vectorized for net in model.nets)
    x = rows()
    before = [weight.numpy() for weight in model.trainable_variables]
    history = model.fit(x, epochs=1, steps_per_epoch=2).history
    assert history["generator_loss"][0] >= 0  # a squared distance
    for old, new in zip(before, model.trainable_variables, strict=True):
        assert np.abs(new.numpy() - old).max() > 0, new.path
    copy = model.clone()
    np.testing.assert_array_equal(model.predict(x), copy.predict(x))
    np.testing.assert_array_equal(model.sample(2, seed=1), copy.sample(2, seed=1))
    assert np.ptp(model.sample(2, seed=1, generator=0), axis=0).max() > 0  # standardised among more


def test_convolutions_refuse_what_dense_nets_have() -> None:
    for option in ("generator_standardization", "weight_normalization", "discriminator_noise"):
        chosen: dict[str, Any] = {"architecture": "conv", "filters": (2,), option: 1}
        with pytest.raises(OptionsError, match=f"{option} is of dense nets"):
            BayesianGAN((8, 8, 1), 1, **chosen)


def test_generated_rows_never_stand_alone_in_a_block() -> None:
    """4,097 rows of a generator whose rows are standardised together: two blocks alike in size."""
    model = small(generator_standardization=True, generators=1)
    made = model.sample(4097, seed=0)
    assert len(np.unique(made, axis=0)) == 4097
    # A row alone would be standardised to zero, whatever its noise.
    params = model.chain.params("generator")
    last = [model._generated(params, 4097, random.key(seed))[0, -1] for seed in (1, 2)]
    assert np.abs(last[0] - last[1]).min() > 0
