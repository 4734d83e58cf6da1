"""DC-IGN: its batches, what is clamped forward and backward, and what it learns."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit
from tfbdl_vae import DCIGN, VAE
from tfbdl_vae.dc_ign import distance, group_means
from tfbdl_vae.factor_batches import FactorBatches
from vae_by_name import eagerly

import tfbdl
from tfbdl import functional, testing
from tfbdl.errors import CapabilityError, DataError, OptionsError
from tfbdl.testing.data import classification_data, regression_data
from tfbdl.trainable import THREAD

RNG = np.random.default_rng


def squares(size=6):
    """A bright square of 2 x 2 pixels at each place of an image; its place as two factors."""
    factors = np.stack(np.unravel_index(np.arange((size - 1) ** 2), (size - 1,) * 2)).T
    images = np.zeros((len(factors), size, size), "float32")
    for image, (i, j) in zip(images, factors, strict=True):
        image[i : i + 2, j : j + 2] = 1.0
    return images.reshape(len(factors), -1), factors


def nets(width, latent_dim, hidden=32, seed=0):
    dense = keras.layers.Dense
    with functional.seeded(seed):
        encoder = keras.Sequential(
            [keras.Input((width,)), dense(hidden, "relu"), dense(2 * latent_dim)]
        )
        decoder = keras.Sequential(
            [keras.Input((latent_dim,)), dense(hidden, "tanh"), dense(width)]
        )
    return encoder, decoder


def small(latent_dim=3, num_factors=2, eager=True, **options):
    """A model whose few steps cost less than tracing them would."""
    model = DCIGN(*nets(36, latent_dim), latent_dim, num_factors=num_factors, seed=1, **options)
    model.compile(keras.optimizers.SGD(0.01), run_eagerly=eager)
    return model


# -- batches -------------------------------------------------------------------------------------

FACTORS = np.stack(np.unravel_index(np.arange(120), (3, 4, 5, 2))).T  # the last is not told
KNOWN = FACTORS[:, :3]
ROWS = FACTORS.astype("float32")


def test_a_batch_holds_groups_in_which_one_factor_alone_varies():
    batches = FactorBatches(ROWS, KNOWN, 1.0)
    seen = set()
    for step in range(60):
        rows, labels = batches.plan(0, 0, step, 16)
        (kind,) = set(labels[:, 0])
        seen.add(kind)
        assert len(rows) == len(set(rows)) == 16
        for group in set(labels[:, 1]):
            own = FACTORS[rows[labels[:, 1] == group]]
            others = own[:, [k for k in range(3) if k != kind]]
            assert (others == others[0]).all()
    assert seen == {0, 1, 2, 3}


def test_small_groups_fill_a_batch_whole_and_a_large_one_gives_a_part():
    lengths = {0: 6, 1: 8, 2: 10, 3: 2}  # twice the values of the factor, for the untold one
    batches = FactorBatches(ROWS, KNOWN, 1.0)
    for step in range(40):
        _, labels = batches.plan(0, 0, step, 24)
        counts = np.bincount(labels[:, 1])
        assert (counts[:-1] == lengths[labels[0, 0]]).all()
        assert counts.sum() == 24
    large = FactorBatches(ROWS, KNOWN[:, :1], 0.0)
    rows, labels = large.plan(0, 0, 0, 24)
    assert len(set(rows)) == 24
    assert (labels == 0).all()


def test_types_come_in_their_ratio():
    batches = FactorBatches(ROWS, KNOWN, 10.0)
    types = [batches.plan(0, 0, step, 4)[1][0, 0] for step in range(4000)]
    share = np.bincount(types) / 4000
    # 1 : 1 : 1 : 10, within four standard deviations
    np.testing.assert_allclose(share, np.array([1, 1, 1, 10]) / 13, atol=4 * 0.5 / np.sqrt(4000))


def test_rows_are_drawn_alike():
    batches = FactorBatches(ROWS, KNOWN, 0.0)
    drawn = np.concatenate([batches.plan(0, 0, step, 30)[0] for step in range(400)])
    counts = np.bincount(drawn, minlength=120)
    assert counts.min() > 50  # of 100 each
    assert counts.max() < 150


def test_a_batch_is_a_function_of_seed_epoch_and_step():
    batches = FactorBatches(ROWS, KNOWN, 1.0)
    first = batches.plan(1, 2, 3, 16)
    again = FactorBatches(ROWS, KNOWN, 1.0).plan(1, 2, 3, 16)
    np.testing.assert_array_equal(first[0], again[0])
    for other in ((2, 2, 3), (1, 3, 3), (1, 2, 4)):
        assert not np.array_equal(first[0], batches.plan(*other, 16)[0])


def test_the_stream_of_batches_can_be_entered_anywhere():
    batches = FactorBatches(ROWS, KNOWN, 1.0)
    whole = list(batches.batches(32, seed=5).take(9).as_numpy_iterator())  # four steps an epoch
    part = list(batches.batches(32, seed=5, start_epoch=1, skip=2).take(3).as_numpy_iterator())
    for ((x, labels),), ((other, others),) in zip(whole[6:], part, strict=True):
        np.testing.assert_array_equal(x, other)
        np.testing.assert_array_equal(labels, others)
    rows, labels = batches.plan(5, 1, 2, 32)
    np.testing.assert_array_equal(part[0][0][0], ROWS[rows])
    np.testing.assert_array_equal(part[0][0][1], labels)
    assert len(list(batches.batches(32, seed=5, repeat=False))) == 4


def test_the_intrinsic_type_is_left_out_where_nothing_differs_further():
    def types(x, factors, ratio=10.0):
        return [kind.factor for kind in FactorBatches(x, factors, ratio).types]

    assert types(ROWS, KNOWN) == [0, 1, 2, 3]
    assert types(ROWS, KNOWN, ratio=0.0) == [0, 1, 2]
    assert types(ROWS, FACTORS) == [0, 1, 2, 3]  # each row has factors of its own
    twice = np.concatenate([ROWS, ROWS])
    assert types(twice, np.concatenate([FACTORS, FACTORS])) == [0, 1, 2, 3]
    twice[0] += 1.0  # one row differs from its like
    (*_, last) = FactorBatches(twice, np.concatenate([FACTORS, FACTORS]), 10.0).types
    assert last.factor == 4
    assert set(last.rows) == {0, 120}


def test_a_factor_that_never_varies_alone_has_no_type():
    factors = np.array([[0, 0], [0, 1], [0, 2], [1, 3]])
    assert [kind.factor for kind in FactorBatches(ROWS[:4], factors, 0.0).types] == [1]
    with pytest.raises(DataError, match="No two rows agree in all factors but one"):
        FactorBatches(ROWS[:4], np.array([[0, 0], [1, 1], [2, 2], [3, 3]]), 1.0)


# -- what is clamped -----------------------------------------------------------------------------


def test_values_are_drawn_to_the_means_of_their_groups_unless_trained():
    values = RNG(0).normal(size=(6, 3))
    groups = np.array([0, 0, 0, 1, 1, 0])
    trained = np.zeros((6, 3), bool)
    trained[:, 1] = True
    mean = np.stack([values[groups == g].mean(axis=0) for g in (0, 1)])[groups]
    given = tf.constant(values)
    with tf.GradientTape() as tape:
        tape.watch(given)
        found = group_means(given, tf.constant(groups))
        far = distance(given, found, tf.constant(trained))
    np.testing.assert_allclose(found, mean, rtol=1e-12)
    expected = np.where(trained, 0.0, (values - mean) / 6)
    np.testing.assert_allclose(tape.gradient(far, given), expected, atol=1e-14)


@pytest.mark.parametrize("loss_scale", [1.0, 32768.0])  # as mixed_float16 scales it
def test_a_step_moves_the_encoder_by_the_clamped_gradient_and_the_trained_one(loss_scale):
    """A linear encoder: its kernel's gradient is ``x' g`` with g the gradient at its outputs."""
    width, latent_dim, kind = 5, 2, 1
    encoder = keras.Sequential([keras.Input((width,)), keras.layers.Dense(2 * latent_dim)])
    decoder = keras.Sequential([keras.Input((latent_dim,)), keras.layers.Dense(width)])
    model = DCIGN(encoder, decoder, latent_dim, num_factors=2, invariance_strength=0.5, seed=0)
    x = RNG(0).integers(0, 2, (8, width)).astype("float32")
    groups = np.repeat([0, 1], 4)
    labels = np.stack([np.full(8, kind), groups], axis=1).astype("int32")
    with tf.GradientTape() as tape:
        model((tf.constant(x), tf.constant(labels)), training=True)
        loss = model.compute_loss() * loss_scale
        parameters, z = THREAD.passed.parameters, THREAD.passed.z[0].numpy()
    kernel = tape.gradient(loss, encoder.weights[0]).numpy() / loss_scale
    outputs = x @ encoder.weights[0].numpy() + encoder.weights[1].numpy()
    mean = np.stack([outputs[groups == g].mean(axis=0) for g in (0, 1)])[groups]
    np.testing.assert_allclose(parameters.loc[:, 0], mean[:, 0], rtol=1e-5)
    np.testing.assert_allclose(parameters.loc[:, kind], outputs[:, kind], rtol=1e-5)
    at_outputs = 0.5 * (outputs - mean) / 8
    # Of the trained latent by hand: -log p(x | z) + (loc² + scale²) / 2 - log scale, a mean over
    # rows, at z = loc + scale * noise.
    loc, raw = outputs[:, kind], outputs[:, latent_dim + kind]
    scale = np.log1p(np.exp(raw))
    noise = (z[:, kind] - loc) / scale
    logits = z @ decoder.weights[0].numpy() + decoder.weights[1].numpy()
    by_z = ((expit(logits) - x) @ decoder.weights[0].numpy().T)[:, kind]
    at_outputs[:, kind] = (by_z + loc) / 8
    at_outputs[:, latent_dim + kind] = (by_z * noise + scale - 1 / scale) / 8 * expit(raw)
    np.testing.assert_allclose(kernel, x.T @ at_outputs, rtol=1e-4, atol=1e-6)


def test_the_latents_beyond_the_factors_are_trained_together_by_intrinsic_batches():
    model = small(latent_dim=5, num_factors=2)
    x, _ = squares()
    labels = np.stack([np.full(len(x), 2), np.zeros(len(x))], axis=1).astype("int32")
    model((tf.constant(x), tf.constant(labels)), training=True)
    spread = np.ptp(THREAD.passed.parameters.loc, axis=0)
    assert (spread[:2] == 0.0).all()
    assert (spread[2:] > 0.0).all()


def test_nothing_is_clamped_outside_training():
    model = small()
    x, factors = squares()
    plain = VAE(model.encoder, model.decoder, 3, seed=1)
    with eagerly():
        np.testing.assert_array_equal(model.codes(x), plain.codes(x))
        model.fit(x, factors, batch_size=25, verbose=0)
        np.testing.assert_array_equal(model.codes(x), plain.codes(x))
        np.testing.assert_array_equal(model.elbo(x[:4], draws=3), plain.elbo(x[:4], draws=3))


def test_without_factors_it_is_a_vae():
    x, _ = squares()
    one, other = (
        kind(*nets(36, 3), 3, seed=1, **more)
        for kind, more in ((VAE, {}), (DCIGN, {"num_factors": 0}))
    )
    for model in (one, other):
        model.compile("adam", run_eagerly=True)
        model.fit(x, batch_size=13, verbose=0)
    for mine, theirs in zip(one.weights, other.weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)


# -- training ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_latents_learn_the_factors_that_they_are_trained_on():
    x, factors = squares()
    model = DCIGN(*nets(36, 3, hidden=64), 3, num_factors=2, seed=0)
    model.compile(keras.optimizers.Adam(1e-2), steps_per_execution=50)
    model.fit(x, factors, batch_size=25, epochs=1, steps_per_epoch=400, verbose=0)
    codes = model.codes(x)
    told = np.abs(np.corrcoef(np.concatenate([codes[:, :2], factors], axis=1).T)[:2, 2:])
    assert told[0, 0] > 0.9
    assert told[1, 1] > 0.9
    assert max(told[0, 1], told[1, 0]) < 0.2
    assert codes[:, 2].std() < 0.1 * codes[:, :2].std()  # nothing intrinsic is left to tell


@pytest.mark.parametrize("data", [regression_data(), classification_data()])
def test_a_step_on_a_single_factor_changes_every_weight(data):
    options = {"likelihood": "gaussian", "latent_dim": 3, "hidden": (8,)}
    model = tfbdl.build("dc_ign", data, model_options=options, seed=0)
    assert model.num_factors == 1
    before = [variable.numpy() for variable in model.trainable_variables]
    model.compile("sgd", run_eagerly=True)
    history = model.fit(data, batch_size=24, verbose=0).history
    assert np.isfinite(history["loss"][0])
    for old, new in zip(before, model.trainable_variables, strict=True):
        assert (old != new.numpy()).any()


@pytest.mark.slow
def test_training_goes_on_where_it_was_stopped():
    x, factors = squares()
    whole, parted = small(), small()
    whole.fit(x, factors, batch_size=13, epochs=2, verbose=0)
    parted.fit(x, factors, batch_size=13, epochs=1, verbose=0)
    parted.fit(x, factors, batch_size=13, epochs=2, initial_epoch=1, verbose=0)
    for mine, theirs in zip(whole.weights, parted.weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_model_is_the_same_from_a_file(tmp_path):
    x, factors = squares()
    model = small(invariance_strength=0.5, intrinsic_ratio=3.0)
    model.fit(x, factors, batch_size=25, verbose=0)
    model.save(tmp_path / "model.keras")
    copy = tfbdl.load(tmp_path / "model.keras")
    assert isinstance(copy, DCIGN)
    assert (copy.num_factors, copy.invariance_strength, copy.intrinsic_ratio) == (2, 0.5, 3.0)
    for each in (model, copy):
        each.fit(x, factors, batch_size=25, verbose=0)
    with eagerly():
        np.testing.assert_array_equal(model.codes(x), copy.codes(x))


def test_validation_and_evaluation_need_no_factors():
    x, factors = squares()
    model = small()
    history = model.fit(x, factors, batch_size=25, validation_data=x, verbose=0).history
    assert np.isfinite(history["val_elbo"][0])
    split = model.fit(x, factors, batch_size=25, validation_split=0.4, verbose=0).history
    assert np.isfinite(split["val_elbo"][0])
    assert np.isfinite(model.evaluate(x, verbose=0, return_dict=True)["elbo"])


@pytest.mark.slow
@pytest.mark.replicas
def test_a_step_on_two_replicas_is_that_on_one():
    if not testing.two_logical_cpus():
        pytest.skip("TensorFlow cannot make two logical CPUs here.")
    x, factors = squares()
    strategies = (
        tf.distribute.get_strategy(),
        tf.distribute.MirroredStrategy(
            ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
        ),
    )
    found = []
    for strategy in strategies:
        with testing.frozen_noise(), strategy.scope():
            model = small(eager=False)
            model.fit(x, factors, batch_size=24, steps_per_epoch=2, verbose=0)
        found.append([tf.convert_to_tensor(w).numpy() for w in model.trainable_variables])
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


# -- bad input -----------------------------------------------------------------------------------


def test_missing_or_unfit_factors_are_refused():
    x, factors = squares()
    with pytest.raises(DataError, match=r"factors of each row as y \[n, 2\]. Received: no y"):
        small().fit(x, verbose=0)
    with pytest.raises(DataError, match=r"Received: y of shape \[25, 1\]"):
        small().fit(x, factors[:, :1], verbose=0)


def test_a_batch_without_labels_is_refused_and_one_with_them_is_a_step():
    x, factors = squares()
    model = small()
    for arguments in ((x, factors), (x,)):
        with pytest.raises(DataError, match=r"Expected: train_on_batch\(\(x, labels\)\)"):
            model.train_on_batch(*arguments)
    rows, labels = FactorBatches(x, factors, 0.0).plan(0, 0, 0, 10)
    before = model.encoder.weights[0].numpy()
    model.train_on_batch((tf.constant(x[rows]), tf.constant(labels)))
    assert not np.array_equal(before, model.encoder.weights[0].numpy())


def test_its_weights_do_not_train_by_turns():
    with pytest.raises(CapabilityError, match="'em' cannot fit"):
        tfbdl.fit(small(), squares(), engine="em", engine_options={"steps": 1})


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"num_factors": 4}, "Expected num_factors from 0 to latent_dim=3. Received: 4"),
        ({"num_factors": 2.5}, "num_factors must be an integer of at least 0. Received: 2.5"),
        ({"num_factors": "a"}, "num_factors must be an integer of at least 0. Received: 'a'"),
        ({"invariance_strength": -1.0}, "invariance_strength must be a finite number of at least"),
        ({"intrinsic_ratio": np.nan}, "intrinsic_ratio must be a finite number of at least 0"),
        ({"posterior": "full"}, "Expected posterior='diagonal'. Received: 'full'"),
    ],
)
def test_options_out_of_range_are_refused(options, match):
    with pytest.raises(OptionsError, match=match):
        small(**options)
