"""What a BayesianNetwork makes of its data: tasks, labels, steps of an epoch."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfbdl
from tfbdl import BayesianNetwork, functional
from tfbdl.data import as_dataset
from tfbdl.errors import DataError

X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
ANIMALS = np.array(["cat", "dog", "eel", "dog"] * 10)


def model_of(likelihood, units=1, *, built=True, **options):
    """A linear model with fixed weights, run without a graph."""
    with functional.seeded(3):
        first = [keras.Input((3,))] if built else []
        net = keras.Sequential([*first, keras.layers.Dense(units)])
    model = BayesianNetwork(net, likelihood, **options)
    model.rng_seed.assign(5)
    model.compile(keras.optimizers.SGD(0.01), run_eagerly=True)
    return model


def batches_of(y, *more):
    return tf.data.Dataset.from_tensor_slices((X, y, *more)).batch(8)


# -- numbers and classes


@pytest.mark.parametrize(
    "likelihood",
    ["poisson", *(pytest.param(n, marks=pytest.mark.slow) for n in ("gaussian", "student_t"))],
)
def test_whole_numbers_are_numbers_to_a_likelihood_of_numbers(likelihood):
    model = model_of(likelihood)
    counts = np.arange(40) % 8
    model.fit(X, counts, validation_data=(X, counts + 2), batch_size=40, verbose=0)
    same = model.evaluate(X, counts + 2.0, verbose=0, return_dict=True)["nll"]
    assert model.evaluate(X, counts + 2, verbose=0, return_dict=True)["nll"] == same
    fit = tfbdl.fit(model, (X, counts), engine_options={"epochs": 1})
    assert fit.evaluate((X, counts + 2))["rmse"] > 0


def test_negative_whole_numbers_are_numbers_to_a_gaussian():
    model = model_of("gaussian")
    history = model.fit(X, np.arange(40) % 6 - 3, batch_size=40, verbose=0).history
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize(("likelihood", "units"), [("categorical", 3), ("bernoulli", 1)])
def test_whole_floats_are_labels_to_a_likelihood_of_classes(likelihood, units):
    model = model_of(likelihood, units)
    labels = np.arange(40) % max(units, 2)
    model.fit(X, labels.astype("float32"), batch_size=40, verbose=0)
    assert model.evaluate(X, labels, verbose=0)[0] > 0


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize(
    ("likelihood", "units"), [("categorical", 10), ("heteroscedastic_categorical", 20)]
)
def test_validation_may_have_any_class_that_the_net_has_units_for(likelihood, units, built):
    model = model_of(likelihood, units, built=built)
    labels = np.arange(40) % 9
    validation = (X[:2], np.array([9, 0]))
    history = model.fit(X, labels, validation_data=validation, batch_size=40, verbose=0).history
    assert np.isfinite(history["val_nll"]).all()
    with pytest.raises(DataError, match=r"at most 9.*10 classes.*Received: 10"):
        model.fit(X, labels, validation_data=(X[:2], np.array([10, 0])), verbose=0)


@pytest.mark.slow
def test_a_run_may_be_scored_on_classes_that_training_lacks():
    model = model_of("categorical", 10)
    fit = tfbdl.fit(model, (X, np.arange(40) % 9), engine_options={"epochs": 1})
    assert fit.evaluate((X[:2], np.array([9, 0])))["nll"] > 0


# -- names of classes


@pytest.fixture(scope="module")
def zoo():
    model = model_of("categorical", 3)
    model.fit(X, ANIMALS, batch_size=40, epochs=5, verbose=0)
    return model


def test_texts_are_coded_as_in_training(zoo, tmp_path):
    chosen = ANIMALS != "cat"
    x, texts = X[chosen], ANIMALS[chosen]
    codes = np.where(texts == "dog", 1, 2)
    expected = zoo.elbo(x, codes, draws=3)
    assert zoo.elbo(x, texts, draws=3) == expected
    assert zoo.elbo(as_dataset((x, texts)), None, draws=3) == expected
    assert zoo.clone().elbo(x, texts, draws=3) == expected
    zoo.save(tmp_path / "zoo.keras")
    assert tfbdl.load(tmp_path / "zoo.keras").elbo(x, texts, draws=3) == expected
    with pytest.raises(DataError, match=r"the class 'dgo'.*Did you mean 'dog'"):
        zoo.evaluate(X[:2], ["dgo", "cat"], verbose=0)


def test_training_goes_on_with_the_codes_of_before(zoo):
    one, two = zoo.clone(), zoo.clone()
    chosen = ANIMALS != "cat"
    for model, y in ((one, ANIMALS[chosen]), (two, np.where(ANIMALS[chosen] == "dog", 1, 2))):
        model.compile(keras.optimizers.SGD(0.01), run_eagerly=True)
        model.fit(X[chosen], y, batch_size=40, verbose=0)
    np.testing.assert_array_equal(one.get_weights()[0], two.get_weights()[0])
    assert one.class_names == ("cat", "dog", "eel")


def test_a_fresh_copy_knows_the_names_that_were_given_alone(zoo):
    assert zoo.clone(seed=1).class_names is None
    named = model_of("categorical", 3, class_names=["eel", "dog", "cat"])
    named.fit(X, ANIMALS, batch_size=40, verbose=0)
    assert named.clone(seed=1).class_names == ("eel", "dog", "cat")


@pytest.mark.slow
def test_a_run_scores_texts_by_the_codes_of_training():
    fit = tfbdl.fit(model_of("categorical", 3), (X, ANIMALS), engine_options={"epochs": 2})
    chosen = ANIMALS != "cat"
    x, texts = X[chosen], ANIMALS[chosen]
    expected = fit.evaluate((x, np.where(texts == "dog", 1, 2)))
    assert fit.evaluate((x, texts)) == expected
    assert fit.evaluate(as_dataset((x, texts))) == expected


# -- streams


@pytest.mark.parametrize(
    ("likelihood", "units", "y", "message"),
    [
        ("poisson", 1, np.arange(40) - 1, "must be counts"),
        ("categorical", 10, np.arange(40) % 11, "at most 9"),
        ("categorical", 10, np.full(40, 0.7), "whole numbers"),
        ("bernoulli", 1, np.arange(40) % 3, "at most 1"),
    ],
)
def test_targets_of_batches_are_checked_as_those_of_arrays(likelihood, units, y, message):
    for data in ((X, y), (batches_of(y), None)):
        with pytest.raises(DataError, match=message):
            model_of(likelihood, units).fit(*data, verbose=0)
    with pytest.raises(DataError, match=message):
        tfbdl.fit(model_of(likelihood, units), batches_of(y), engine_options={"epochs": 1})


def test_batches_made_before_are_checked_too():
    data = as_dataset(batches_of(np.arange(40.0) - 1))
    with pytest.raises(DataError, match="must be counts"):
        model_of("poisson").fit(data, verbose=0)


# -- steps of an epoch


@pytest.mark.parametrize(("asked", "made"), [(4, 2), (5, 5), (99, 10)])
def test_an_epoch_has_its_steps_whatever_those_of_an_execution(asked, made):
    model = model_of("gaussian")
    model.compile(keras.optimizers.SGD(0.01), steps_per_execution=asked, jit_compile=False)
    seen = []
    callback = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(batch)
    )
    model.fit(X, X[:, 0], batch_size=4, epochs=2, callbacks=[callback], verbose=0)
    assert int(model.rng_step) == int(model.optimizer.iterations) == 20
    assert seen == 2 * list(range(made - 1, 10, made))
    assert model.get_compile_config()["steps_per_execution"] == asked


def test_an_evaluation_has_its_steps_whatever_those_of_an_execution():
    model = model_of("gaussian", num_data=40)
    model.compile(keras.optimizers.SGD(0.01), steps_per_execution=2, jit_compile=False)
    endless = batches_of(X[:, 0]).repeat()
    model.evaluate(endless, steps=3, verbose=0)
    assert int(model.evaluation_step.result()) == 3
    options = {"steps_per_epoch": 4, "validation_steps": 5, "epochs": 2}
    model.fit(endless, validation_data=endless, verbose=0, **options)
    assert int(model.evaluation_step.result()) == 5
    assert int(model.rng_step) == 8


@pytest.mark.parametrize("endless", [False, True])
def test_shorter_epochs_go_on_where_they_would_be(endless):
    y = np.arange(40.0)
    data = (batches_of(y).repeat(), None) if endless else (X, y)

    def seen(initial_epoch):
        kept = []
        model = model_of("gaussian", num_data=40)
        step = model.train_step
        model.train_step = lambda batch: (kept.append(batch[1].numpy()), step(batch))[1]
        options = {"batch_size": 8, "steps_per_epoch": 3, "epochs": 4}
        model.fit(*data, initial_epoch=initial_epoch, verbose=0, **options)
        return np.array(kept)

    np.testing.assert_array_equal(seen(2), seen(0)[6:])
