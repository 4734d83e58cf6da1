"""What a process by inducing points says of new rows, and of what it has learned."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfbdl import logistic_normal, random
from tfbdl.closed_form import ClosedFormPosterior, ClosedFormPredictive
from tfbdl.data import Dataset, as_dataset
from tfbdl.errors import ModelError
from tfbdl.inference.surrogate import read
from tfbdl.likelihoods import Likelihood
from tfbdl.posterior import Posterior

from . import blocks, softmax_normal
from .data_checks import check_shape
from .mixture import mixture_predictive
from .predictive import ProcessPredictive
from .sparse_density import VALUES, SparseDensity
from .sparse_function import marginals, project

ROWS = 2_048
"""Rows of a query held at once."""
MOST_COVARIANCE = 10_000


class SparseQueries(SparseDensity):
    """The part of a SparseProcess that predicts.

    Attributes:
        mean: Of q(v), a weight ``[m, k]``.
        likelihood: ``p(y | f)``.
        seen: Whether rows were seen, as a weight.
        shape: Of an input.
    """

    mean: keras.Variable
    likelihood: Likelihood
    seen: keras.Variable
    shape: tuple[int, ...]
    _drawn: Posterior | None = None

    def root(self) -> tf.Tensor:
        """Of the covariance of q(v): ``[k, m, m]``."""
        raise NotImplementedError

    @property
    def posterior(self) -> SparsePosterior:
        """q(v), and the hyperparameters as point estimates; ``predictive(x)`` is in closed form."""
        return SparsePosterior(self)

    def adopt(self, posterior: Posterior | None) -> None:
        """Predict by draws of inducing values and hyperparameters from now on."""
        own = posterior is not None and not isinstance(posterior, SparsePosterior)
        self._drawn = posterior if own else None

    def predictive(
        self, x: Any, draws: int = 100, seed: int = 0, **options: Any
    ) -> ClosedFormPredictive:
        """``p(y | x, data)``: by q in closed form, or averaged over an engine's draws.

        Args:
            x: ``[n, ...]``.
            draws: Of values and hyperparameters, where an engine drew them.
            seed: Of these draws.
            **options: Of Predictive; all is kept here.

        Raises:
            ModelError: Before a fit.
            DataError: If x is not finite, or not of the shape of training.
        """
        self.require_seen()
        if isinstance(x, tf.data.Dataset | Dataset):
            x = as_dataset(x).in_memory().x
        array = blocks.finite(x, "float64")
        check_shape(self.shape, array.shape[1:])
        rows = array.reshape(len(array), -1)
        if self._drawn is None:
            q = {VALUES: read(self.mean), **self.hyper_values()}
            return self._predictive_at(q, self.root(), rows)
        states = self._drawn.sample(draws, seed)
        count = len(next(iter(states.values())))
        parts = []
        for i in range(count):
            params = {n: tf.constant(value[i], tf.float64) for n, value in states.items()}
            m, k = params[VALUES].shape
            parts.append(self._predictive_at(params, tf.zeros((k, m, m), tf.float64), rows))
        return mixture_predictive(self, parts)

    def require_seen(self) -> None:
        """Raise ModelError before a first ``fit``."""
        if not int(self.seen.numpy()):
            raise ModelError(
                "This process has seen no rows: its inducing points are not chosen. Call fit first."
            )

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> np.ndarray:
        """The predictive mean (class probabilities) at ``x``."""
        p = self.predictive(x)
        return p.probs if self.likelihood.is_classification else p.mean

    def _predictive_at(
        self, params: Mapping[str, tf.Tensor], root: tf.Tensor, rows: np.ndarray
    ) -> ClosedFormPredictive:
        """What one law of the inducing values says."""
        parts = [
            self._function(dict(params), root, tf.constant(rows[part]))
            for part in blocks.slices(len(rows), ROWS)
        ]
        mean, variance = (np.concatenate([p[i].numpy() for p in parts]) for i in range(2))
        if self.num_classes is None:
            shift, scale = (self.moments[n].numpy() for n in ("target_mean", "target_scale"))
            noise = float(self.noise_of(params))
            return ProcessPredictive(
                self, shift + scale * mean, scale**2 * variance, scale**2 * noise
            )
        if self.num_outputs == 1:
            f, sd = mean[:, 0], np.sqrt(variance[:, 0])
            probs = logistic_normal.mean_probability(f, sd)
            entropy = logistic_normal.mean_entropy(f, sd)
            return ClosedFormPredictive(self, probs[:, np.newaxis], entropy[:, np.newaxis])
        probs = softmax_normal.mean_probabilities(mean, variance)
        return ClosedFormPredictive(self, probs, softmax_normal.mean_entropy(mean, variance))

    @cached_property
    def _function(self) -> Any:
        """From params, root and rows ``[n, d]`` to mean and variance of f: one graph for all."""
        own = {s.name: tf.TensorSpec(s.shape, tf.float64) for s in self.sites}
        m, k = self.sites[0].shape

        def law(
            params: Mapping[str, tf.Tensor], root: tf.Tensor, x: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor]:
            projection = project(self.family, params, read(self.inducing), self.standardised(x))
            return marginals(projection, params[VALUES], root)

        return tf.function(
            law,
            input_signature=[
                own,
                tf.TensorSpec([k, m, m], tf.float64),
                tf.TensorSpec([None, self.inducing.shape[1]], tf.float64),
            ],
            autograph=False,
        )


class SparsePosterior(ClosedFormPosterior):
    """q of the whitened inducing values ``v [m, k]``; hyperparameters have no spread.

    Args:
        model: A SparseProcess.
    """

    def __init__(self, model: SparseQueries) -> None:
        self._model = model
        hyper = {name: value.numpy() for name, value in model.hyper_values().items()}
        mean, root = model.mean.numpy(), model.root().numpy()
        self._root = root
        stddev = {n: np.zeros_like(v) for n, v in hyper.items()}
        stddev[VALUES] = np.sqrt((root**2).sum(axis=2)).T
        super().__init__(
            self._draw, {VALUES: mean, **hyper}, stddev=stddev, predictive=model.predictive
        )

    def covariance(self) -> dict[str, np.ndarray]:
        """``v``: ``[m k, m k]`` of the values row by row; outputs are independent.

        Raises:
            ModelError: If it has more than 10,000 rows.
        """
        m, k = self._mean[VALUES].shape
        if m * k > MOST_COVARIANCE:
            raise ModelError(
                f"The covariance of {m * k:,} inducing values is too large to write out. "
                "Use stddev()."
            )
        found = np.zeros((m, k, m, k))
        for c, root in enumerate(self._root):
            found[:, c, :, c] = root @ root.T
        rest = {n: np.zeros((v.size, v.size)) for n, v in self._mean.items() if n != VALUES}
        return {VALUES: found.reshape(m * k, m * k), **rest}

    def _draw(self, n: int, key: tf.Tensor) -> Mapping[str, Any]:
        noise = random.normal((n, *self._mean[VALUES].shape), key, "float64").numpy()
        drawn = self._mean[VALUES] + np.einsum("cij,njc->nic", self._root, noise)
        rest = {m: np.broadcast_to(v, (n, *v.shape)) for m, v in self._mean.items() if m != VALUES}
        return {VALUES: drawn, **rest}
