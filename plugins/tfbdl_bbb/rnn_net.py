"""The net of a language model: symbols and states in, logits and states out."""

from __future__ import annotations

import random as python_random

import keras

from tfbdl.config import check_choice
from tfbdl.errors import ModelError

CELLS = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}


def recurrent_net(
    num_symbols: int,
    *,
    cell: str = "lstm",
    units: int = 128,
    layers: int = 1,
    embedding_dim: int = 32,
    dropout: float = 0.0,
    recurrent_dropout: float = 0.0,
    name: str = "net",
) -> keras.Model:
    """An embedding, recurrent layers and a softmax head, with states as inputs and outputs.

    Dropout has one mask for all time steps of a call (Gal & Ghahramani 2016, section 4): the masks
    of a recurrent layer, and that of the outputs before the head.

    Args:
        num_symbols: K.
        cell: ``lstm`` or ``gru``.
        units: Of each recurrent layer.
        layers: How many recurrent layers.
        embedding_dim: Numbers that stand for a symbol.
        dropout: Share of the inputs of each layer, and of the head's, that is dropped.
        recurrent_dropout: Share of the state that is dropped on its way to the next time step.
        name: Of the net.

    Returns:
        From ``[symbols [n, T], *states [n, units]]`` to ``[logits [n, T, K], *states]``.

    References:
        Gal & Ghahramani 2016, "A Theoretically Grounded Application of Dropout in Recurrent Neural
        Networks".
    """
    check_choice("cell", cell, tuple(CELLS))
    symbols = keras.Input((None,), dtype="int32", name="symbols")
    x = keras.layers.Embedding(num_symbols, embedding_dim, name="embedding")(symbols)
    before, after = [], []
    for index in range(layers):
        layer = CELLS[cell](
            units,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            return_sequences=True,
            return_state=True,
            seed=_seed(),
            name=f"{cell}_{index}",
        )
        sizes = [layer.state_size] if isinstance(layer.state_size, int) else layer.state_size
        states = [keras.Input((n,), name=f"state_{index}_{i}") for i, n in enumerate(sizes)]
        x, *ends = layer(x, initial_state=states)
        before += states
        after += ends
    if dropout:
        x = keras.layers.SpatialDropout1D(dropout, seed=_seed(), name="output_dropout")(x)
    logits = keras.layers.Dense(num_symbols, name="head")(x)
    return keras.Model([symbols, *before], [logits, *after], name=name)


def _seed() -> int:
    """Of masks; a file keeps it with the configuration, where Keras would draw another one."""
    return python_random.randint(1, 2**31 - 1)


def state_sizes(net: keras.Model) -> list[int]:
    """Sizes of the states that a net takes and gives back.

    Raises:
        ModelError: If the net has another form than those of ``recurrent_net``.
    """
    inputs, outputs = getattr(net, "inputs", None) or [], getattr(net, "outputs", None) or []
    given, back = ([tuple(part.shape) for part in parts[1:]] for parts in (inputs, outputs))
    fits = bool(given) and given == back and all(len(shape) == 2 and shape[1] for shape in given)
    if not (fits and len(inputs[0].shape) == 2 and len(outputs[0].shape) == 3):
        received = [[tuple(part.shape) for part in parts] for parts in (inputs, outputs)]
        raise ModelError(
            "The net of a BayesianRNN goes from [symbols [n, T], *states [n, size]] to [logits "
            "[n, T, symbols], *states], as tfbdl_bbb.recurrent_net makes it. "
            f"Received: inputs {received[0]}, outputs {received[1]}."
        )
    return [shape[1] for shape in given]
