"""What may be asked of a machine; NumPy out, computed in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl import random
from tfbdl.data import as_dataset
from tfbdl.errors import DataError, ModelError, OptionsError

from . import energy, partition
from .partition import LogPartition
from .training import ContrastiveDivergence
from .units import BinaryUnits, bernoulli

AIS_RUNS, AIS_TEMPERATURES = 100, 10_000


class Queries(ContrastiveDivergence):
    """Densities, conditionals, draws and the partition function of a machine.

    ``v`` is ``[n, d]`` in the units of the data, ``h`` is ``[n, num_hidden]``.
    """

    num_visible: int
    num_hidden: int

    def free_energy(self, v: Any) -> np.ndarray:
        """``F(v) = -log sum_h exp(-E(v, h))`` of each row, in nats: ``[n]``."""
        return energy.free_energy(self.units, self.weights_now("float64"), self._codes(v)).numpy()

    def log_prob(self, v: Any, log_z: float | None = None) -> np.ndarray:
        """``log p(v) = -F(v) - log Z`` of each row, in nats: ``[n]``.

        Args:
            v: Rows.
            log_z: Logarithm of the partition function; None: by enumeration where the smaller
                binary layer has at most 20 units, else the estimate of ``log_partition()``.
        """
        if log_z is None:
            exact = partition.enumerable(self.units, self.weights_now())
            log_z = self.log_partition_exact() if exact else self.log_partition().estimate
        return -self.free_energy(v) - log_z

    def hidden_probs(self, v: Any) -> np.ndarray:
        """``p(h = 1 | v)``: ``[n, num_hidden]``."""
        logits = energy.hidden_logits(self.units, self.weights_now("float64"), self._codes(v))
        return tf.sigmoid(logits).numpy()

    def transform(self, v: Any) -> np.ndarray:
        """Features of each row, for another model to learn from: ``hidden_probs``."""
        return self.hidden_probs(v)

    def visible_probs(self, h: Any) -> np.ndarray:
        """``p(v = 1 | h)``, or the mean of Gaussian units given ``h``: ``[n, d]``.

        Raises:
            DataError: If ``h`` has another number of columns, or values outside [0, 1].
        """
        h = np.asarray(h, np.float64)
        if h.ndim != 2 or h.shape[1] != self.num_hidden or not ((h >= 0) & (h <= 1)).all():
            raise DataError(
                f"Expected hidden units [n, {self.num_hidden}] from 0 to 1. Received: shape "
                f"{h.shape}, from {h.min(initial=np.inf):g} to {h.max(initial=-np.inf):g}."
            )
        return self._mean_given(tf.constant(h))

    def reconstruct(self, v: Any) -> np.ndarray:
        """``visible_probs(hidden_probs(v))``: ``[n, d]``."""
        return self._mean_given(tf.constant(self.hidden_probs(v)))

    def sample(self, n: int = 1, steps: int = 1_000, seed: int = 0) -> np.ndarray:
        """Draw rows by block Gibbs sampling, each from a chain of its own.

        Args:
            n: How many.
            steps: Of each chain, which begins with independent units.
            seed: Of the chains.

        Returns:
            ``[n, d]``: zeros and ones, or real numbers in the units of the data.
        """
        _at_least_one(n=n, steps=steps)
        weights = self.weights_now()
        key = random.key(seed, "sample")

        @tf.function(jit_compile=True, autograph=False)
        def chain(weights: energy.Weights, key: tf.Tensor) -> tf.Tensor:
            u = self.units.base_draw(n, random.fold_in(key, "base"), weights.W.dtype)
            return self.units.decode(energy.gibbs(self.units, weights, u, steps, key))

        return chain(weights, key).numpy()

    def pseudo_log_likelihood(self, v: Any, seed: int | None = None) -> np.ndarray:
        """``sum_i log p(v_i | all other v)`` of each row, in nats: ``[n]``.

        Args:
            v: Rows.
            seed: Of an unbiased estimate from one unit of each row; None: all units, exactly.

        Raises:
            ModelError: If the units are Gaussian.
        """
        if not isinstance(self.units, BinaryUnits):
            raise ModelError(
                "The pseudo-likelihood is for binary visible units. Received: a machine with "
                "visible='gaussian'. See its reconstruction_error, or log_prob."
            )
        weights, codes = self.weights_now("float64"), self._codes(v)
        if seed is None:
            return energy.exact_pseudo_log_likelihood(weights, codes).numpy()
        key = random.key(seed, "pseudo-likelihood")
        return energy.pseudo_log_likelihood(weights, codes, key).numpy()

    def reconstruction_error(self, v: Any) -> np.ndarray:
        """Mean square over units of ``v`` minus its mean given ``p(h | v)``, in codes: ``[n]``."""
        weights, codes = self.weights_now("float64"), self._codes(v)
        h = tf.sigmoid(energy.hidden_logits(self.units, weights, codes))
        back = self.units.mean(weights.b, energy.field_of(weights, h))
        return tf.reduce_mean(tf.math.squared_difference(codes, back), axis=-1).numpy()

    def held_out(self, x: Any) -> dict[str, float]:
        """Means over rows of the reconstruction error and the pseudo-log-likelihood, in nats.

        The latter is of binary units alone, and from one unit of each row. See
        ``tfbdl.protocols.HeldOut``.
        """
        figures = {"reconstruction_error": float(self.reconstruction_error(x).mean())}
        if isinstance(self.units, BinaryUnits):
            figures["pseudo_log_likelihood"] = float(self.pseudo_log_likelihood(x, seed=0).mean())
        return figures

    def log_partition_exact(self) -> float:
        """``log Z`` in nats, by enumeration of the smaller binary layer.

        Raises:
            ModelError: If that layer has more than 20 units.
        """
        return partition.log_partition_exact(self.units, self.weights_now("float64"))

    def log_partition(
        self, runs: int = AIS_RUNS, temperatures: int = AIS_TEMPERATURES, seed: int = 0
    ) -> LogPartition:
        """``log Z`` in nats, by annealed importance sampling.

        Args:
            runs: Annealing runs, at least two; the error falls with the root of their number.
            temperatures: Steps of a run; the more, the smaller the spread of the weights.
            seed: Of the runs.

        Returns:
            ``(estimate, standard_error)``. The error is an estimate too, and too small where the
            temperatures are too few.
        """
        _at_least_one(temperatures=temperatures)
        if runs < 2:
            raise OptionsError(f"runs must be at least 2. Received: {runs}.")
        return partition.log_partition_ais(self.units, self.weights_now(), runs, temperatures, seed)

    def sample_hidden(self, v: Any, seed: int = 0) -> np.ndarray:
        """Draw ``h ~ p(h | v)``: ``[n, num_hidden]`` of zeros and ones."""
        return bernoulli(tf.constant(self.hidden_probs(v)), random.key(seed, "hidden")).numpy()

    def _mean_given(self, h: tf.Tensor) -> np.ndarray:
        weights = self.weights_now("float64")
        return self.units.decode(self.units.mean(weights.b, energy.field_of(weights, h))).numpy()

    def _codes(self, v: Any) -> tf.Tensor:
        """Checked rows as codes in float64."""
        rows = as_dataset(v, dtype="float64").in_memory().x
        self.check_rows(rows, "v")
        return self.units.encode(tf.constant(rows))

    def check_rows(self, x: Any, what: str = "x") -> None:
        """Refuse rows of another width, or with values that the units cannot take.

        Raises:
            DataError: If they are not ``[n, d]``, or binary units get values outside [0, 1].
        """
        if np.ndim(x) != 2 or np.shape(x)[1] != self.num_visible:
            raise DataError(
                f"Expected {what} of shape [n, {self.num_visible}]. "
                f"Received: shape {list(np.shape(x))}."
            )
        self.units.check(np.asarray(x), what)


def _at_least_one(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise OptionsError(f"{name} must be at least 1. Received: {count}.")
