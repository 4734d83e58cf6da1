"""BayesianGAN: its sampler, its recipe, what it keeps and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf
from tfbdl_bayesian_gan import BayesianGAN
from tfbdl_bayesian_gan.labels import classes_of, keep_some
from tfbdl_bayesian_gan.stacked import StackedNet

import tfbdl
from tests.bayesian_gan_cases import COVARIANCE, Correlated, indifferent, line, rows, small
from tfbdl import random
from tfbdl.errors import DataError, ModelError, OptionsError
from tfbdl.testing import frozen_noise


@pytest.fixture(scope="module")
def fitted() -> BayesianGAN:
    model = small()
    model.fit(rows())
    return model


def states(model: BayesianGAN) -> list[np.ndarray]:
    return [np.asarray(weight) for weight in model.weights]


def assert_same(one: BayesianGAN, other: BayesianGAN) -> None:
    for a, b in zip(states(one), states(other), strict=True):
        np.testing.assert_array_equal(a, b)


# -- the sampler ---------------------------------------------------------------------------------


def stationary_covariance(eta: float, a: float) -> np.ndarray:
    """Of theta under SGHMC on N(0, COVARIANCE): the discrete Lyapunov equation of (v, theta)."""
    P, eye = np.linalg.inv(COVARIANCE), np.eye(2)
    push = np.hstack([(1 - a) * eye, -eta * P])
    move = np.vstack([push, push + np.hstack([np.zeros((2, 2)), eye])])
    noise = 2 * a * eta * np.kron(np.ones((2, 2)), eye)
    return scipy.linalg.solve_discrete_lyapunov(move, noise)[2:, 2:]


def on_gaussian(**options: float) -> BayesianGAN:
    """Generators whose log posterior is that of N(0, COVARIANCE), sampled with eta = 0.05."""
    x = np.zeros((4, 2), "float32")
    chosen = {"generators": 100, "warmup": 0, "burn_in": 200, "thin": 30, "samples": 250}
    model = BayesianGAN(
        2, latent_dim=1, generator=line(), discriminator=indifferent(), prior=Correlated(), seed=3,
        step_size=0.05 * len(x), friction=0.2, batch_size=4, **(chosen | options),
    )  # fmt: skip
    model.fit(x)
    return model


@pytest.mark.slow
def test_sghmc_in_the_model_has_the_stationary_covariance_of_its_discretisation() -> None:
    expected = stationary_covariance(0.05, 0.2)
    np.testing.assert_allclose(expected, [[1.0142, 0.8998], [0.8998, 2.0141]], atol=5e-5)
    (draws,) = (v for n, v in on_gaussian().posterior.draws.items() if n.startswith("generator"))
    # 25,000 draws, 30 steps apart at a correlation time of 10: sd of a variance 1 %
    found = np.cov(draws.reshape(-1, 2), rowvar=False)
    np.testing.assert_allclose(found, expected, rtol=0.03)


def test_sghmc_without_noise_has_no_spread() -> None:
    model = on_gaussian(temperature=0.0, generators=5, burn_in=400, samples=4)
    (draws,) = (v for n, v in model.posterior.draws.items() if n.startswith("generator"))
    np.testing.assert_allclose(draws, 0.0, atol=1e-5)  # all at the mode


def test_recipe_without_noise_is_the_map_gan() -> None:
    x, rate, steps = rows(6), 0.05, 4
    with frozen_noise():
        model = small(
            generators=1, discriminators=1, warmup=0, burn_in=0, samples=1, thin=steps,
            temperature=0.0, friction=1.0, step_size=rate, fake_rows=8,
        )  # fmt: skip
        start = {site: v[0] for side in model.chain.sides for site, v in side[0].items()}
        values = {name: tf.Variable(value) for name, value in start.items()}
        model.fit(x)

    def net(role: str, h: tf.Tensor) -> tf.Tensor:
        (w1, b1, w2, b2) = (v for n, v in values.items() if n.startswith(role))
        return tf.nn.leaky_relu(h @ w1 + b1, 0.2) @ w2 + b2

    fakes = lambda: net("generator", tf.zeros((8, 2)))  # noqa: E731  frozen: z is its centre, 0

    def of_data(logits: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(tf.math.log_sigmoid(logits))

    for _ in range(steps):
        for role in ("generator", "discriminator"):
            own = [v for n, v in values.items() if n.startswith(role)]
            with tf.GradientTape() as tape:
                log_prior = -sum(tf.reduce_sum(v**2) / 2 for v in own) / len(x)
                if role == "generator":
                    value = of_data(net("discriminator", fakes())) + log_prior
                else:
                    judged = net("discriminator", tf.constant(x)), -net("discriminator", fakes())
                    value = sum(map(of_data, judged)) + log_prior
            for variable, gradient in zip(own, tape.gradient(value, own), strict=True):
                variable.assign_add(rate * gradient)
    for name, draws in model.posterior.draws.items():
        assert np.abs(values[name] - start[name].numpy()).max() > 1e-3
        np.testing.assert_allclose(draws[0, 0, 0], values[name], atol=1e-5)


@pytest.mark.parametrize("decay", [0.0, 3.0])
def test_warm_up_is_adam_with_a_rate_that_falls_over_a_pass(decay: float) -> None:
    """Where gradients hardly change, Adam moves by its rate; a batch here is a whole pass.

    Within 6 %: those near zero do change (3.6 % at most, measured), and twice the fall is 9 %.
    """
    rate, options = 1e-4, {"generators": 1, "discriminators": 1, "warmup": 3, "decay": decay}
    with frozen_noise():
        model = small(learning_rate=rate, **options)
        before = [v.numpy() for v in model.trainable_variables]
        model.fit(rows(8), steps_per_epoch=3, epochs=1)
    far = rate * (1.0 + 2.0 * np.exp(-decay))
    for old, new in zip(before, model.trainable_variables, strict=True):
        assert np.abs(new.numpy() - old).max() == pytest.approx(far, rel=0.06)


# -- stacked networks ----------------------------------------------------------------------------


def nets() -> list[keras.Model]:
    layers = keras.layers
    dense = [layers.Input((4, 4, 1)), layers.Flatten(), layers.Dense(5, "tanh"), layers.Dense(2)]
    conv = [layers.Input((4, 4, 1)), layers.Conv2D(3, 3, activation="relu"), layers.Flatten()]
    return [keras.Sequential(dense), keras.Sequential([*conv, layers.Dense(2)])]


@pytest.mark.parametrize("net", nets(), ids=["dense", "conv"])
def test_stacked_networks_equal_separate_ones(net: keras.Model) -> None:
    stack = StackedNet(net, 3, "generator")
    params = stack.start(seed=1)
    x = random.normal((3, 5, 4, 4, 1), random.key(2))
    own, shared = stack.each(params, x).numpy(), stack.all(params, x[0]).numpy()
    for j in range(3):
        net.set_weights([value[j] for value in params.values()])
        np.testing.assert_allclose(own[j], net(x[j]), atol=1e-5)
        np.testing.assert_allclose(shared[j], net(x[0]), atol=1e-5)
    assert np.abs(own[0] - own[1]).max() > 0.01  # each has weights of its own


def test_prior_of_stacked_networks_is_that_of_each() -> None:
    stack = StackedNet(nets()[0], 3, "generator")
    params = stack.start(seed=1)
    found = stack.log_prior(params, tfbdl.prior("normal", scale=0.5)).numpy()
    for j in range(3):
        w = np.concatenate([np.ravel(value[j]) for value in params.values()]).astype("float64")
        expected = -(w**2).sum() / (2 * 0.25) - len(w) * np.log(0.5 * np.sqrt(2 * np.pi))
        np.testing.assert_allclose(found[j], expected, rtol=1e-5)


# -- what is kept --------------------------------------------------------------------------------


@pytest.mark.slow
def test_fit_keeps_thinned_samples_of_all_weights(fitted: BayesianGAN) -> None:
    draws = fitted.posterior.draws
    assert draws["generator.dense.kernel"].shape == (1, 3, 3, 2, 8)
    assert draws["discriminator.logit.kernel"].shape == (1, 3, 2, 8, 1)
    for name, value in draws.items():
        assert (value.std(axis=1) > 0).all(), name
    last = {name: value[0, -1] for name, value in draws.items()}
    present = {s: np.asarray(v) for side in fitted.chain.sides for s, v in side[0].items()}
    np.testing.assert_equal(last, present)  # the recipe ends with a sample
    assert int(fitted.rng_step.numpy()) == fitted.default_steps == 6 + 2 + 3 * 2


@pytest.mark.slow
def test_kept_samples_are_the_last_ones_in_order(fitted: BayesianGAN) -> None:
    model = fitted.clone()
    before = model.posterior.draws["generator.dense.bias"]
    model.fit(rows(), epochs=2, steps_per_epoch=2)  # two samples more
    after = model.posterior.draws["generator.dense.bias"]
    np.testing.assert_array_equal(after[:, 0], before[:, -1])
    assert not np.array_equal(after[:, 1], before[:, 0])
    assert int(model.kept.count.numpy()) == 5


@pytest.mark.slow
def test_fit_is_a_function_of_its_seed(fitted: BayesianGAN) -> None:
    again, other = small(), small(seed=6)
    for model in (again, other):
        model.fit(rows())
    assert_same(fitted, again)
    assert not np.array_equal(states(again)[2], states(other)[2])
    np.testing.assert_array_equal(fitted.sample(9, seed=1), again.sample(9, seed=1))
    assert not np.array_equal(fitted.sample(9, seed=1), fitted.sample(9, seed=2))


@pytest.mark.slow
def test_run_that_was_stored_half_way_ends_as_one_that_was_not(
    fitted: BayesianGAN, tmp_path: Path
) -> None:
    model = small()
    model.compile()  # not needed, and no obstacle to a file
    model.fit(rows(), epochs=1, steps_per_epoch=11)  # a sample is kept, the next is half way
    model.save(tmp_path / "half.keras")
    copy = tfbdl.load(tmp_path / "half.keras")
    assert_same(model, copy)
    assert copy.compiled
    copy.fit(rows())
    for one, two in zip(states(fitted), states(copy), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)  # XLA or not: the last digits
    assert int(copy.rng_step.numpy()) == fitted.default_steps


@pytest.mark.slow
def test_cancelled_epoch_leaves_model_and_samples_together() -> None:
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
            if batch >= 3:
                raise KeyboardInterrupt

    model = small(generators=1, discriminators=1, warmup=0)
    with pytest.raises(KeyboardInterrupt):
        model.fit(rows(), epochs=1, steps_per_epoch=8, callbacks=[Stop()])
    assert int(model.rng_step.numpy()) == 4
    assert model.kept.number == 1


@pytest.mark.slow
def test_fit_by_name_gives_the_posterior_and_stores_it(tmp_path: Path) -> None:
    options = {
        "generators": 2, "hidden": [4], "latent_dim": 2,
        "warmup": 0, "burn_in": 0, "samples": 2, "thin": 2,
    }  # fmt: skip
    x = rows() * [1, 10, 100] + [0, 5, 0]
    fit = tfbdl.fit("bayesian_gan", x, model_options=options, prior="laplace", out=tmp_path / "r")
    loaded = tfbdl.load(tmp_path / "r")
    assert fit.posterior.draws["generator.dense.kernel"].shape == (1, 2, 2, 2, 4)
    np.testing.assert_equal(dict(fit.posterior.draws), dict(loaded.posterior.draws))
    np.testing.assert_array_equal(fit.model.sample(5), loaded.model.sample(5))
    assert np.ptp(fit.model.sample(50), axis=0)[2] > 1  # in units of the data


# -- answers -------------------------------------------------------------------------------------


def test_sample_draws_evenly_from_samples_and_generators(fitted: BayesianGAN) -> None:
    one_by_one = [fitted.sample(4, seed=2, generator=j, draw=i) for i in range(3) for j in range(3)]
    whole = fitted.sample(36, seed=2)
    assert whole.shape == (36, 3)
    # with one seed a net's noise is the same, so that the whole is its nine parts, in some order
    np.testing.assert_allclose(
        np.sort(whole, axis=0), np.sort(np.concatenate(one_by_one), axis=0), rtol=1e-5
    )
    for wrong in ({"generator": 3}, {"draw": -1}):
        with pytest.raises(OptionsError, match="from 0 to 2"):
            fitted.sample(1, **wrong)


def test_predict_averages_over_samples_and_discriminators(fitted: BayesianGAN) -> None:
    x = rows(5)
    draws = {n: v[0] for n, v in fitted.posterior.draws.items() if n.startswith("disc")}
    w1, b1, w2, b2 = draws.values()
    h = np.einsum("nd,sjdh->sjnh", x, w1) + b1[:, :, None]
    logits = np.einsum("sjnh,sjho->sjno", np.where(h > 0, h, 0.2 * h), w2) + b2[:, :, None]
    expected = (1 / (1 + np.exp(-logits))).mean(axis=(0, 1))
    np.testing.assert_allclose(fitted.predict(x), expected, atol=1e-5)
    with pytest.raises(ModelError, match="num_classes=K"):
        fitted.predict_proba(x)


@pytest.mark.slow
def test_few_labels_are_enough_where_classes_are_apart() -> None:
    rng = np.random.default_rng(1)
    y = np.arange(300) % 3
    x = (4 * np.eye(3)[y] + 0.3 * rng.normal(size=(300, 3))).astype("float32")
    model = small(
        generators=1, discriminators=1, num_classes=3, labelled=6, label_weight=50.0, warmup=60,
        thin=10, hidden=(16,), batch_size=32,
    )  # fmt: skip
    model.fit(x, y)
    probs = model.predict_proba(x)
    np.testing.assert_allclose(probs.sum(axis=1), 1.0, atol=1e-5)
    assert (probs.argmax(axis=1) == y).mean() > 0.95  # 1/3 by chance; 12 deviations lie between


# -- refusals ------------------------------------------------------------------------------------


def test_labels_are_checked_and_some_are_kept() -> None:
    y = np.repeat([0, 1, 2], 10)
    kept = keep_some(y, 7)
    assert [int((kept == k).sum()) for k in (0, 1, 2, -1)] == [3, 2, 2, 23]
    assert (kept[kept >= 0] == y[kept >= 0]).all()
    np.testing.assert_array_equal(classes_of([0, -1, 1], 3, 2), [0, -1, 1])
    for wrong in (None, [0, 1], [0, 1, 2], [0.5, 1, 0], [-1, -1, -1]):
        with pytest.raises(DataError, match="-1 where a row has no label"):
            classes_of(wrong, 3, 2)
    with pytest.raises(DataError, match="10 rows of it"):
        keep_some(y, 33)


def test_model_refuses_what_it_cannot_sample() -> None:
    layers = keras.layers
    stateful = keras.Sequential([layers.Input((2,)), layers.BatchNormalization(), layers.Dense(3)])
    with pytest.raises(ModelError, match="LayerNormalization in place of BatchNormalization"):
        small(generator=stateful)
    with pytest.raises(ModelError, match="Expected a built net"):
        small(generator=keras.Sequential([layers.Dense(3)]))
    with pytest.raises(OptionsError, match=r"gives \[1\]"):
        small(num_classes=4, discriminator=indifferent())
    with pytest.raises(OptionsError, match="GAN learns others"):
        small(latent_prior="gaussian_mixture")
    with pytest.raises(OptionsError, match="Did you mean 'friction'"):
        small(fricton=0.1)
    model = small()
    with pytest.raises(OptionsError, match="Expected: no optimizer"):
        model.compile(optimizer="adam")
    with pytest.raises(DataError, match=r"n, 3"):
        model.fit(rows()[:, :2])
    with pytest.raises(DataError, match="ends in sigmoid and gives values from 0 to 1"):
        small(output="sigmoid").fit(rows())
    with pytest.raises(ModelError, match="sampled by fit"):
        model.train_on_batch(rows())


def test_evaluation_stands_for_the_rows_of_training_however_they_are_batched() -> None:
    with frozen_noise():
        model = small()
        model.fit(rows(), epochs=1)
        model.compile()
        x, number = rows(), len(rows())
        losses = [model.evaluate(x, batch_size=size, verbose=0) for size in (number, number // 4)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
        # At twice the rows of training the prior weighs no less: it is that of N rows.
        twice = np.concatenate([x, x])
        assert model.evaluate(twice, batch_size=2 * number, verbose=0) == pytest.approx(
            losses[0], rel=1e-5
        )
        model.evaluate(x, batch_size=number // 2 + 1, verbose=0)  # batches of unequal size


def test_labels_that_cannot_be_kept_are_refused() -> None:
    y = np.array([0, 0, 1, 1, 2, 2])
    with pytest.raises(DataError, match=r"at least 3 rows, one of each class\. Received: 2"):
        keep_some(y, 2)
    with pytest.raises(OptionsError, match="labelled"):
        small(num_classes=3, labelled=0)
