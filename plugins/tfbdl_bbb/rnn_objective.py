"""The objective of a BayesianRNN: a draw of the weights for a truncated sequence, and its loss."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import tensorflow as tf

import tfbdl
from tfbdl import functional
from tfbdl.inference.surrogate import read
from tfbdl.trainable import THREAD

from .carried import CarriedStates
from .rnn_queries import SequenceQueries, as_rows, log_probs_of
from .sharpening import Sharpening, Tensors


class Passed(NamedTuple):
    """What a run over truncated sequences leaves for the loss.

    Attributes:
        targets: ``[b, L]``, -1 where a row has ended.
        weight: ``[b]``, see ``TruncatedSequences.weight``.
        sharpening_kl: KL of theta given phi, in nats; None without sharpening.
    """

    targets: tf.Tensor
    weight: tf.Tensor
    sharpening_kl: tf.Tensor | None


class TruncatedObjective(SequenceQueries, tfbdl.BayesianNetwork):
    """The part of a BayesianRNN that Keras' training and evaluation steps call.

    Attributes:
        carried: Stream of noise (``train``, ``evaluate``) -> the states that its steps carry.
        sharpening: What sharpens a draw; None: nothing.
        symbols_seen: N, the symbols that an epoch predicts, as a weight.
    """

    carried: dict[str, CarriedStates]
    sharpening: Sharpening | None
    symbols_seen: keras.Variable

    def call(self, inputs: Any, training: bool | None = None) -> tf.Tensor:
        """Logits under one draw of the weights: ``[n, T, K]``, each of the symbol that follows.

        Truncated sequences, as ``fit`` makes them, go on in the states of those before; rows
        ``[n, T]`` begin with states of zero.
        """
        if not isinstance(inputs, dict):
            return self._call_on_rows(as_rows(inputs), bool(training))
        stream = "train" if training else getattr(THREAD, "stream", "call")
        carried = self.carried.get(stream)
        symbols, fresh = inputs["symbols"], inputs["fresh"]
        states = self.initial_states(tf.shape(symbols)[0])
        if carried is not None:
            states = carried.before(fresh)
        logits, ends = self._run(symbols, states, inputs["weight"], bool(training))
        if carried is not None:
            carried.carry(ends)
        return logits

    def _call_on_rows(self, symbols: tf.Tensor, training: bool) -> tf.Tensor:
        """Whole rows as one sequence each, without truncation; no states are carried."""
        states = self.initial_states(tf.shape(symbols)[0])
        known = tf.reduce_sum(tf.cast(symbols[:, 1:] >= 0, tf.float32))
        rows = tf.cast(tf.shape(symbols)[0], tf.float32)
        weight = tf.fill(tf.shape(symbols)[:1], tf.math.divide_no_nan(rows, known))
        more = tf.concat([symbols, tf.fill(tf.shape(symbols[:, :1]), -1)], axis=1)
        return self._run(more, states, weight, training)[0]

    def _run(
        self, symbols: tf.Tensor, states: list[tf.Tensor], weight: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Logits of ``symbols[:, 1:]`` and the last states, under one draw; see Passed."""
        draw = self.surrogate.sample(self._noise_key(training))
        x, targets = symbols[:, :-1], symbols[:, 1:]

        def run(weights: Tensors, losses: list[tf.Tensor] | None) -> Any:
            named = self.weight_sites()
            pairs = [(named[name], value) for name, value in weights.items() if name in named]
            inputs = [tf.maximum(x, 0), *states]
            return functional.apply(self.net, pairs, inputs, training=training, losses=losses)

        def nll(weights: Tensors) -> tf.Tensor:
            (logits, *_), _ = run({**draw, **weights}, None)
            terms = log_probs_of(logits, targets)
            known = tf.reduce_sum(tf.cast(targets >= 0, terms.dtype))
            return -tf.math.divide_no_nan(tf.reduce_sum(terms), known)

        weights, sharpening_kl = draw, None
        if self.sharpening is not None:
            phi = {name: draw[name] for name in self.weight_sites()}
            key = self._noise_key(training, "sharpening")
            theta, sharpening_kl = self.sharpening.draw(phi, nll, key)
            weights = {**draw, **theta}
        added: list[tf.Tensor] = []
        (logits, *ends), updates = run(weights, added)
        functional.assign(updates)
        THREAD.draw, THREAD.losses = draw, added
        THREAD.passed = Passed(targets, weight, sharpening_kl)
        return tf.cast(logits, tf.float32) if logits.dtype.size < 4 else logits, ends

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tf.Tensor:
        """``nll + kl_weight * KL / N``, both per symbol, for the draw of the last call.

        Over an epoch of B C steps the mean is ``(-log p(x | w) + KL) / N``, N the symbols that are
        predicted: each step has ``KL / (B C)`` beside the sum of its own terms.
        """
        passed: Passed = THREAD.passed
        log_lik = log_probs_of(y_pred, passed.targets)
        rows = tf.shape(log_lik)[0]
        per_row = -tf.reduce_sum(log_lik, axis=1) * tf.cast(passed.weight, log_lik.dtype)
        share = tf.math.divide_no_nan(tf.ones((), log_lik.dtype), tf.cast(rows, log_lik.dtype))
        nll = tf.reduce_sum(per_row) * share
        kl = tf.cast(self.kl(THREAD.draw), nll.dtype)
        symbols = tf.cast(read(self.symbols_seen), nll.dtype)
        weight = self.kl_weight(read(self.rng_step)) if callable(self.kl_weight) else self.kl_weight
        total = nll + tf.cast(weight, nll.dtype) * kl / symbols  # 1 / (B C) a step: algorithm 1
        bound = -symbols * nll - kl
        if passed.sharpening_kl is not None:  # of this minibatch alone
            extra = tf.cast(passed.sharpening_kl, nll.dtype)
            extra *= tf.cast(tf.reduce_mean(passed.weight), nll.dtype) * share
            total += extra
            bound -= symbols * extra
        self.nll_metric.update_state(nll, sample_weight=rows)
        self.kl_metric.update_state(kl, sample_weight=rows)
        self.elbo_metric.update_state(bound, sample_weight=rows)
        for loss in (*THREAD.losses, *self.losses):
            total += tf.cast(loss, nll.dtype)
        return total / tf.distribute.get_strategy().num_replicas_in_sync

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The metrics of the objective."""
        return self.get_metrics_result()

    def get_metrics_result(self) -> dict[str, Any]:
        """``nll`` per symbol, its exponential ``perplexity``, ``kl`` and ``elbo`` of all data."""
        results = super().get_metrics_result()
        results["perplexity"] = tf.exp(results["nll"])
        return results
