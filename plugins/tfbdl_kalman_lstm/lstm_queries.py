"""What a trained LSTMKalman answers: filtered states, streams, forecasts, likelihoods."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfbdl.config import check_whole
from tfbdl.errors import DataError
from tfbdl.inference.surrogate import read

from .controls import matched
from .random_weights import RandomWeights
from .recurrence import FilterState, LearnedStep
from .sequences import at_steps, by_sequence, following, prolonged
from .states import Forecast, LearnedStates
from .trained_filter import TrainedFilter


class LSTMKalmanQueries(RandomWeights, TrainedFilter):
    """The part of LSTMKalman that answers."""

    H: keras.Variable

    # -- streams ---------------------------------------------------------------------------------

    def initial_state(self, batch: int = 1) -> FilterState:
        """The state before the first observation, for ``step``.

        Args:
            batch: Sequences side by side.
        """
        return self.started(check_whole("batch", batch), self.filter_draws())

    def step(self, state: FilterState, y_t: Any) -> tuple[FilterState, tf.Tensor, tf.Tensor]:
        """Take in one observation of each sequence; a stream of steps gives what ``filter`` does.

        It may stand in a ``tf.function``.

        Args:
            state: Of the step before, or ``initial_state``.
            y_t: ``[batch, m]``, NaN where an element is missing. Within a ``tf.function`` nobody
                looks whether one is infinite: that would spoil the state for good.

        Returns:
            The next state; the mean ``[batch, d]`` and the covariance ``[batch, d, d]`` of the
            state at t given all observations so far.

        Raises:
            DataError: If ``y_t`` has another shape, or is infinite.
        """
        y, seen = self.observation(y_t, state.mean.shape[-2])
        after, found = self.advance(state, y, seen, self.drawn_weights(None)[0])
        mean, covariance = found.means, found.covariances
        if state.draws:
            mean, covariance = mixed(mean, covariance, 0)
        return after, mean, covariance

    # -- sequences -------------------------------------------------------------------------------

    def filter(self, y: Any) -> LearnedStates:
        """States given what was observed up to them.

        Args:
            y: ``[T, m]`` for one sequence (``[T]`` where m is 1), ``[n, T, m]`` for several, or a
                list of sequences of unequal length; NaN where an element is missing.

        Raises:
            DataError: If the shape is none of these, or the filter diverges.
        """
        values, single = self.sequences(y)
        found = self._checked(self._found(values))
        increments = by_sequence(found.increments).astype(np.float64)
        predicted = by_sequence(found.predicted_means)
        spread = by_sequence(found.predicted_covariances)
        H = read(self.H).numpy()
        return LearnedStates(
            means=by_sequence(found.means),
            covariances=by_sequence(found.covariances),
            predicted_means=predicted,
            predicted_covariances=spread,
            gains=by_sequence(found.gains),
            log_likelihood=increments.sum(axis=1),
            increments=increments,
            observation_means=predicted @ H.T,
            observation_covariances=H @ spread @ H.T + by_sequence(found.noise),
        ).of(single)

    def log_prob(self, y: Any) -> Any:
        """``log p(y)`` in nats: a number for one sequence, ``[n]`` for several.

        Of random weights the logarithm of the mean over draws of ``p(y | weights)``.

        Args:
            y: As ``filter``.
        """
        return self.filter(y).log_likelihood

    def forecast(self, y: Any, steps: int) -> Forecast:
        """States and observations after the last step of ``y``.

        Args:
            y: As ``filter``; each sequence goes on from its own end.
            steps: How many steps ahead.

        Raises:
            OptionsError: If ``steps`` is no positive integer.
        """
        check_whole("steps", steps)
        values, single, ends, _ = matched(y, None, self.observation_dim)
        longer = tf.constant(prolonged(values, steps), self.dtype)
        found = self._checked(self._found(longer))
        ahead = following(ends, steps)
        means, covariances, noise = (
            at_steps(by_sequence(part), ahead)
            for part in (found.means, found.covariances, found.noise)
        )
        H = read(self.H).numpy()
        return Forecast(
            means=means,
            covariances=covariances,
            observation_means=means @ H.T,
            observation_covariances=H @ covariances @ H.T + noise,
        ).of(single)

    def held_out(self, x: Any) -> dict[str, float]:
        """``nll``: the mean over sequences of ``-log p(y) / T``, in nats a step.

        See ``tfbdl.protocols.HeldOut``.
        """
        values = np.asarray(x, np.float64)
        values = values if values.ndim == 3 else values[..., np.newaxis]
        steps = np.maximum((~np.isnan(values)).any(axis=-1).sum(axis=1), 1)
        return {"nll": -float(np.mean(np.asarray(self.log_prob(values)) / steps))}

    # -- inside ----------------------------------------------------------------------------------

    def started(self, batch: Any, draws: Sequence[tf.Tensor]) -> FilterState:
        """The state before the first observation, with an axis of draws if there are any."""
        raise NotImplementedError

    @cached_property
    def _found(self) -> Any:
        """The filter, compiled once for each shape."""
        return tf.function(partial(filtered, self), autograph=False)

    def _checked(self, found: LearnedStep) -> LearnedStep:
        finite = np.isfinite(found.increments.numpy()).all(axis=1)
        if not finite.all():
            raise DataError(
                "The filter diverges: check the scale of the observations, or train longer or "
                "with a smaller learning rate. Received: a likelihood that is not finite at step "
                f"{int(np.argmin(finite))}."
            )
        return found


def filtered(model: LSTMKalmanQueries, values: tf.Tensor) -> LearnedStep:
    """What a model's filter finds in observations ``[n, T, m]``, draws of the weights averaged."""
    y, seen = model.masked(values)
    draws = model.filter_draws()
    _, found = model.run(y, seen, state=model.started(tf.shape(y)[0], draws))
    return mixture(found) if draws else found


def mixed(means: tf.Tensor, covariances: tf.Tensor, axis: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and covariance over draws along ``axis``, by the law of total variance.

    Shapes:
        means: ``[..., S, ..., d]``.
        covariances: ``[..., S, ..., d, d]``.
    """
    mean = tf.reduce_mean(means, axis)
    apart = means - tf.expand_dims(mean, axis)
    between = apart[..., :, tf.newaxis] * apart[..., tf.newaxis, :]
    return mean, tf.reduce_mean(covariances + between, axis)


def mixture(found: LearnedStep) -> LearnedStep:
    """One filter out of many that ran with a draw of the weights each, ``[T, S, n, ...]``.

    Draws weigh the same in all moments, whatever a sequence says of them: weighed by
    ``p(y_1..t | weights)`` a long stream would soon leave one of a few draws, and nothing of what
    is not known of the weights. The likelihood is that of the mixture: increments are the
    differences of ``log mean_s p(y_1..t | weights_s)``.
    """
    means, covariances = mixed(found.means, found.covariances, 1)
    predicted, predicted_covariances = mixed(found.predicted_means, found.predicted_covariances, 1)
    draws = int(found.means.shape[1])
    increments = tf.cast(found.increments, tf.float64)  # sums grow with T, differences do not
    so_far = tf.reduce_logsumexp(tf.cumsum(increments, axis=0), 1) - math.log(draws)
    return LearnedStep(
        means=means,
        covariances=covariances,
        predicted_means=predicted,
        predicted_covariances=predicted_covariances,
        increments=so_far - tf.concat([tf.zeros_like(so_far[:1]), so_far[:-1]], 0),
        gains=tf.reduce_mean(found.gains, 1),
        noise=tf.reduce_mean(found.noise, 1),
    )
