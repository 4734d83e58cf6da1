"""A GAN and the learned prior of its noise: where it starts, and what its hyperprior weighs."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tfbdl_bayesian_gan import GAN

from tfbdl import functional
from tfbdl.errors import DataError

X = np.random.default_rng(0).normal(size=(40, 2)).astype("float32")


def gan(prior: str, seed: int = 3, options: dict[str, object] | None = None, **more: Any) -> GAN:
    with functional.seeded(0):
        generator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
        discriminator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model = GAN(
        generator, discriminator, 2, latent_prior=prior, latent_options=options, seed=seed, **more
    )
    model.compile(run_eagerly=True)
    return model


def means(model: GAN) -> np.ndarray:
    return model.latent_prior.values()["loc"].numpy()


def test_a_learned_prior_starts_from_the_seed_of_its_model_unless_it_has_one() -> None:
    model = gan("gaussian_mixture", options={"components": 3})
    again, other = model.clone(seed=3), model.clone(seed=4)
    np.testing.assert_array_equal(means(again), means(model))
    assert np.abs(means(other) - means(model)).min() > 0
    own = gan("gaussian_mixture", options={"components": 3, "seed": 7})
    np.testing.assert_array_equal(means(own.clone(seed=4)), means(own))
    copy = GAN.from_config(model.get_config())
    np.testing.assert_array_equal(means(copy), means(model))


def test_rows_that_nobody_counted_are_refused_where_a_hyperprior_is_weighed_by_them() -> None:
    stream = tf.data.Dataset.from_tensor_slices(X).filter(lambda row: row[0] > -9.0).batch(20)
    steps: dict[str, Any] = {"steps_per_epoch": 2, "verbose": 0}
    with pytest.raises(DataError, match=r"number of training rows is not known.*num_data=N"):
        gan("stick_breaking").fit(stream, **steps)
    with pytest.raises(DataError, match="number of training rows is not known"):
        gan("stick_breaking").train_on_batch(X)
    gan("gaussian_mixture").train_on_batch(X)  # has none
    model = gan("stick_breaking", num_data=1000)
    model.fit(stream, **steps)
    assert model.num_data == 1000
    assert model.clone().given_num_data == 1000
    counted = gan("stick_breaking")
    counted.fit(X, verbose=0)
    assert counted.num_data == 40
