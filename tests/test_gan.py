"""GAN as a Keras model: what trains, what is stored, and what it refuses."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from tfbdl_bayesian_gan import GAN, builders
from tfbdl_bayesian_gan.optimizers import TwoPlayers

import tfbdl
from tfbdl import functional
from tfbdl.errors import DataError, ModelError, OptionsError, TfbdlError, TfbdlWarning

X = np.random.default_rng(0).normal(size=(48, 2)).astype("float32")


def model_of(objective: str = "non_saturating", *, output: str = "linear", **options) -> GAN:
    options = {"seed": 0, **options}
    with functional.seeded(1):
        generator = builders.mlp_generator(3, (2,), (8,), output)
        discriminator = builders.mlp_discriminator((2,), (8,))
    return GAN(generator, discriminator, 3, objective, **options)


def values(net: keras.Model) -> list[np.ndarray]:
    return [weight.numpy() for weight in net.weights]


def equal(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.fixture(scope="module")
def trained() -> tuple[GAN, keras.callbacks.History]:
    model = model_of()
    model.compile(jit_compile=False)  # in a graph; test_gan_theory.py trains with XLA
    return model, model.fit(X, batch_size=16, epochs=2, verbose=0, validation_data=X[:8])


# -- training ------------------------------------------------------------------------------------


def test_fit_reports_the_losses_of_both_nets(trained) -> None:
    history = trained[1].history
    for name in ("discriminator_loss", "generator_loss", "value"):
        assert len(history[name]) == len(history[f"val_{name}"]) == 2
    # of cross entropies the discriminator's loss is minus the value
    np.testing.assert_allclose(history["value"], -np.array(history["discriminator_loss"]))


def test_one_step_is_one_of_each_optimizer_with_its_own_variables() -> None:
    # With SGD of rate 0 for one net, that net stays and the other moves.
    for rates, moved in (((0.0, 0.1), (False, True)), ((0.1, 0.0), (True, False))):
        model = model_of()
        model.compile(*(keras.optimizers.SGD(rate) for rate in rates), run_eagerly=True)
        before = values(model.generator), values(model.discriminator)
        model.train_on_batch(X[:8])
        after = values(model.generator), values(model.discriminator)
        assert tuple(not equal(b, a) for b, a in zip(before, after, strict=True)) == moved


def test_the_step_is_the_gradient_of_the_losses_worked_out_apart() -> None:
    # D(x) = w x, G(z) = a z + b with the uniform noise frozen at its centre 0: G = b.
    x = np.array([[1.0], [3.0]], "float32")
    generator = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    discriminator = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    generator.set_weights([np.array([[2.0]]), np.array([0.5])])
    discriminator.set_weights([np.array([[0.2]])])
    with tfbdl.testing.frozen_noise():
        model = GAN(generator, discriminator, 1, latent_prior="uniform", seed=0)
        model.compile(keras.optimizers.SGD(1.0), keras.optimizers.SGD(1.0), run_eagerly=True)
        model.train_on_batch(x)

    def sigmoid(value):
        return 1 / (1 + np.exp(-value))

    # d/dw of mean softplus(-w x) + softplus(w b), then of softplus(-w b) by b with the new w
    w = 0.2 + np.mean(sigmoid(-0.2 * x) * x) - 0.5 * sigmoid(0.2 * 0.5)
    b = 0.5 + w * sigmoid(-w * 0.5)
    np.testing.assert_allclose(discriminator.get_weights()[0], [[w]], rtol=1e-5)
    np.testing.assert_allclose(generator.get_weights()[0], [[2.0]])
    np.testing.assert_allclose(generator.get_weights()[1], [b], rtol=1e-5)


def test_a_generator_that_is_not_trainable_stays_as_it_is() -> None:
    model = model_of()
    model.generator.trainable = False
    model.compile(run_eagerly=True)
    before = values(model.generator), values(model.discriminator)
    history = model.fit(X, batch_size=16, verbose=0).history
    assert equal(before[0], values(model.generator))
    assert not equal(before[1], values(model.discriminator))
    assert np.isfinite(history["generator_loss"]).all()


def test_clipping_keeps_the_weights_of_a_critic_within_bounds() -> None:
    model = model_of("wasserstein", clip=0.05, discriminator_steps=2)
    model.compile(run_eagerly=True)
    model.fit(X, batch_size=16, verbose=0)
    assert max(np.abs(weight).max() for weight in values(model.discriminator)) <= 0.05
    assert max(np.abs(weight).max() for weight in values(model.generator)) > 0.05


def test_steps_of_the_discriminator_divide_the_batch() -> None:
    model = model_of("wasserstein_gp", discriminator_steps=3)
    model.compile(run_eagerly=True)
    model.fit(X[:32], batch_size=16, epochs=2, verbose=0)  # 2 steps an epoch
    assert int(model.optimizer.generator.iterations) == 4
    assert int(model.optimizer.discriminator.iterations) == 12
    history = model.fit(X[:2], verbose=0).history  # more steps than rows
    assert np.isfinite(history["loss"]).all()
    assert int(model.optimizer.discriminator.iterations) == 15


def test_the_same_seed_gives_the_same_bits_and_another_does_not() -> None:
    found = []
    for seed in (5, 5, 6):
        model = model_of(seed=seed)
        model.compile(run_eagerly=True)
        model.fit(X, batch_size=16, verbose=0)
        found.append(values(model))
    assert equal(found[0], found[1])
    assert not equal(found[0], found[2])


def test_a_learned_prior_of_z_is_trained_with_the_generator() -> None:
    model = model_of(latent_prior="gaussian_mixture", latent_options={"components": 2})
    before = [weight.numpy() for weight in model.latent_prior.trainable_variables]
    model.compile(run_eagerly=True)
    model.fit(X, batch_size=16, verbose=0)
    after = [weight.numpy() for weight in model.latent_prior.trainable_variables]
    assert before
    assert all(not np.array_equal(b, a) for b, a in zip(before, after, strict=True))


# -- optimizers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("objective", "kind", "rate"),
    [
        ("non_saturating", keras.optimizers.Adam, 2e-4),
        ("wasserstein", keras.optimizers.RMSprop, 5e-5),
        ("wasserstein_gp", keras.optimizers.Adam, 1e-4),
    ],
)
def test_compile_alone_takes_the_optimizers_of_the_papers(objective, kind, rate) -> None:
    model = model_of(objective)
    model.compile()
    pair = model.optimizer
    assert isinstance(pair, TwoPlayers)
    for player in (pair.generator, pair.discriminator):
        assert isinstance(player, kind)
        assert float(player.learning_rate) == pytest.approx(rate)
    assert pair.generator is not pair.discriminator


def test_one_optimizer_for_both_is_copied_and_each_may_have_a_rate() -> None:
    model = model_of(learning_rates=(None, 0.25))
    schedule = keras.optimizers.schedules.CosineDecay(0.5, 100)
    model.compile(optimizer=keras.optimizers.SGD(schedule, momentum=0.9))
    pair = model.optimizer
    assert float(pair.generator.learning_rate) == pytest.approx(0.5)
    assert float(pair.discriminator.learning_rate) == pytest.approx(0.25)
    assert pair.discriminator.momentum == pair.generator.momentum == 0.9


def test_gradients_of_both_nets_at_once_are_refused() -> None:
    model = model_of()
    model.compile()
    with pytest.raises(OptionsError, match=r"\.generator or \.discriminator"):
        model.optimizer.apply([], [])


# -- files ---------------------------------------------------------------------------------------


def test_a_keras_file_holds_nets_optimizers_and_noise(trained, tmp_path) -> None:
    model = trained[0]
    model.save(tmp_path / "gan.keras")
    copy = tfbdl.load(tmp_path / "gan.keras")
    for one, other in zip(
        [*model.variables, *model.optimizer.variables],
        [*copy.variables, *copy.optimizer.variables],
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(model.sample(5, seed=1), copy.sample(5, seed=1))


@pytest.mark.slow
def test_a_loaded_model_goes_on_as_the_one_that_was_stored(tmp_path) -> None:
    model = model_of()
    model.compile()
    model.fit(X, batch_size=16, verbose=0)
    model.save(tmp_path / "gan.keras")
    copy = tfbdl.load(tmp_path / "gan.keras")
    for one in (model, copy):
        one.fit(X, batch_size=16, epochs=2, initial_epoch=1, verbose=0)
    assert equal(values(model), values(copy))


@pytest.mark.slow
def test_a_run_that_was_stopped_resumes_to_the_same_bits(tmp_path) -> None:
    def stop(metrics) -> bool:
        if metrics["step"] >= 4:
            raise KeyboardInterrupt
        return True

    arguments = {
        "model_options": {"hidden": (8,), "latent_dim": 3},
        "engine_options": {"epochs": 4, "batch_size": 16, "checkpoint_seconds": 0.0},
        "seed": 3,
    }
    whole = tfbdl.fit("gan", X, **arguments, out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        tfbdl.fit("gan", X, **arguments, out=tmp_path / "run", on_step=stop)
    resumed = tfbdl.resume(tmp_path / "run", data=X)
    assert whole.model.optimizer.generator.beta_1 == 0.5  # what the model asks an engine for
    assert equal(values(whole.model), values(resumed.model))
    assert whole.history == resumed.history


def test_a_clone_keeps_weights_or_begins_anew(trained) -> None:
    model = trained[0]
    assert equal(values(model), values(model.clone()))
    fresh = model.clone(seed=4)
    assert not equal(values(model.generator), values(fresh.generator))
    assert int(fresh.rng_seed.numpy()) == 4


# -- answers -------------------------------------------------------------------------------------


def test_sample_obeys_its_seed_and_its_number(trained) -> None:
    model = trained[0]
    first = model.sample(1500, seed=2)
    assert first.shape == (1500, 2)
    np.testing.assert_array_equal(first, model.sample(1500, seed=2))
    assert not np.array_equal(first, model.sample(1500, seed=3))


def test_probability_is_the_sigmoid_of_the_logits(trained) -> None:
    model = trained[0]
    net = model.discriminator(X)[:, 0].numpy()
    np.testing.assert_allclose(model.logits(X), net, atol=1e-6)
    np.testing.assert_allclose(model.probability(X), 1 / (1 + np.exp(-net)), atol=1e-6)


def test_a_critic_gives_no_probability() -> None:
    with pytest.raises(ModelError, match="gives no probability"):
        model_of("wasserstein").probability(X)


# -- refusals ------------------------------------------------------------------------------------


def test_data_that_cannot_be_learned_from_are_refused(trained) -> None:
    model = trained[0]
    bad = X.copy()
    bad[3, 1] = np.nan
    for x, text in (
        (bad, "NaN"),
        (X[:, :1], r"Expected x of shape \[n, 2\]"),
        (X[:0], "row"),
        ({"a": X}, "one array"),
    ):
        with pytest.raises(DataError, match=text):
            model.fit(x, verbose=0)
    with pytest.raises(DataError, match="sample_weight"):
        model.fit(X, sample_weight=np.ones(48), verbose=0)


def test_values_that_the_generator_cannot_give_are_refused() -> None:
    model = model_of(output="tanh")
    model.compile()
    with pytest.raises(DataError, match=r"ends in tanh and gives values from -1 to 1.*0 to 255"):
        model.fit(np.array([[0.0, 255.0]]), verbose=0)
    with pytest.warns(TfbdlWarning, match="no value of x is below 0"):
        model.check_rows(np.array([[0.0, 1.0]]))
    model.check_rows(np.array([[-1.0, 1.0]]))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: model_of("hinge"), "objective"),
        (lambda: model_of(latent_prior="standard_norml"), "Did you mean 'standard_normal'"),
        (lambda: model_of("wasserstein", label_smoothing=0.1), "cross entropies"),
        (lambda: model_of(label_smoothing=1.0), "below 1"),
        (lambda: model_of(discriminator_steps=0), "discriminator_steps"),
        (lambda: model_of(clip=0.0), "clip must be above 0"),
        (
            lambda: GAN(builders.mlp_generator(4, (2,)), builders.mlp_discriminator((2,)), 3),
            r"must take z \[n, 3\]",
        ),
        (
            lambda: GAN(builders.mlp_generator(3, (3,)), builders.mlp_discriminator((2,)), 3),
            "rows of the shape that the generator gives",
        ),
        (
            lambda: GAN(builders.mlp_generator(3, (2,)), builders.mlp_generator(2, (2,)), 3),
            "one logit for each row",
        ),
    ],
)
def test_nets_and_options_that_do_not_go_together_are_refused(make, text) -> None:
    with pytest.raises(TfbdlError, match=text):
        make()


def test_a_loss_is_refused() -> None:
    with pytest.raises(OptionsError, match="losses of its two nets"):
        model_of().compile(loss="mse")


# -- nets by name --------------------------------------------------------------------------------


def test_images_get_dcgan_nets() -> None:
    images = np.random.default_rng(1).uniform(size=(4, 10, 6, 1)).astype("float32")
    options = {"latent_dim": 5, "filters": (4, 8)}
    model = tfbdl.build("gan", images, model_options=options)
    kinds = [type(layer).__name__ for layer in model.generator.layers]
    assert "Conv2DTranspose" in kinds
    assert "BatchNormalization" in kinds
    assert not any("Pooling" in type(layer).__name__ for layer in model.discriminator.layers)
    fake = model.sample(3)
    assert fake.shape == (3, 10, 6, 1)
    assert 0.0 <= fake.min() <= fake.max() <= 1.0
    model.compile(run_eagerly=True)
    assert np.isfinite(model.fit(images, verbose=0).history["loss"]).all()
    critic = tfbdl.build(
        "gan", images, model_options={**options, "objective": "wasserstein_gp"}
    ).discriminator
    assert "BatchNormalization" not in [type(layer).__name__ for layer in critic.layers]


def test_tables_are_generated_in_the_units_of_their_columns() -> None:
    x = np.random.default_rng(2).normal(size=(500, 2)) * [1.0, 1000.0] + [5.0, -300.0]
    model = tfbdl.build("gan", x.astype("float32"), model_options={"hidden": (8,)})
    net = keras.Model(model.generator.input, model.generator.layers[-2].output)
    z = tf.ones([1, 100])
    np.testing.assert_allclose(
        model.generator(z), net(z) * x.std(axis=0) + x.mean(axis=0), rtol=1e-3
    )


def test_convolutions_of_tables_are_refused() -> None:
    with pytest.raises(OptionsError, match="Convolutions take images"):
        tfbdl.build("gan", X, model_options={"architecture": "conv"})
