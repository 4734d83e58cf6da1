"""Small language models, and the same nets as Keras builds them, to compare number by number."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from tfbdl_bbb.bayesian_rnn import BayesianRNN
from tfbdl_bbb.rnn_net import recurrent_net
from tfbdl_bbb.truncation import TruncatedSequences, symbols_of

from tfbdl import functional, random

K, UNITS = 5, 6
# softplus of -40 is 4e-18: no draw differs from the mean in float32
EXACT = {"posterior_options": {"initial_raw_scale": -40.0}}


def symbols(rows=4, steps=14, seed=0, num_symbols=K):
    return np.random.default_rng(seed).integers(0, num_symbols, (rows, steps))


def net(seed=3, **options):
    with functional.seeded(seed):
        return recurrent_net(K, **{"units": UNITS, "embedding_dim": 3, **options})


def model_of(seed=3, net_options=None, **options):
    """A model with a normal prior, whose KL is in closed form, and short truncated sequences."""
    chosen = {"prior": "normal", "length": 4, "streams": 2, **options}
    model = BayesianRNN(net(seed, **(net_options or {})), **chosen)
    model.rng_seed.assign(7)
    return model


def keras_lm(net, cell="lstm"):
    """Embedding, Keras' own layer and a Dense head with the weights of a net of one layer."""
    layer = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[cell]
    plain = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            keras.layers.Embedding(K, 3),
            layer(UNITS, return_sequences=True),
            keras.layers.Dense(K),
        ]
    )
    plain.set_weights(net.get_weights())
    return plain


def log_softmax(logits):
    return tf.nn.log_softmax(logits).numpy().astype(np.float64)


def log_probs_by_keras(net, rows, cell="lstm"):
    """``log p(x_t | x_1, ..., x_t-1)`` from one long unroll: ``[n, T - 1]``."""
    logits = keras_lm(net, cell)(rows[:, :-1])
    return np.take_along_axis(log_softmax(logits), rows[:, 1:, np.newaxis], axis=-1)[..., 0]


def steps_of(model, rows, size=None):
    """(logits, loss) of each step of an epoch, with the noise at its centre and no update."""
    parts = TruncatedSequences.cut(symbols_of(rows, K), model.length, model.streams)
    model.symbols_seen.assign(parts.num_predicted)
    model.num_data = len(rows)
    found = []
    with random.frozen():
        for batch in parts.batches(size or model.streams, seed=0, shuffle=False, repeat=False):
            logits = model(batch, training=True)
            loss = model.compute_loss(batch, None, logits, training=True)
            found.append((batch, logits.numpy(), float(loss)))
    return found, parts


def weights_of(model):
    return [variable.numpy() for variable in model.variables]
