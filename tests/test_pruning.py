"""Signal-to-noise ratios, and networks without their noisiest weights."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tfbdl import BayesianNetwork, functional, random
from tfbdl.errors import ModelError, OptionsError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 3)).astype("float32")
Y = (X @ [1.0, -1.0, 0.5]).astype("float32")
KERNELS = ("dense.kernel", "dense_1.kernel")
SIZE = 3 * 5 + 5 + 5 + 1


def network(**options):
    with functional.seeded(3):
        net = keras.Sequential(
            [keras.Input((3,)), keras.layers.Dense(5, "tanh"), keras.layers.Dense(1)]
        )
    model = BayesianNetwork(net, "gaussian", num_data=20, **options)
    for variable in model.trainable_variables:
        variable.assign(RNG.normal(size=variable.shape) - 1.0)
    model.rng_seed.assign(2)
    return model


def joined(values):
    return np.concatenate([np.ravel(v) for name, v in values.items() if "likelihood" not in name])


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture(scope="module")
def pruned(model):
    return model.prune(0.75)


def test_signal_to_noise_is_mean_over_standard_deviation(model):
    mean, sd = model.posterior.mean(), model.posterior.stddev()
    ratios = model.signal_to_noise()
    assert set(ratios) == {name for name in mean if not name.startswith("likelihood")}
    for name, ratio in ratios.items():
        np.testing.assert_allclose(ratio, np.abs(mean[name]) / sd[name], rtol=1e-6)


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.75, 1.0])
def test_a_fraction_of_all_weights_is_exactly_zero(model, fraction):
    copy = model.prune(fraction)
    mean, sd = joined(copy.posterior.mean()), joined(copy.posterior.stddev())
    gone = mean == 0.0
    assert gone.sum() == round(fraction * SIZE)
    np.testing.assert_array_equal(sd == 0.0, gone)
    draws = copy.posterior.sample(4)
    for name in KERNELS:
        masked = copy.posterior.mean()[name] == 0.0
        assert not np.any(draws[name][:, masked])
        assert np.all(draws[name][:, ~masked])


def test_the_weights_of_least_signal_to_noise_go(model, pruned):
    ratios, mean = joined(model.signal_to_noise()), joined(pruned.posterior.mean())
    assert ratios[mean == 0].max() < ratios[mean != 0].min()
    kept = mean != 0
    np.testing.assert_array_equal(mean[kept], joined(model.posterior.mean())[kept])


def test_the_model_itself_stays_as_it_is(model, pruned):
    assert not np.any(joined(model.posterior.mean()) == 0)
    assert pruned is not model


@pytest.mark.parametrize("prior", ["normal", "scale_mixture"])
def test_pruned_weights_have_no_part_in_the_kl(prior):
    model = network(prior=prior)
    pruned = model.prune(0.75)
    kept = joined(pruned.posterior.mean()) != 0
    mu = joined(model.posterior.mean())[kept].astype(float)
    sigma = joined(model.posterior.stddev())[kept].astype(float)
    draw = pruned.surrogate.sample(random.key(0))
    w = joined({name: value.numpy() for name, value in draw.items()})[kept].astype(float)
    if prior == "normal":
        terms = -np.log(sigma) + (sigma**2 + mu**2) / 2 - 0.5
    else:
        s2 = np.exp(-6.0)
        densities = np.exp(-(w**2) / 2), np.exp(-((w / s2) ** 2) / 2) / s2
        log_prior = np.log(0.5 * sum(densities) / np.sqrt(2 * np.pi))
        terms = -0.5 - 0.5 * np.log(2 * np.pi * sigma**2) - log_prior
    assert float(pruned.kl(draw)) == pytest.approx(terms.sum(), rel=1e-4)


@pytest.mark.slow
def test_a_pruned_model_trains_on_and_its_zeros_stay(model, tmp_path):
    pruned = model.prune(0.5)
    before = joined(pruned.posterior.mean())
    pruned.compile(keras.optimizers.Adam(0.05), jit_compile=False)
    losses = pruned.fit(X, Y, batch_size=20, epochs=10, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    after = joined(pruned.posterior.mean())
    np.testing.assert_array_equal(after == 0, before == 0)
    assert np.all(after[before != 0] != before[before != 0])
    pruned.save(tmp_path / "pruned.keras")
    loaded = keras.saving.load_model(tmp_path / "pruned.keras")
    np.testing.assert_array_equal(loaded.predict(X), pruned.predict(X))
    np.testing.assert_array_equal(joined(loaded.posterior.mean()), after)


def test_pruning_again_never_brings_a_weight_back(pruned):
    gone = joined(pruned.posterior.mean()) == 0
    for fraction in (0.25, 0.75, 0.9):
        again = joined(pruned.prune(fraction).posterior.mean()) == 0
        assert np.all(again[gone])
        assert again.sum() == max(gone.sum(), round(fraction * SIZE))


def test_fractions_out_of_range_and_other_families_are_refused(model):
    for fraction in (-0.1, 1.1, float("nan")):
        with pytest.raises(OptionsError, match="from 0 to 1"):
            model.prune(fraction)
    with pytest.raises(ModelError, match=r"'mean_field'.*posterior='full_rank'"):
        network(posterior="full_rank").prune(0.5)
