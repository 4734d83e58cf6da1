"""Bayesian recurrent networks: truncated sequences, carried states, and the share of the KL."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from rnn_cases import (
    EXACT,
    UNITS,
    K,
    keras_lm,
    log_probs_by_keras,
    log_softmax,
    model_of,
    net,
    steps_of,
    symbols,
    weights_of,
)
from small_models import Stop, stop_at
from tfbdl_bbb.bayesian_rnn import BayesianRNN
from tfbdl_bbb.truncation import TruncatedSequences

import tfbdl
from tfbdl import errors, functional, random

tfd = tfp.distributions


# -- truncated sequences ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "steps", "length", "streams", "size"),
    [(4, 14, 4, 2, 2), (3, 9, 4, 2, 2), (2, 30, 5, 6, 6), (1, 50, 7, 8, 3), (5, 2, 9, 2, 2)],
)
def test_each_symbol_but_the_first_is_predicted_once_after_the_one_before_it(
    rows, steps, length, streams, size
):
    x = np.arange(rows * steps).reshape(rows, steps)  # each symbol tells its place
    parts = TruncatedSequences.cut(x.astype(np.int32), length, streams)
    batches = list(parts.batches(size, seed=1, shuffle=True, repeat=False))
    assert len(batches) == parts.steps(size)
    pairs = np.concatenate(
        [np.stack([b["symbols"][:, :-1], b["symbols"][:, 1:]], -1).reshape(-1, 2) for b in batches]
    )
    pairs = pairs[pairs[:, 1] >= 0]
    np.testing.assert_array_equal(pairs[:, 1], pairs[:, 0] + 1)
    np.testing.assert_array_equal(np.sort(pairs[:, 1]), np.sort(x[:, 1:].ravel()))
    assert parts.num_predicted == rows * (steps - 1)
    sequences = sum(len(b["symbols"]) for b in batches)
    assert float(batches[0]["weight"][0]) == pytest.approx(sequences / parts.num_predicted)


def test_rows_are_shuffled_by_epoch_and_their_sequences_stay_in_order():
    parts = TruncatedSequences.cut(np.arange(60, dtype=np.int32).reshape(6, 10), 3, 1)
    batches = parts.batches(2, seed=4, shuffle=True).take(2 * parts.steps(2))
    firsts = [(b["symbols"][:, 0].numpy().tolist(), bool(b["fresh"][0])) for b in batches]
    assert [fresh for _, fresh in firsts] == [True, False, False] * 6
    for (one, _), (other, fresh) in itertools.pairwise(firsts):
        assert fresh or np.subtract(other, one).tolist() == [3, 3]
    one, other = (
        np.concatenate([at for at, fresh in part if fresh]) for part in (firsts[:9], firsts[9:])
    )
    assert one.tolist() != other.tolist()
    assert np.sort(one).tolist() == np.sort(other).tolist() == list(range(0, 60, 10))
    late = next(iter(parts.batches(2, seed=4, shuffle=True, start=13)))
    assert late["symbols"][:, 0].numpy().tolist() == firsts[13][0]


# -- Keras' own layers -----------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["lstm", pytest.param("gru", marks=pytest.mark.slow)])
def test_without_spread_it_is_the_keras_layer_over_one_long_unroll(cell):
    model = model_of(net_options={"cell": cell}, **EXACT)
    rows = symbols(rows=2, steps=14)
    expected = keras_lm(model.net, cell)(rows[:, :-1])
    np.testing.assert_allclose(model(rows)[:, :-1], expected, atol=1e-5)
    found, parts = steps_of(model, rows)  # four truncated sequences, states carried
    assert len(found) == parts.per_piece == 4
    carried = np.concatenate([logits for _, logits, _ in found], axis=1)[:, :13]
    np.testing.assert_allclose(carried, expected, atol=1e-5)
    truth = log_probs_by_keras(model.net, rows, cell)
    np.testing.assert_allclose(model.log_probs(rows), truth, atol=1e-5)
    np.testing.assert_allclose(model.log_probs(rows, draws=3), truth, atol=1e-5)
    likelihood = model.log_likelihood(model.surrogate.mean(), rows.astype("float32")[..., None])
    np.testing.assert_allclose(likelihood, truth.sum(axis=1), atol=1e-4)
    assert model.perplexity(rows) == pytest.approx(np.exp(-truth.mean()), rel=1e-5)


def test_without_spread_two_steps_of_sgd_are_those_of_keras_with_states_passed_on():
    model, rows, rate = model_of(kl_weight=0.0, **EXACT), symbols(rows=2, steps=9), 0.5
    plain = model.net.__class__.from_config(model.net.get_config())
    plain.set_weights(model.net.get_weights())
    states = [tf.zeros((2, UNITS))] * 2
    for at in (0, 4):  # by hand: states are passed on, gradients are not
        x, y = tf.constant(rows[:, at : at + 4]), rows[:, at + 1 : at + 5]
        with tf.GradientTape() as tape:
            logits, *after = plain([x, *states])
            loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y, logits, True))
        gradients = tape.gradient(loss, plain.trainable_variables)
        for variable, gradient in zip(plain.trainable_variables, gradients, strict=True):
            variable.assign_sub(rate * tf.convert_to_tensor(gradient))
        states = [tf.stop_gradient(state) for state in after]
    model.compile(keras.optimizers.SGD(rate), jit_compile=False)
    model.fit(rows, epochs=1, verbose=0)
    moved = max(np.abs(v - w).max() for v, w in zip(net().get_weights(), plain.get_weights(),
                                                    strict=True))  # fmt: skip
    assert moved > 0.01
    for mine, theirs in zip(model.net.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)


@pytest.mark.slow
def test_states_of_evaluations_are_apart_and_rows_begin_anew():
    model = model_of(**EXACT)
    first, _ = steps_of(model, symbols(seed=1))
    kept = [v.numpy() for v in model.carried["train"].weights]
    assert np.abs(kept[0]).max() > 0.01
    model.compile()
    model.evaluate(symbols(seed=2), verbose=0)
    for before, variable in zip(kept, model.carried["train"].weights, strict=True):
        np.testing.assert_array_equal(before, variable)
    again, _ = steps_of(model, symbols(seed=1))
    for (_, one, _), (_, other, _) in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


# -- the objective ---------------------------------------------------------------------------


def kl_in_closed_form(model):
    total = 0.0
    for name, mean in model.surrogate.mean().items():
        q = tfd.Normal(tf.cast(mean, "float64"), tf.cast(model.surrogate.stddev()[name], "float64"))
        total += float(tf.reduce_sum(tfd.kl_divergence(q, tfd.Normal(np.float64(0), 1.0))))
    return total


@pytest.mark.parametrize(
    ("rows", "steps", "size"),
    [(4, 13, 2), (5, 12, 2), (3, 15, 2)],  # B C = 6, 9, 8; ends of rows and batches that are short
)
def test_the_kl_of_an_epoch_counts_once(rows, steps, size):
    model, x = model_of(posterior_options={"initial_raw_scale": -3.0}), symbols(rows, steps)
    found, parts = steps_of(model, x, size)
    assert len(found) == -(-rows // size) * -(-(steps - 1) // 4)
    nll = -log_probs_by_keras(model.net, x).sum()
    kl = kl_in_closed_form(model)
    sequences = sum(len(batch["symbols"]) for batch, _, _ in found)
    total = 0.0
    for batch, _, loss in found:  # a step stands for its share of the sequences
        share = len(batch["symbols"]) / sequences
        total += share * parts.num_predicted * loss
    assert total == pytest.approx(nll + kl, rel=1e-5)
    if rows % size == 0:  # B C steps of one size: each has 1 / (B C) of the KL
        steps_nll = [-masked_sum(logits, batch) for batch, logits, _ in found]
        for own, (_, _, loss) in zip(steps_nll, found, strict=True):
            of_step = loss * parts.num_predicted / len(found)
            assert of_step - own == pytest.approx(kl / len(found), rel=1e-4)


def masked_sum(logits, batch):
    targets = batch["symbols"][:, 1:].numpy()
    terms = np.take_along_axis(log_softmax(logits), np.maximum(targets, 0)[..., None], -1)[..., 0]
    return float(terms[targets >= 0].sum())


@pytest.mark.slow
def test_fit_reports_the_bound_of_all_data():
    model, x = model_of(), symbols(5, 12)
    model.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    with random.frozen():
        logs = {name: v[0] for name, v in model.fit(x, verbose=0, batch_size=2).history.items()}
    nll, kl, n = -log_probs_by_keras(model.net, x).sum(), kl_in_closed_form(model), 5 * 11
    assert logs["nll"] == pytest.approx(nll / n, rel=1e-5)
    assert logs["perplexity"] == pytest.approx(np.exp(nll / n), rel=1e-5)
    assert logs["kl"] == pytest.approx(kl, rel=1e-5)
    assert logs["loss"] == pytest.approx((nll + kl) / n, rel=1e-5)
    assert logs["elbo"] == pytest.approx(-(nll + kl), rel=1e-5)
    assert model.num_data == 5
    with random.frozen():
        assert model.elbo(x, draws=2) == pytest.approx(-(nll + kl), rel=1e-5)


def test_one_draw_serves_a_step_and_the_next_step_has_another():
    model = model_of(posterior_options={"initial_raw_scale": 0.0})
    x = np.tile(symbols(1, 5), (2, 1))
    model.symbols_seen.assign(8)
    one, same = model(x, training=True).numpy()
    np.testing.assert_allclose(one, same, atol=1e-6)  # rows share it
    np.testing.assert_array_equal(model(x, training=True)[0], one)
    model.rng_step.assign_add(1)
    assert np.abs(model(x, training=True)[0] - one).max() > 0.1


# -- dropout ---------------------------------------------------------------------------------


def constant_inputs(layer, recurrent):
    """Run a layer of 200 units whose outputs show its mask at each time step: ``[2, T, 200]``."""
    units, big = 200, 30.0
    kernel = np.zeros((units, 4 * units), np.float32)  # gates: input, forget, candidate, output
    kernel[:, 2 * units : 3 * units] = np.eye(units)
    bias = np.repeat(np.float32([big, -big, 0.0, big]), units)  # the candidate alone passes
    zero = np.zeros_like(kernel)
    layer.cell.kernel.assign(zero if recurrent else kernel)
    layer.cell.recurrent_kernel.assign(3.0 * kernel if recurrent else zero)
    layer.cell.bias.assign(bias)
    return np.ones((2, 12, units), np.float32), [np.ones((2, units), np.float32)] * 2


@pytest.mark.parametrize("recurrent", [False, True])
def test_masks_of_dropout_are_the_same_for_all_time_steps(recurrent):
    units = 200
    model = net(units=units, **{"recurrent_dropout" if recurrent else "dropout": 0.5})
    layer = model.get_layer("lstm_0")
    inner = keras.Sequential([keras.Input((None, units)), layer.__class__(
        **{**layer.get_config(), "return_state": False})])  # fmt: skip
    x, _ = constant_inputs(inner.layers[0], recurrent)
    if recurrent:  # a first step from the input, so that there is a state to drop
        inner.layers[0].cell.kernel.assign(constant_inputs_kernel(units))
        x[:, 1:] = 0.0
    found = []
    for _ in range(2):
        outputs, updates = functional.apply(inner, [], x, training=True)
        functional.assign(updates)
        found.append(np.abs(outputs.numpy()) > 1e-3)
    for kept in found:
        first = kept[:, 1]
        np.testing.assert_array_equal(kept[:, 1:], np.repeat(first[:, None], 11, axis=1))
        assert 0.35 < first.mean() < 0.65  # 400 fair coins
        assert (first[0] != first[1]).any()  # rows have masks of their own
    assert (found[0] != found[1]).any()


def constant_inputs_kernel(units):
    kernel = np.zeros((units, 4 * units), np.float32)
    kernel[:, 2 * units : 3 * units] = np.eye(units)
    return kernel


def test_the_mask_before_the_head_is_the_same_for_all_time_steps():
    layer = net(dropout=0.5).get_layer("output_dropout")
    kept = layer(np.ones((2, 9, 200), np.float32), training=True).numpy() > 0
    np.testing.assert_array_equal(kept, np.repeat(kept[:, :1], 9, axis=1))
    assert 0.35 < kept[:, 0].mean() < 0.65


def test_draws_of_a_point_posterior_with_dropout_are_draws_of_masks():
    options = {"net_options": {"dropout": 0.4, "recurrent_dropout": 0.4}, "posterior": "delta"}
    model, x = model_of(**options), symbols()
    truth = log_probs_by_keras(model.net, x)
    np.testing.assert_allclose(model.log_probs(x), truth, atol=1e-5)
    one, again, other = (model.log_probs(x, draws=2, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 1e-3
    assert np.abs(one - truth).max() > 1e-3


# -- runs ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_training_in_the_middle_of_a_row_goes_on_from_a_file(tmp_path):
    x = symbols(4, 30)

    def trained(model, first, last):
        options = {"epochs": last, "initial_epoch": first, "steps_per_epoch": 3, "verbose": 0}
        model.fit(x, **options)
        return model

    def fresh():
        model = model_of(prior="scale_mixture", net_options={"dropout": 0.2})
        model.compile("adam", jit_compile=False)
        return model

    whole = trained(fresh(), 0, 4)
    trained(fresh(), 0, 2).save(tmp_path / "model.keras")
    # a generator's place is no weight: the masks of both begin at the same one
    loaded = tfbdl.load(tmp_path / "model.keras")
    assert np.abs(loaded.carried["train"].weights[0].numpy()).max() > 1e-3
    half = trained(fresh(), 0, 2)
    for source, target in zip(half.variables, loaded.variables, strict=True):
        target.assign(source)
    trained(loaded, 2, 4)
    for one, other in zip(weights_of(whole), weights_of(loaded), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_a_stopped_run_resumes_to_the_same_bits(tmp_path):
    x = symbols(6, 14).astype("float32")[..., np.newaxis]
    options = {"units": 4, "embedding_dim": 2, "length": 5, "streams": 3, "num_symbols": K,
               "dropout": 0.2, "sharpening": True}  # fmt: skip
    engine = {"epochs": 4, "checkpoint_seconds": 0.0, "validation_split": 0.3, "patience": 3}

    def run(name, on_step=None):
        return tfbdl.fit("bayesian_rnn", x, model_options=options, engine_options=engine, seed=5,
                         out=tmp_path / name, on_step=on_step)  # fmt: skip

    whole = run("whole")
    with pytest.raises(Stop):
        run("torn", stop_at(10))
    resumed = tfbdl.resume(tmp_path / "torn", data=x)
    assert resumed.history == whole.history
    for one, other in zip(whole.model.variables, resumed.model.variables, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.replicas
def test_states_are_carried_on_each_replica():
    x = symbols(4, 9)

    def trained(strategy):
        with strategy.scope():
            model = model_of(streams=4)
            model.compile(keras.optimizers.SGD(0.5), jit_compile=False)
        with random.frozen():
            model.fit(x, verbose=0, shuffle=False)
        return [tf.convert_to_tensor(v).numpy() for v in model.trainable_variables]

    single = trained(tf.distribute.get_strategy())
    double = trained(
        tf.distribute.MirroredStrategy(
            ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
        )
    )
    for one, other in zip(single, double, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


# -- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m.fit(symbols()[0]), errors.DataError, r"given as x\[np.newaxis\]"),
        (lambda m: m.fit(symbols() + 1), errors.DataError, "from 0 to 4 .* Received: 5.0 at"),
        (lambda m: m.fit(symbols() + 0.5), errors.DataError, "whole numbers from 0 to 4"),
        (lambda m: m.fit([[0, 1, -1, 2]]), errors.DataError, "-1 only after its end"),
        (lambda m: m.fit(symbols(), symbols()), errors.DataError, "x alone. Received: y"),
        (lambda m: m.fit((symbols(), symbols())), errors.DataError, "Received: targets"),
        (lambda m: m.fit(symbols(), sample_weight=np.ones(4)), errors.DataError, "sample_weight"),
        (
            lambda m: m.fit(tf.data.Dataset.from_tensors(symbols())),
            errors.DataError,
            "Received: a stream of batches",
        ),
        (lambda m: m.evaluate(symbols()), errors.DataError, "number of training rows"),
        (lambda m: m.log_probs(symbols()[0]), errors.DataError, "rows of two symbols or more"),
        (lambda m: m.nll(symbols(), draws=0), errors.OptionsError, "draws"),
        (lambda m: m.sample(1, 4, start=[K]), errors.DataError, "from 0 to 4"),
        (lambda m: m.elbo(symbols(), symbols()), errors.DataError, "Received: y"),
        (lambda m: m.compile(metrics=["accuracy"]), errors.OptionsError, "metrics of its own"),
        (lambda m: m.compile(loss="mse"), errors.OptionsError, "negative ELBO"),
    ],
)
def test_what_cannot_be_is_refused_in_words(call, error, message):
    model = model_of()
    model.compile()
    with pytest.raises(error, match=message):
        call(model)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, "length"),
        ({"streams": 0}, "streams"),
        ({"sharpening_scale": 0.0}, "sharpening_scale must be above 0"),
        ({"likelihood": "gaussian"}, "likelihood='categorical'"),
        ({"estimator": "flipout", "sites": "head*"}, "estimator='reparameterization'"),
    ],
)
def test_options_that_cannot_be_are_refused_in_words(options, message):
    with pytest.raises(errors.OptionsError, match=message):
        model_of(**options)


def test_a_net_of_another_form_is_refused_in_words():
    plain = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(errors.ModelError, match=r"to \[logits \[n, T, symbols\], \*states\]"):
        BayesianRNN(plain)
    with pytest.raises(errors.OptionsError, match="lstm"):
        net(cell="ltsm")
