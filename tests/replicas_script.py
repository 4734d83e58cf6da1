"""Trains on two logical CPUs and on one, and prints what came of it as JSON.

TensorFlow takes its logical devices before it starts: run this in a process of its own.
"""

from __future__ import annotations

import json
import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import tensorflow as tf

from tfbdl import BayesianNetwork, functional, random

layers = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(16, 3)).astype("float32")
Y = X @ [1.0, -1.0, 0.5] + 0.1 * RNG.normal(size=16)


def model_of(body=list):
    with functional.seeded(3):
        net = keras.Sequential([keras.Input((3,)), *body(), layers.Dense(1)])
    options = {"likelihood_options": {"scale": 0.5}, "prior": "scale_mixture", "num_data": 16}
    model = BayesianNetwork(net, "gaussian", **options)
    model.rng_seed.assign(7)
    return model


def one_step(strategy):
    """The weights after one plain SGD step, with the noise frozen and no dropout."""
    with strategy.scope():
        model = model_of(lambda: [layers.Dense(4, "tanh"), layers.Dropout(0.0)])
        model.compile(keras.optimizers.SGD(0.1), jit_compile=False)
    with random.frozen():
        history = model.fit(X, Y, batch_size=16, verbose=0, shuffle=False).history
    weights = np.concatenate([w.numpy().ravel() for w in model.trainable_variables])
    return weights.tolist(), {name: values[-1] for name, values in history.items()}


def noise_of_replicas(strategy):
    """One draw of the weights in each replica, and again after the step has moved on."""
    with strategy.scope():
        model = model_of()

    @tf.function
    def draws():
        def of_replica():
            return model.surrogate.sample(model._noise_key(True))["dense.kernel"]

        return strategy.experimental_local_results(strategy.run(of_replica))

    first = [draw.numpy().ravel().tolist() for draw in draws()]
    model.rng_step.assign_add(1)
    return {"first": first, "second": [draw.numpy().ravel().tolist() for draw in draws()]}


def with_batch_norm(strategy):
    """Each replica's loss and KL, beside those recomputed from its own draw.

    A BatchNormalization that is synchronised waits for the other replica in the middle of the
    net, where the threads of the replicas take turns.
    """
    with strategy.scope():
        model = model_of(lambda: [layers.Dense(4), layers.BatchNormalization(synchronized=True)])
        model.compile("adam", jit_compile=False)

    @tf.function
    def step(x, y):
        def of_replica(x, y):
            expected = model.surrogate.sample(model._noise_key(True))
            outputs = model(x, training=True)
            loss = model.compute_loss(x, y, outputs, training=True)
            log_lik = model.likelihood.log_prob(outputs, y, {})
            kl = model.kl(expected)
            return loss * 2.0, -tf.reduce_mean(log_lik) + kl / 16.0, kl

        return [
            strategy.experimental_local_results(part) for part in strategy.run(of_replica, (x, y))
        ]

    data = tf.data.Dataset.from_tensors((X, Y[:, None].astype("float32"))).rebatch(16)
    x, y = next(iter(strategy.experimental_distribute_dataset(data)))
    loss, expected, kl = ([float(value) for value in part] for part in step(x, y))
    moving = model.net.layers[1].moving_mean
    moving.assign(tf.zeros_like(moving))
    history = model.fit(X, Y, batch_size=8, epochs=3, validation_data=(X, Y), verbose=0).history
    evaluated = [model.evaluate(X, Y, verbose=0, return_dict=True) for _ in range(2)]
    return {
        "loss": loss,
        "expected": expected,
        "kl": kl,
        "history": history,
        "evaluated": evaluated,
        "moving_mean": np.abs(moving.numpy()).max().item(),
        "rng_step": int(model.rng_step.numpy()),
    }


def with_a_row_too_few(strategy):
    """The history where the last batch has one row, so that one replica gets none."""
    with strategy.scope():
        model = model_of()
        model.compile("sgd", jit_compile=False)
    return model.fit(X[:15], Y[:15], batch_size=14, epochs=2, verbose=0).history


def main():
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    one = tf.distribute.get_strategy()
    result = {
        "replicas": two.num_replicas_in_sync,
        "one": one_step(one),
        "two": one_step(two),
        "noise": noise_of_replicas(two),
        "batch_norm": with_batch_norm(two),
        "empty": with_a_row_too_few(two),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
