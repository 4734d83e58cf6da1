"""Baum-Welch: expectation maximisation of hidden Markov models (Rabiner 1989, section III.C)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl.data import Dataset
from tfbdl.errors import DataError, OptionsError
from tfbdl.protocols import Params, Statistics

from . import programs
from .categorical import normalised
from .emissions import Emission
from .sequences import arrange

SUMS_TO_ONE = 1e-6  # by how much given probabilities may be off


class BaumWelch:
    """What the engine ``em`` asks of a model; a mixin of HiddenMarkovModel.

    A row is a sequence: its statistics are expected numbers of first states, transitions and
    observations of each state.
    """

    objective = "log_likelihood"
    jit_compile = False  # the loops over time are compiled below, once for all fits
    options: Any
    emission: Emission
    seen: np.ndarray | None = None

    def rows(self, data: Dataset) -> tf.Tensor:
        """The sequences as ``[n, T, d]``, or ``[n, T]`` of symbols.

        Raises:
            DataError: If they are of another shape or kind, or have fewer observations than the
                model has states.
        """
        options = self.options
        if data.y is not None:
            raise DataError(
                "A hidden Markov model takes sequences alone; of a file's columns none is a target "
                "with the data option target=''. Received: (x, y)."
            )
        if isinstance(data.x, dict):
            raise DataError(
                f"Expected one array of sequences. Received: a mapping of {len(data.x)} parts."
            )
        y, single = arrange(data.x, options.emission, self.emission.size, options.dtype)
        if single and data.x_test is not None:
            raise DataError(
                "Steps that are held out at random tear a sequence apart. Expected all steps in "
                "order (of a file with the data option test_fraction=0). "
                f"Received: {len(data.x_test)} steps set apart."
            )
        if self.emission.size is None:
            self.emission.size = int(np.nanmax(y)) + 1
        there = int((~np.isnan(y.reshape(*y.shape[:2], -1))).all(axis=-1).sum())
        if there < options.num_states:
            raise DataError(
                f"Expected at least as many observations as states ({options.num_states}). "
                f"Received: {there}."
            )
        if options.emission == "gaussian":
            self.emission.origin = np.nanmean(y, axis=(0, 1))  # type: ignore[attr-defined]
        self.seen = y
        return tf.constant(y)

    @property
    def row_bytes(self) -> int:
        """Memory that a sequence takes in the E-step."""
        if self.seen is None:
            return 0
        k, steps = self.options.num_states, self.seen.shape[1]
        inner = int(math.prod(self.seen.shape[2:]))
        return 8 * steps * k * (k + 2 * inner + 4)

    def start(self, rows: Any, method: str, seed: int) -> dict[str, np.ndarray]:
        """Parameters to begin with.

        Args:
            rows: What ``rows`` gave.
            method: ``kmeans++`` (states are clusters of observations; with Gaussian observations
                also ``auto``) or ``random`` (with symbols also ``auto``).
            seed: Of the start.

        Raises:
            OptionsError: If there is no such start.
        """
        if method not in ("auto", "kmeans++", "random"):
            raise OptionsError(f"initial must be auto, kmeans++ or random. Received: {method!r}.")
        made = self.emission.start(np.asarray(rows), method, seed)
        return {name: np.asarray(part, self.options.dtype) for name, part in made.items()}

    def check_start(self, params: Params) -> None:
        """Raise OptionsError unless given parameters are probabilities and covariances."""
        for name, value in params.items():
            array = np.asarray(value)
            if name in ("initial", "transition", "probs"):
                sums = array.sum(axis=-1)
                if array.min() < 0.0 or np.abs(sums - 1.0).max() > SUMS_TO_ONE:
                    what = "initial must" if name == "initial" else f"Each row of {name} must"
                    raise OptionsError(
                        f"{what} be probabilities that sum to one. "
                        f"Received: sums {np.atleast_1d(sums)}, smallest {array.min():g}."
                    )
            if name == "covariances":
                uneven = (
                    np.abs(array - np.swapaxes(array, -1, -2)).max() > 1e-6 * np.abs(array).max()
                )
                least = np.linalg.eigvalsh(array).min()
                if uneven or least <= 0.0:
                    raise OptionsError(
                        "covariances must be symmetric and positive definite. "
                        f"Received: smallest eigenvalue {least:g}."
                    )

    def e_step(self, params: Params, rows: tf.Tensor) -> Statistics:
        """Expected sufficient statistics, summed over sequences."""
        found = self._answer(programs.expected, params, rows, self.counted(rows))
        return self._statistics(rows, *found)

    def sampled_e_step(self, params: Params, rows: tf.Tensor, keys: tf.Tensor) -> Statistics:
        """Statistics at paths drawn given the sequences, for the Monte Carlo E-step."""
        log_likelihood, path = self._answer(programs.drawn, params, rows, keys)
        weights = tf.one_hot(path, self.options.num_states, dtype=rows.dtype)
        return self._statistics(rows, log_likelihood, weights, self.transitions(rows, weights))

    def m_step(self, statistics: Statistics) -> dict[str, tf.Tensor]:
        """The parameters of largest expected complete likelihood (Rabiner 40, 53, 54)."""
        return {
            "initial": normalised(statistics["initial"]),  # Rabiner (40a)
            "transition": normalised(statistics["transition"]),  # Rabiner (40b)
            **self.emission.m_step(statistics),
        }

    def log_likelihood(self, params: Params, statistics: Statistics) -> tf.Tensor:
        """``log p(y)`` of all sequences, in nats."""
        return statistics["log_likelihood"]

    def logs(self, params: Params, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Log probabilities of first states, transitions and observations given the states."""
        return programs.tables(params, rows, self.emission.log_prob)

    def counted(self, rows: tf.Tensor) -> tf.Tensor:
        """Steps up to the last observation of each sequence, ``[n, T]``; those after are filling.

        The likelihood does not depend on them; leaving them out makes EM faster.
        """
        place = tf.range(tf.shape(rows)[1])
        seen = tf.where(self.emission.observed(rows), place, -tf.ones_like(place))
        return place <= tf.reduce_max(seen, -1, keepdims=True)

    def transitions(self, rows: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """How often each transition occurs in paths given as one-hot ``[n, T, k]``: ``[k, k]``."""
        after = tf.cast(self.counted(rows)[:, 1:, tf.newaxis], weights.dtype) * weights[:, 1:]
        return tf.einsum("nti,ntj->ij", weights[:, :-1], after)

    def figures(self) -> dict[str, float]:
        """Criteria for the number of states, in nats times two; lower is better.

        ``bic`` is ``-2 log p(y) + p log m`` with p free parameters and m observations; ``icl``
        has ``log p(y, z)`` at the most probable path in place of ``log p(y)`` (Biernacki, Celeux
        & Govaert 2000).
        """
        if self.seen is None:
            return {}
        log_likelihood, joint, _ = self._look()
        observations = (~np.isnan(self.seen.reshape(*self.seen.shape[:2], -1))).all(axis=-1).sum()
        penalty = self.num_parameters * math.log(observations)
        return {"bic": penalty - 2.0 * log_likelihood, "icl": penalty - 2.0 * joint}

    def notices(self) -> list[str]:
        """States that the data do not need, or that stand on too few observations."""
        if self.seen is None:
            return []
        occupancy = self._look()[2]
        told = [
            f"State {j} explains {count:.2g} observations: fewer states would do."
            for j, count in enumerate(occupancy)
            if count < 1.0
        ]
        params = self.params  # type: ignore[attr-defined]
        if "covariances" in params:
            least = np.linalg.eigvalsh(params["covariances"]).min(axis=-1)
            told += [
                f"The covariance of state {j} reached variance_floor: its observations lie in a "
                "point, a line or a plane, and the likelihood would grow without bound."
                for j in np.flatnonzero(least <= 1.01 * self.options.variance_floor)
            ]
        return told

    @property
    def num_parameters(self) -> int:
        """Free parameters of the fitted model."""
        k, size = self.options.num_states, self.emission.size or 1
        if self.options.emission == "categorical":
            own = size - 1
        else:
            own = size + (size if self.options.covariance == "diagonal" else size * (size + 1) // 2)
        return k - 1 + k * (k - 1) + k * own

    def _statistics(
        self, rows: tf.Tensor, log_likelihood: tf.Tensor, marginals: tf.Tensor, pairs: tf.Tensor
    ) -> Statistics:
        return {
            "log_likelihood": log_likelihood,
            "initial": tf.reduce_sum(marginals[:, 0], 0),
            "transition": pairs,
            **self.emission.statistics(rows, marginals),
        }

    def _answer(self, query: Any, params: Params, rows: tf.Tensor, *more: Any) -> Any:
        return programs.answer(query, self.emission.log_prob, params, rows, *more)

    def _look(self) -> tuple[float, float, np.ndarray]:
        """Log likelihood, log joint of the best paths, expected observations of each state."""
        params = self.fitted()  # type: ignore[attr-defined]

        if self._seen_by is not params:
            tensors, rows = {n: tf.constant(v) for n, v in params.items()}, tf.constant(self.seen)
            log_likelihood, marginals, _ = self._answer(
                programs.expected, tensors, rows, self.counted(rows)
            )
            best = self._answer(programs.best_path, tensors, rows).density
            there = self.emission.observed(rows).numpy()[..., np.newaxis]
            occupancy = (marginals.numpy() * there).sum(axis=(0, 1))
            self._looked = (float(log_likelihood), float(best.numpy().sum()), occupancy)
            self._seen_by = params
        return self._looked

    _seen_by: Any = None
    _looked: tuple[float, float, np.ndarray] = (0.0, 0.0, np.zeros(0))
