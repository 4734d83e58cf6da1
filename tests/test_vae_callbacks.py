"""Schedules of the objective's weights: the weight of each step, read off the loss.

Without noise and with a learning rate of zero the reconstruction R and the KL K never change, so
that the loss of step t is ``w_t K - R``.
"""

import keras
import numpy as np
import pytest
from tfbdl_vae import AutoEncoder, BetaSchedule, CapacitySchedule, FreeBits, KLAnnealing, Ramp
from vae_cases import binary, by_hand, dense, vae

import tfbdl
from tfbdl import errors
from tfbdl.inference.elbo import KLSchedule
from tfbdl.testing import frozen_noise

ROW = binary(1)


def still(model, eager=True, **options):
    """Compiled so that nothing moves."""
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=eager, **options)
    return model


def losses(model, steps, *callbacks, initial_epoch=0):
    """The loss of each step, on one row alone."""
    with frozen_noise():
        history = model.fit(
            ROW,
            epochs=initial_epoch + steps,
            initial_epoch=initial_epoch,
            verbose=0,
            callbacks=list(callbacks),
        )
    return np.array(history.history["loss"])


@pytest.fixture(scope="module")
def parts():
    found = by_hand(vae(), ROW)
    return found["reconstruction"][0], found["kl_parts"][0]


# -- what each schedule does -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "weights"),
    [
        (lambda: KLAnnealing(3), [0.0, 1 / 3, 2 / 3, 1.0, 1.0]),
        (lambda: KLAnnealing(8, cycles=2), [0.0, 0.5, 1.0, 1.0, 0.0, 0.5, 1.0, 1.0, 1.0, 1.0]),
        (lambda: BetaSchedule(4.0, 1.0, 3), [4.0, 3.0, 2.0, 1.0, 1.0]),
    ],
)
def test_weights_of_the_kl_are_those_of_the_ramp_at_each_step(parts, schedule, weights):
    reconstruction, kl = parts
    found = losses(still(vae()), len(weights), schedule())
    np.testing.assert_allclose(found, np.array(weights) * kl.sum() - reconstruction, rtol=1e-5)


def test_annealing_multiplies_beta(parts):
    reconstruction, kl = parts
    found = losses(still(vae(beta=3.0)), 2, KLAnnealing(2))
    np.testing.assert_allclose(found, 3.0 * np.array([0, 0.5]) * kl.sum() - reconstruction, 1e-5)


def test_capacity_rises_and_gamma_weighs_the_distance(parts):
    reconstruction, kl = parts
    model = still(vae(beta=7.0))
    found = losses(model, 4, CapacitySchedule(end=3.0, steps=2, gamma=10.0))
    distance = np.abs(kl.sum() - np.array([0.0, 1.5, 3.0, 3.0]))
    np.testing.assert_allclose(found, 10.0 * distance - reconstruction, rtol=1e-5)
    own = losses(still(vae(gamma=5.0)), 1, CapacitySchedule(end=3.0, steps=2))
    np.testing.assert_allclose(own, 5.0 * kl.sum() - reconstruction, rtol=1e-5)


def test_free_bits_are_free_of_each_dimension_and_may_fall(parts):
    reconstruction, kl = parts
    nats = float(np.mean(kl))  # between the two
    for schedule, free in ((FreeBits(nats), [1, 1, 1]), (FreeBits(nats, 2), [1, 0.5, 0])):
        found = losses(still(vae()), 3, schedule)
        cost = [np.maximum(kl, nats * share).sum() for share in free]
        np.testing.assert_allclose(found, cost - reconstruction, rtol=1e-5)
    assert kl.min() < nats < kl.max()


# -- how they are counted ----------------------------------------------------------------------


def test_a_second_fit_and_a_stored_model_go_on_where_they_were(parts, tmp_path):
    reconstruction, kl = parts
    schedule = KLAnnealing(5)
    model = still(vae())
    first = losses(model, 2, schedule)
    second = losses(model, 1, schedule)
    model.save(tmp_path / "model.keras")
    loaded = still(tfbdl.load(tmp_path / "model.keras"))
    third = losses(loaded, 1)  # the schedule is part of the model
    fourth = losses(loaded, 1, KLAnnealing(5))
    found = np.concatenate([first, second, third, fourth])
    np.testing.assert_allclose(found, np.arange(5) / 5 * kl.sum() - reconstruction, rtol=1e-5)
    assert int(loaded.rng_step.numpy()) == 5


