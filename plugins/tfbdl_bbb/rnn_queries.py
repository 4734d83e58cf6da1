"""What a language model says of rows that it has not seen, with states carried along them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from scipy.special import logsumexp

from tfbdl import functional, random
from tfbdl.config import check_whole
from tfbdl.data import Dataset
from tfbdl.errors import DataError
from tfbdl.inference import dropout
from tfbdl.inference.reparameterizations import gumbel_of_uniform
from tfbdl.posterior import Posterior
from tfbdl.serial import map_serially

from .truncation import NOTHING, symbols_of

if TYPE_CHECKING:
    import keras


SPAN = 128  # symbols of a row that are read at once; what they say does not depend on it
DRAWS = 10

Params = Mapping[str, tf.Tensor]


class SequenceQueries:
    """The part of a BayesianRNN that reads rows and trains nothing.

    Attributes:
        net: See ``recurrent_net``.
        num_symbols: K.
    """

    net: keras.Model
    num_symbols: int
    posterior: Any
    adopted: Posterior | None
    _kl_of_draws: Any
    _require_built: Any

    def initial_states(self, rows: Any) -> list[tf.Tensor]:
        """States of zero of so many rows, a number or a tensor."""
        return [tf.zeros((rows, part.shape[1])) for part in self.net.inputs[1:]]

    def outputs(self, params: Params, x: Any) -> tf.Tensor:
        """Logits ``[n, T, K]`` of the symbol after each of ``x [n, T]``, with given weights."""
        symbols = as_rows(x)
        return self.advance(params, symbols, self.initial_states(tf.shape(symbols)[0]))[0]

    def advance(
        self, params: Params, symbols: tf.Tensor, states: list[tf.Tensor]
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Logits ``[n, T, K]`` after each of ``symbols [n, T]``, and the states after the last.

        Args:
            params: Site name -> weights; and a seed of dropout masks, as ``inference.dropout``
                names it.
            symbols: int32; what is below zero is read as 0.
            states: Before the first.
        """
        named = functional.site_names(self.net)
        pairs = [(variable, params[name]) for name, variable in named.items() if name in params]
        inputs = [tf.maximum(symbols, 0), *states]
        if dropout.SITE in params:
            logits, *ends = dropout.apply(self.net, pairs, inputs, params[dropout.SITE])
        else:
            (logits, *ends), _ = functional.apply(self.net, pairs, inputs)
        return tf.cast(logits, tf.float32), [tf.cast(end, tf.float32) for end in ends]

    def log_likelihood(self, params: Params, batch: Any) -> tf.Tensor:
        """``log p(x_2, ..., x_T | x_1, w)`` of each row of ``x``: ``[n]``."""
        symbols = as_rows(batch[0] if isinstance(batch, tuple) else batch)
        logits = self.outputs(params, symbols[:, :-1])
        return tf.reduce_sum(log_probs_of(logits, symbols[:, 1:]), axis=1)

    def elbo(self, x: Any, y: Any = None, draws: int = 100, seed: int = 0) -> float:
        """The evidence lower bound in nats of rows ``x``, whole; without sharpening.

        Raises:
            DataError: If there are targets, or x holds no rows of symbols.
        """
        if y is not None:
            raise DataError("A BayesianRNN predicts the symbols of x. Expected: x. Received: y.")
        terms = self._terms(x, self._weights(draws, seed))
        keys = random.fold_in(random.key(seed, "posterior"), tf.range(draws))
        if getattr(self, "kl_function", None) is None:  # kept, since tracing takes its time
            self.kl_function = tf.function(self._kl_of_draws, reduce_retracing=True)
        kl = self.kl_function(keys).numpy()
        return float(np.nansum(terms.mean(axis=0)) - np.mean(kl, dtype=np.float64))

    def log_probs(self, x: Any, draws: int | None = None, seed: int = 0) -> np.ndarray:
        """``log p(x_t | x_1, ..., x_t-1)`` of each symbol after the first, in nats.

        The state is carried from the first symbol to the last.

        Args:
            x: Rows of symbols, ``[n, T]`` or ``[n, T, 1]``.
            draws: How many draws of the weights, and of masks where the net drops units, the
                probabilities are averaged over; None: the weights are at their posterior means.
            seed: Of the draws.

        Returns:
            ``[n, T - 1]``; NaN where a row has ended.

        Raises:
            DataError: If x holds no rows of symbols.
        """
        terms = self._terms(x, self._weights(draws, seed))
        found: np.ndarray = logsumexp(terms, axis=0) - np.log(len(terms))
        return found

    def nll(self, x: Any, draws: int | None = None, seed: int = 0) -> float:
        """The mean of ``-log_probs`` over symbols, in nats."""
        return float(-np.nanmean(self.log_probs(x, draws, seed)))

    def perplexity(self, x: Any, draws: int | None = None, seed: int = 0) -> float:
        """``exp(nll)``: among how many symbols a prediction wavers, as it were."""
        return float(np.exp(self.nll(x, draws, seed)))

    def held_out(self, x: Any) -> dict[str, float]:
        """Figures of rows that were not trained on: over 10 draws, and at the mean weights."""
        over_draws, at_mean = self.nll(x, DRAWS), self.nll(x)
        return {
            "nll": over_draws,
            "perplexity": float(np.exp(over_draws)),
            "nll_mean_weights": at_mean,
            "perplexity_mean_weights": float(np.exp(at_mean)),
        }

    def sample(self, n: int, length: int, seed: int = 0, start: Any = None) -> np.ndarray:
        """Rows drawn from the predictive distribution, each under a draw of the weights.

        Args:
            n: How many rows.
            length: Symbols of a row.
            seed: Of weights and symbols.
            start: Symbols ``[s]`` with which each row begins, one at least; None: one, drawn
                uniformly. They are not part of what is returned.

        Returns:
            ``[n, length]`` int32.

        Raises:
            DataError: If ``start`` holds something that is no symbol.
        """
        check_whole("n", n)
        check_whole("length", length)
        weights = self._weights(n, seed)
        key = random.key(seed, "symbols")
        rows = []
        for row in range(n):
            own = {name: value[row] for name, value in weights.items()}
            begin = _start(start, self.num_symbols, random.fold_in(key, row))
            rows.append(self._drawn(own, begin, random.fold_in(key, row), tf.constant(length)))
        return np.stack([row.numpy() for row in rows])

    # -- how ------------------------------------------------------------------------------------

    def _weights(self, draws: int | None, seed: int) -> dict[str, tf.Tensor]:
        """Site name -> ``[draws, ...]``, with seeds of masks where the net drops units."""
        self._require_built()
        posterior = self.adopted or self.posterior
        if draws is None:
            return {name: tf.constant(value[None]) for name, value in posterior.mean().items()}
        check_whole("draws", draws)
        found = {name: tf.constant(value) for name, value in posterior.sample(draws, seed).items()}
        if dropout.layers(self.net):
            count = len(next(iter(found.values())))
            words = random.bits((count,), random.key(seed, "masks"))
            found[dropout.SITE] = tf.cast(words // 2, tf.int64)
        return found

    def _terms(self, x: Any, weights: Mapping[str, tf.Tensor]) -> np.ndarray:
        """``log p(x_t | x_1, ..., x_t-1, w)`` of each draw: ``[draws, n, T - 1]`` float64."""
        x = x.x if isinstance(x, Dataset) else x
        rows = symbols_of(x, self.num_symbols)
        predicted = rows.shape[1] - 1
        span = min(SPAN, predicted)
        gap = -predicted % span
        filled = np.pad(rows, ((0, 0), (0, gap)), constant_values=NOTHING)
        draws = len(next(iter(weights.values())))
        states = [tf.tile(state[None], (draws, 1, 1)) for state in self.initial_states(len(rows))]
        parts = []
        for at in range(0, predicted, span):
            part = tf.constant(filled[:, at : at + span + 1])
            terms, states = self._scored(dict(weights), part, states)
            parts.append(terms.numpy().astype(np.float64))
        joined = np.concatenate(parts, axis=-1)[..., :predicted]
        return np.where(rows[:, 1:] >= 0, joined, np.nan)

    def _scored(self, weights: Any, symbols: tf.Tensor, states: Any) -> Any:
        """Terms ``[draws, n, L]`` of ``symbols [n, L + 1]``, and the states after them."""
        if getattr(self, "scoring", None) is None:  # kept, since tracing takes its time

            def one(
                given: tuple[Any, Any], symbols: tf.Tensor
            ) -> tuple[tf.Tensor, list[tf.Tensor]]:
                logits, ends = self.advance(given[0], symbols[:, :-1], given[1])
                return log_probs_of(logits, symbols[:, 1:]), ends

            def all_draws(weights: Any, symbols: tf.Tensor, states: Any) -> Any:
                kinds = (tf.float32, [tf.float32 for _ in states])
                return map_serially(lambda given: one(given, symbols), (weights, states), kinds)

            self.scoring = tf.function(all_draws, reduce_retracing=True, autograph=False)
        return self.scoring(weights, symbols, states)

    def _drawn(self, weights: Params, begin: tf.Tensor, key: tf.Tensor, length: tf.Tensor) -> Any:
        """A row ``[length]`` after the symbols ``begin [s]``."""
        if getattr(self, "drawing", None) is None:

            def draw(weights: Params, begin: tf.Tensor, key: tf.Tensor, length: tf.Tensor) -> Any:
                logits, states = self.advance(weights, begin[None], self.initial_states(1))
                found = tf.TensorArray(tf.int32, length)

                def step(t: Any, logits: tf.Tensor, states: Any, found: Any) -> Any:
                    uniform = random.uniform((self.num_symbols,), random.fold_in(key, t))
                    noisy = logits + gumbel_of_uniform(uniform)
                    symbol = tf.argmax(noisy, output_type=tf.int32)
                    after, states = self.advance(weights, symbol[None, None], states)
                    return t + 1, after[0, 0], states, found.write(t, symbol)

                start = (tf.constant(0), logits[0, -1], states, found)
                return tf.while_loop(lambda t, *_: t < length, step, start)[-1].stack()

            self.drawing = tf.function(draw, reduce_retracing=True, autograph=False)
        return self.drawing(weights, begin, key, length)


def log_probs_of(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """``log p(x_t | ...)`` of symbols ``[n, L]`` under logits ``[n, >= L, K]``; 0 for none."""
    logits = logits[:, : tf.shape(targets)[1]]
    terms = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.maximum(targets, 0), logits=logits
    )
    return tf.where(targets >= 0, -terms, tf.zeros_like(terms))


def as_rows(x: Any) -> tf.Tensor:
    """Symbols ``[n, T]`` int32 of what Keras was given: ``[n, T]`` or ``[n, T, 1]``."""
    x = tf.convert_to_tensor(x)
    return tf.cast(x[..., 0] if x.shape.rank == 3 else x, tf.int32)


def _start(start: Any, num_symbols: int, key: tf.Tensor) -> tf.Tensor:
    if start is None:
        uniform = random.uniform((1,), random.fold_in(key, "start"))
        return tf.cast(tf.floor(num_symbols * uniform), tf.int32)
    symbols = np.atleast_1d(np.asarray(start))
    if symbols.ndim != 1 or not symbols.size:
        raise DataError(
            f"start must be symbols [s], one at least. Received: shape {list(np.shape(start))}."
        )
    twice = symbols_of(np.concatenate([symbols, symbols])[None], num_symbols, "start")
    if (twice < 0).any():
        raise DataError("start must be symbols. Received: -1 among them.")
    return tf.constant(twice[0, : symbols.size])
