"""What Boltzmann machines reach on patterns and digits."""

import os

import keras
import numpy as np
import pytest
from rbm_machines import bars_and_stripes
from sklearn.linear_model import LogisticRegression
from tfbdl_rbm.model import RBM

import tfbdl

# -- figures -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_persistent_chains_learn_bars_and_stripes_better_than_contrastive_divergence():
    x = bars_and_stripes()
    assert len(x) == 14  # log 14 = 2.639 is the least NLL

    def nll(training, seed):
        model = RBM(9, 16, training=training, num_chains=1_000, weight_scale=0.1, seed=seed)
        model.compile(keras.optimizers.SGD(0.05), steps_per_execution=500, jit_compile=True)
        model.fit(x, batch_size=14, epochs=20, steps_per_epoch=500, verbose=0)
        return -model.log_prob(x).mean()

    persistent = [nll("pcd", seed) for seed in range(3)]
    divergence = [nll("cd", seed) for seed in range(3)]
    assert np.log(14) < np.median(persistent) <= 2.95
    assert max(persistent) < min(divergence)


@pytest.mark.slow
@pytest.mark.skipif("TFBDL_DATA" not in os.environ, reason="TFBDL_DATA is not set.")
def test_machine_of_twenty_units_on_mnist_has_the_partition_function_that_annealing_finds():
    fit = tfbdl.fit(
        "rbm",
        "mnist",
        data_options={"train_size": 10_000},
        model_options={"num_hidden": 20},
        engine_options={"epochs": 5, "batch_size": 64, "learning_rate": 0.003},
    )
    exact = fit.model.log_partition_exact()
    found = fit.model.log_partition(runs=500, temperatures=20_000)
    assert found.estimate == pytest.approx(exact, abs=0.05)


def test_features_tell_digits_apart_that_raw_halves_cannot():
    """XOR of two units: no line separates it, but one of hidden units can."""
    x = np.repeat(np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32"), 3, axis=1)
    rows, labels = np.tile(x, (50, 1)), np.tile([0, 1, 1, 0], 50)
    fit = tfbdl.fit(
        "rbm",
        rows,
        model_options={"num_hidden": 16, "weight_scale": 0.5},
        engine_options={"epochs": 20, "batch_size": 50},
    )
    linear = LogisticRegression().fit(rows, labels).score(rows, labels)
    features = fit.model.transform(rows)
    assert features.shape == (200, 16)
    assert linear < 0.8
    assert LogisticRegression(C=100).fit(features, labels).score(features, labels) == 1.0