def test_steps_made_in_one_execution_have_their_own_weights(parts):
    reconstruction, kl = parts
    model = still(vae(), eager=False, steps_per_execution=3)
    x = np.repeat(ROW, 12, axis=0)
    with frozen_noise():
        history = model.fit(x, batch_size=2, verbose=0, callbacks=[KLAnnealing(6)])
    assert model.steps_per_execution == 3
    expected = np.mean(np.arange(6) / 6) * kl.sum() - reconstruction  # a mean over the epoch
    assert history.history["loss"][0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_validation_has_the_weight_of_the_moment(parts):
    reconstruction, kl = parts
    model = still(vae(), eager=False)
    callbacks = [KLAnnealing(2)]
    with frozen_noise():
        model.evaluate(ROW, verbose=0)  # traced with the weight 1
        history = model.fit(
            ROW, epochs=2, verbose=0, validation_data=ROW, callbacks=callbacks, shuffle=False
        )
    expected = np.array([0.5, 1.0]) * kl.sum() - reconstruction  # after the step
    np.testing.assert_allclose(history.history["val_loss"], expected, rtol=1e-5)


@pytest.mark.slow
def test_the_engine_anneals_over_epochs(parts):
    reconstruction, kl = parts
    options = {"learning_rate": 1e-12, "initial": "current", "epochs": 4, "kl_annealing": 2}
    with frozen_noise():
        fit = tfbdl.fit(vae(), ROW, engine_options={**options, "optimizer": "adam"})
    expected = np.array([0.5, 1.0, 1.0, 1.0]) * kl.sum() - reconstruction
    np.testing.assert_allclose(fit.history["loss"], expected, rtol=1e-5)


# -- refusals ----------------------------------------------------------------------------------


def test_ramps_refuse_numbers_out_of_range():
    with pytest.raises(
        errors.OptionsError, match=r"steps must be an integer of at least 1. Received: 0"
    ):
        KLAnnealing(0)
    with pytest.raises(errors.OptionsError, match=r"start must be .* of at least 0. Received: -1"):
        Ramp(-1.0, 1.0, 5)
    with pytest.raises(errors.OptionsError, match=r"nats must be .* Received: inf"):
        FreeBits(np.inf)
    with pytest.raises(errors.OptionsError, match=r"gamma must be .* Received: 'a'"):
        CapacitySchedule(1.0, 5, gamma="a")
    with pytest.raises(errors.OptionsError, match=r"or a function of the training step"):
        vae(beta=-1.0)
    for gamma in (-1, "x", "3", True):
        with pytest.raises(errors.OptionsError, match=rf"gamma must be .* Received: {gamma!r}"):
            vae(gamma=gamma)
    with pytest.raises(errors.OptionsError, match=r"steps must be an integer.*Received: 2.5"):
        BetaSchedule(1.0, 2.0, 2.5)


def test_a_schedule_that_contradicts_the_model_is_refused_and_leaves_it_alone():
    model = still(vae(importance_weighted=True, num_samples=2))
    with pytest.raises(errors.OptionsError, match=r"no capacity"):
        losses(model, 1, CapacitySchedule(1.0, 5))
    assert model.capacity is None
    autoencoder = still(AutoEncoder(dense(np.eye(2), [0, 0]), dense(np.eye(2), [0, 0]), 2))
    with pytest.raises(errors.ModelError, match=r"weights of a VAE's objective.*AutoEncoder"):
        autoencoder.fit(np.zeros((2, 2), "float32"), verbose=0, callbacks=[KLAnnealing(5)])


def test_a_ramp_that_is_over_before_it_begins_is_warned_of():
    model = still(vae())
    first, second = KLAnnealing(2), KLAnnealing(2)
    for schedule in (first, second):
        schedule.set_model(model)
    first.on_train_begin()
    model.rng_step.assign(4)
    first.on_train_begin()  # of a second fit, in which it goes on
    with pytest.warns(errors.TfbdlWarning, match=r"of its 2 none is left: kl_weight stays at 1.*4"):
        second.on_train_begin()


def test_the_kl_of_rows_is_not_shared_among_batches():
    model = still(vae(kl_weight=KLSchedule(1.0, minibatch_weights="blundell", batches=3)))
    with pytest.raises(errors.OptionsError, match=r"belongs to each row.*'blundell'"):
        losses(model, 1)


def test_schedules_are_part_of_the_configuration_and_lambdas_are_not():
    model = vae(beta=Ramp(0.0, 2.0, 10, cycles=2), capacity=Ramp(0.0, 5.0, 7))
    copy = type(model).from_config(model.get_config())
    assert copy.beta.get_config() == {"start": 0.0, "end": 2.0, "steps": 10, "cycles": 2}
    assert copy.capacity.get_config()["end"] == 5.0
    assert model.clone().beta is model.beta
    by_function = vae(beta=lambda step: 0.5)
    assert by_function.clone(1).beta is by_function.beta
    with pytest.raises(errors.ModelError, match=r"whose beta is a lambda cannot be stored"):
        by_function.get_config()
