"""The variational objective of a net, as Keras' training steps compute it (``trainable``)."""

from __future__ import annotations

import contextlib
from typing import Any

import keras
import tensorflow as tf

from .. import functional, random
from ..inference.elbo import KLSchedule
from ..inference.surrogate import read
from ..trainable import THREAD, StepCounter, evaluating
from .density import NetworkDensity, widen
from .estimators import RowEstimator


class VariationalObjective(NetworkDensity):
    """The part of a BayesianNetwork that trains: one draw a step, its loss and its metrics.

    Attributes:
        kl_weight: Of the KL term, or a schedule of the step.
        rng_seed, rng_step: What the noise of training is a function of.
        evaluation_step: What the noise of an evaluation is a function of.
        nll_metric, kl_metric, elbo_metric: Means over batches.
        row_estimator: What gives each row noise of its own, if the estimator does.
    """

    kl_weight: float | KLSchedule
    rng_seed: keras.Variable
    rng_step: keras.Variable
    evaluation_step: StepCounter
    nll_metric: keras.metrics.Mean
    kl_metric: keras.metrics.Mean
    elbo_metric: keras.metrics.Mean
    losses: list[tf.Tensor]
    row_estimator: RowEstimator | None

    def call(self, inputs: Any, training: bool | None = None) -> tf.Tensor:
        """Run the net with one draw of the weights; gives the parameters of the likelihood.

        By an estimator with noise of each row's own, with a draw of the kernels for each row.
        """
        key = self._noise_key(bool(training))
        draw = self.surrogate.sample(key)
        pairs = [(variable, draw[name]) for name, variable in self.weight_sites().items()]
        added: list[tf.Tensor] = []
        rows = self.row_estimator
        with contextlib.nullcontext() if rows is None else rows.noisy(draw, key):
            outputs, updates = functional.apply(
                self.net, pairs, inputs, training=bool(training), losses=added
            )
        functional.assign(updates)
        THREAD.draw, THREAD.losses = draw, added
        return widen(outputs)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tf.Tensor:
        """``mean(-log p(y | x, w)) + kl_weight * KL / num_data`` for the draw of the last call."""
        params = self.constrained(THREAD.draw)
        log_lik = self.likelihood.log_prob(
            y_pred,
            y,
            self.likelihood_parameters(params),
            key=self._noise_key(training, "likelihood"),
        )
        if sample_weight is not None:
            log_lik *= tf.cast(tf.reshape(sample_weight, tf.shape(log_lik)), log_lik.dtype)
        rows = tf.shape(log_lik)[0]  # none where a replica gets no share of a small batch
        nll = -tf.math.divide_no_nan(tf.reduce_sum(log_lik), tf.cast(rows, log_lik.dtype))
        kl = tf.cast(self.kl(THREAD.draw), nll.dtype)
        num_data = tf.cast(read(self.num_data_seen), nll.dtype)
        weight = self.kl_weight(read(self.rng_step)) if callable(self.kl_weight) else self.kl_weight
        self.nll_metric.update_state(nll, sample_weight=rows)
        self.kl_metric.update_state(kl, sample_weight=rows)
        self.elbo_metric.update_state(-num_data * nll - kl, sample_weight=rows)
        total = nll + tf.cast(weight, nll.dtype) * kl / num_data  # Blundell et al. 2015, eq. (8)
        for loss in (*THREAD.losses, *self.losses):  # of activities, and of point estimates
            total += tf.cast(loss, nll.dtype)
        return total / tf.distribute.get_strategy().num_replicas_in_sync

    def _noise_key(self, training: bool, purpose: str = "weights") -> tf.Tensor:
        """The key of this call's noise: a function of seed, stream, step and replica."""
        stream = "train" if training else getattr(THREAD, "stream", "call")
        step = self.evaluation_step.result() if stream == "evaluate" else read(self.rng_step)
        return random.key(read(self.rng_seed), stream, purpose, step, random.replica_id())

    def train_step(self, data: Any) -> Any:
        """Keras' own step, then the count that gives the next step new noise."""
        logs = super().train_step(data)  # type: ignore[misc]
        self.rng_step.assign_add(tf.ones((), tf.int64))
        return logs

    def test_step(self, data: Any) -> Any:
        """Keras' own step, on a stream of noise that training does not share."""
        with evaluating():
            logs = super().test_step(data)  # type: ignore[misc]
        self.evaluation_step.update_state()
        return logs

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Compiled metrics see the conditional mean (class probabilities), not raw outputs."""
        params = self.constrained(THREAD.draw)
        mean = self.likelihood.mean(y_pred, self.likelihood_parameters(params))
        return super().compute_metrics(x, y, mean, sample_weight=sample_weight)  # type: ignore[misc]

    def get_metrics_result(self) -> dict[str, Any]:
        """The metrics of Keras, without the step counter."""
        results = super().get_metrics_result()  # type: ignore[misc]
        results.pop(self.evaluation_step.name, None)
        return results
