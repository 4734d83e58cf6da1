"""Checks of any layer that draws noise: its configuration, its file, half precision, replicas."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

import tfbdl


def numbers(*outputs):
    return [tf.convert_to_tensor(part).numpy() for part in tf.nest.flatten(outputs)]


def check_configuration(layer, x):
    """A layer made of the configuration of another has the same, and weights of the same shapes."""
    layer(x)
    config = layer.get_config()
    copy = type(layer).from_config(config)
    copy(x)
    assert copy.get_config() == config
    assert [w.shape for w in copy.weights] == [w.shape for w in layer.weights]


def check_file(layer, x, path):
    """A stored model goes on with the noise that the first would have drawn."""
    model = keras.Sequential([keras.Input(x.shape[1:], dtype=x.dtype.name), layer])
    model(x)
    model.save(path)
    copy = keras.models.load_model(path)
    first, second = numbers(model(x), model(x))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(numbers(copy(x), copy(x)), [first, second])
    np.testing.assert_array_equal(numbers(*copy.losses), numbers(*model.losses))


def check_noise(make, x):
    """A seed makes the noise; names, seeds and calls tell noise apart."""
    first, same, other, named = make(name="a"), make(name="a"), make(name="a"), make(name="b")
    first.seed = same.seed = named.seed = 7
    other.seed = 8
    for layer in (first, same, other, named):
        layer(x)
        layer.rng_step.assign(0)
        layer.set_weights(first.get_weights())
    (one,), (two,) = numbers(first(x)), numbers(first(x))
    assert not np.array_equal(one, two)
    np.testing.assert_array_equal(numbers(same(x), same(x)), [one, two])
    for layer in (other, named):
        assert not np.array_equal(numbers(layer(x))[0], one)
    same.rng_step.assign(0)
    np.testing.assert_array_equal(numbers(same(x, training=True))[0], one)  # training or not


def check_half_precision(make, x):
    """Outputs are halves; weights, and what is added to the losses, are not."""
    layer = make(dtype="mixed_float16")
    outputs = tf.nest.flatten(layer(x))
    assert {out.dtype for out in outputs} == {tf.float16}
    assert all(np.isfinite(out).all() for out in numbers(outputs))
    assert {loss.dtype for loss in layer.losses} <= {tf.float32}
    assert {w.dtype for w in layer.trainable_weights} <= {"float32"}


def step(make, x, **options):
    """All weights after one step of plain gradient descent, and the loss before it."""
    keras.utils.set_random_seed(5)
    parts = [make(name="noisy"), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input(x.shape[1:], dtype=x.dtype.name), *parts])
    model.compile(keras.optimizers.SGD(0.1), "mse", **options)
    target = np.ones(model.compute_output_shape(x.shape), "float32")
    loss = model.fit(x, target, len(x), shuffle=False, verbose=0).history["loss"]
    return [*numbers(model.trainable_variables), np.array(loss)]


def check_replicas(make, x):
    """With noise frozen, a step on two replicas is a step on one."""
    with tfbdl.testing.frozen_noise():
        single = step(make, x)
        strategy = tf.distribute.MirroredStrategy(
            ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
        )
        with strategy.scope():
            double = step(make, x)
    for one, two in zip(single, double, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-6)


def check_xla(make, x):
    """A step under XLA is a step without, noise and all."""
    for one, other in zip(step(make, x), step(make, x, jit_compile=True), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5)
