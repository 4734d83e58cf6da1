"""Predictive: what a model says of new inputs, averaged over draws of its posterior, lazily."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

from . import conditionals, functional, quantiles, random
from .conditionals import PredictiveModel, Statistic
from .data.retarget import labels_by_name
from .errors import DataError, ModelError, OptionsError
from .posterior import Posterior

KEEP_BYTES = 64 * 2**20
ACTIVATION_BYTES = 64 * 2**20
BLOCK_BYTES = 8 * 2**20


def predictive_of(
    model: PredictiveModel, posterior: Posterior, x: Any, draws: int, seed: int, **options: Any
) -> Predictive:
    """The predictive distribution by a posterior: by its draws, unless it has a way of its own."""
    own = getattr(posterior, "predictive_of", None)
    if own is not None:
        predictive: Predictive = own(model, x, draws, seed, **options)
        return predictive
    return Predictive(model, posterior, x, draws, seed, **options)


class Predictive:
    """``p(y | x, data) = mean over draws of p(y | x, draw)``, streamed.

    Each quantity is computed when it is first asked for, draw by draw, in memory that does not
    grow with the number of draws (outputs of at most 64 MB are kept, more with ``keep=True``).

    Args:
        model: A BayesianNetwork, or anything with likelihood, outputs, likelihood_parameters.
        posterior: Where the draws come from.
        x: Inputs, ``[n, ...]`` or a mapping of such.
        draws: How many draws to average; all that there are, each once, if they are fewer.
        seed: Of the draws.
        keep: Store the outputs of all draws, however large.
        batch_size: Rows held at once; by default as memory allows.

    Raises:
        OptionsError: If ``draws`` or ``batch_size`` is below 1.
    """

    def __init__(
        self,
        model: PredictiveModel,
        posterior: Posterior,
        x: Any,
        draws: int = 32,
        seed: int = 0,
        *,
        keep: bool = False,
        batch_size: int | None = None,
    ) -> None:
        for name, value in (("draws", draws), ("batch_size", batch_size or 1)):
            if not isinstance(value, (int, np.integer)) or value < 1:
                raise OptionsError(f"{name} must be an integer of at least 1. Received: {value!r}.")
        self.model, self.posterior, self.x = model, posterior, x
        self.draws, self.seed, self.keep = int(draws), int(seed), keep
        if posterior.is_finite:
            self.draws = min(self.draws, posterior.num_draws)
        self.num_rows = len(tf.nest.flatten(x)[0])
        net = getattr(model, "net", None)
        size = functional.activation_size(net)
        fitting = max(1, ACTIVATION_BYTES // (4 * size))
        self.batch_size = min(batch_size or fitting, self.num_rows)
        weights = functional.count(getattr(net, "weights", ()))
        self.block = 1
        if functional.is_vectorizable(net):
            numbers = size * self.batch_size + weights
            self.block = int(np.clip(BLOCK_BYTES // (4 * numbers), 1, self.draws))
        # Several states at once cost half as much as one by one
        fitting = int(np.clip(BLOCK_BYTES // (4 * max(weights, 1)), 1, self.draws))
        self.states_at_once = fitting if self.block == 1 else self.block

    # -- moments -----------------------------------------------------------------------------

    @property
    def mean(self) -> np.ndarray:
        """``E[y]``, ``[n, ..., d]`` as the outputs have it; class probabilities for classes."""
        return self._moments[0]

    @property
    def aleatoric(self) -> np.ndarray:
        """``E_w[Var(y | w)]``: noise that more data does not take away."""
        return self._moments[1]

    @property
    def epistemic(self) -> np.ndarray:
        """``Var_w(E[y | w])``: what the model does not know yet."""
        return self._moments[2]

    @property
    def variance(self) -> np.ndarray:
        """``Var(y) = aleatoric + epistemic``, the law of total variance."""
        return self.aleatoric + self.epistemic

    @property
    def stddev(self) -> np.ndarray:
        """The square root of the variance."""
        return np.sqrt(self.variance)

    @cached_property
    def _moments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        first: Any = None
        total: Any = 0.0
        noise: Any = 0.0
        square: Any = 0.0
        for mean, variance in self._stream(conditionals.moments):
            if first is None:
                first = mean[0]
            shifted = mean - first  # about the first draw, so that no digits cancel
            total = total + shifted.sum(axis=0)
            square = square + (shifted**2).sum(axis=0)
            noise = noise + variance.sum(axis=0)
        offset = total / self.draws
        return (
            first + offset,
            noise / self.draws,
            np.maximum(square / self.draws - offset**2, 0.0),
        )

    # -- densities, quantiles, samples ---------------------------------------------------------

    def log_prob(self, y: Any) -> np.ndarray:
        """``log mean_w p(y | x, w)`` of each row, in nats: ``[n]``."""
        peak, total = -np.inf, 0.0
        for terms in self._stream(conditionals.log_prob, self._targets(y)):
            block = terms.max(axis=0)
            higher = np.maximum(peak, block)
            safe = np.where(np.isfinite(higher), higher, 0.0)
            with np.errstate(divide="ignore"):
                total = total * np.exp(peak - safe) + np.exp(terms - safe).sum(axis=0)
            peak = higher
        with np.errstate(divide="ignore"):
            return np.where(np.isfinite(peak), peak, 0.0) + np.log(total) - np.log(self.draws)

    def expected_log_prob(self, y: Any) -> np.ndarray:
        """``mean_w log p(y | x, w)`` of each row, in nats: ``[n]``; the ELBO's first term."""
        return (
            sum(
                terms.sum(axis=0) for terms in self._stream(conditionals.log_prob, self._targets(y))
            )
            / self.draws
        )

    def cdf(self, y: Any) -> np.ndarray:
        """``P(Y <= y)`` of each output dimension, of the shape of the mean."""
        y, shape = np.asarray(y, np.float64), self.mean.shape
        y = np.broadcast_to(y.reshape(shape) if y.size == self.mean.size else y, shape)
        return self._cdf(y[np.newaxis])[0]

    def quantile(self, q: Any) -> np.ndarray:
        """The quantile of each output dimension, by bisection on the mixture's cdf.

        Args:
            q: A probability strictly between 0 and 1, or a list of such.

        Returns:
            An array of the shape of the mean; ``[len(q), ...]`` for a list.
        """
        levels = np.atleast_1d(np.asarray(q, np.float64))
        if not ((levels > 0) & (levels < 1)).all():
            raise OptionsError(f"q must be strictly between 0 and 1. Received: {q!r}.")
        if self.model.likelihood.is_classification:
            raise ModelError(
                f"The likelihood {self.model.likelihood.name!r} is over classes, which have no "
                "quantiles. Use probs, entropy or mutual_information."
            )
        discrete = self.model.likelihood.is_discrete
        first, unit = self.model.likelihood.lattice or (0.0, 1.0)
        found = first + unit * quantiles.bisect(
            lambda index: self._cdf(first + unit * index),
            levels,
            (self.mean - first) / unit,
            self._width() / unit,
            discrete=discrete,
        )
        return found if np.ndim(q) else found[0]

    def _width(self) -> np.ndarray:
        """The standard deviation; where it is infinite, the unit of the likelihood's scale."""
        unit = np.asarray(getattr(self.model.likelihood, "target_scale", 1.0))
        return np.where(np.isfinite(self.stddev), self.stddev, np.sqrt(self.epistemic + unit**2))

    def interval(self, level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """The central interval that holds ``level`` of the predictive mass: (low, high)."""
        if not 0.0 < level < 1.0:
            raise OptionsError(f"level must be strictly between 0 and 1. Received: {level!r}.")
        low, high = self.quantile([(1.0 - level) / 2.0, (1.0 + level) / 2.0])
        return low, high

    def sample(self, k: int = 1, seed: int = 0) -> np.ndarray:
        """Draw ``k`` targets for each row: ``[k, ...]`` before the shape of a target."""
        chosen = np.random.default_rng(seed).integers(0, self.draws, k)
        samples: dict[int, np.ndarray] = {}
        for draw, outputs, parameters in self._all_outputs():
            places = np.flatnonzero(chosen == draw)
            if places.size:  # all samples that fall to this draw at once
                pair = tf.bitcast(random.key(seed, "predictive", draw), tf.int32)
                single = self.model.likelihood.elementwise(outputs, parameters)
                samples |= zip(places, single.sample(places.size, seed=pair).numpy(), strict=True)
        return np.stack([samples[place] for place in range(k)])

    # -- classes -----------------------------------------------------------------------------

    @property
    def probs(self) -> np.ndarray:
        """Class probabilities, ``[n, ..., classes]`` (of a one, for Bernoulli)."""
        self._require_classes("probs")
        return self._classes[0]

    @property
    def class_probs(self) -> np.ndarray:
        """Probabilities of all classes, ``[n, ..., classes]``; of zero and one, for Bernoulli."""
        if self.model.likelihood.name != "bernoulli":
            return self.probs
        return np.stack([1.0 - self.probs, self.probs], axis=-1)

    def class_pairs(self, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities ``[m, classes]`` beside the labels ``[m]`` of targets (or one-hot rows)."""
        probs, y = self.class_probs, np.asarray(y)
        labels = y.argmax(axis=-1) if y.shape == probs.shape else y
        return probs.reshape(-1, probs.shape[-1]), labels.reshape(-1).astype(int)

    @property
    def entropy(self) -> np.ndarray:
        """Entropy of the predictive probabilities in nats; the total uncertainty."""
        self._require_classes("entropy")
        return self._classes[1]

    @property
    def expected_entropy(self) -> np.ndarray:
        """``E_w[entropy of p(y | x, w)]`` in nats; the aleatoric part."""
        self._require_classes("expected_entropy")
        return self._classes[2]

    @property
    def mutual_information(self) -> np.ndarray:
        """Of label and weights, in nats: ``entropy - expected_entropy``; the epistemic part."""
        self._require_classes("mutual_information")
        return self.entropy - self.expected_entropy

    @cached_property
    def _classes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        total: Any = 0.0
        conditional: Any = 0.0
        for probs, entropy in self._stream(conditionals.classes):
            total = total + probs.sum(axis=0)
            conditional = conditional + entropy.sum(axis=0)
        mean = total / self.draws
        return mean, self._entropy_of(mean), conditional / self.draws

    def _entropy_of(self, probs: np.ndarray) -> np.ndarray:
        return np.asarray(conditionals.entropy(self.model.likelihood, probs))

    def _require_classes(self, name: str) -> None:
        if not self.model.likelihood.is_classification:
            raise ModelError(
                f"{name} is for classes; the likelihood is {self.model.likelihood.name!r}. "
                "Use mean, aleatoric, epistemic or interval."
            )

    # -- the stream of outputs ---------------------------------------------------------------

    def outputs(self) -> np.ndarray:
        """The net's outputs under all draws: ``[draws, n, ...]``."""
        return np.stack([outputs.numpy() for _, outputs, _ in self._all_outputs()])

    def _cdf(self, values: np.ndarray) -> np.ndarray:
        """The mixture's cdf at ``values [q, n, ...]``."""
        rows_first = np.moveaxis(values, 0, 1)
        total = sum(terms.sum(axis=0) for terms in self._stream(conditionals.cdf, rows_first))
        return np.moveaxis(total / self.draws, 1, 0)

    def _stream(self, statistic: Statistic, extra: Any = None) -> Iterator[Any]:
        """Yield ``statistic`` for blocks of draws: arrays ``[block, n, ...]`` in float64."""
        for start in range(0, self.draws, self.block):
            stop = min(start + self.block, self.draws)
            yield _joined(
                [
                    conditionals.compiled(self.model, statistic)(
                        *self._outputs_of(start, stop, rows),
                        None if extra is None else tf.convert_to_tensor(extra[rows]),
                    )
                    for rows in self._row_slices()
                ]
            )

    def _all_outputs(self) -> Iterator[tuple[int, tf.Tensor, dict[str, tf.Tensor]]]:
        """Yield (draw, outputs of all rows, learned parameters) one draw after the other."""
        for start in range(0, self.draws, self.block):
            stop = min(start + self.block, self.draws)
            parts = [self._outputs_of(start, stop, rows) for rows in self._row_slices()]
            outputs = tf.concat([part[0] for part in parts], axis=1)
            for i in range(stop - start):
                yield start + i, outputs[i], {n: v[i] for n, v in parts[0][1].items()}

    def _outputs_of(
        self, start: int, stop: int, rows: slice
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Outputs ``[block, rows, ...]`` and learned parameters ``[block, ...]``."""
        place = (start, rows.start)
        if place in self._kept:
            return self._kept[place]
        x = tf.nest.map_structure(lambda part: tf.convert_to_tensor(part[rows]), self._inputs)
        states = self._states_of(start, stop)
        outputs, parameters = conditionals.forward(self.model, self.block > 1)(states, x)
        if self.keep or self._size_of_all(outputs) <= KEEP_BYTES:
            self._kept[place] = (outputs, parameters)
        return outputs, parameters

    def _states_of(self, start: int, stop: int) -> dict[str, tf.Tensor]:
        """The states of a block of draws, for all its rows; drawn with those of the next blocks."""
        if start not in self._states:
            end = min(start + self.states_at_once, self.draws)
            states = self.posterior.states(start, end, self.seed, self.draws)
            blocks = range(start, end, stop - start)
            parts = {name: tf.split(value, len(blocks)) for name, value in states.items()}
            self._states = {
                place: {name: part[i] for name, part in parts.items()}
                for i, place in enumerate(blocks)
            }
        return self._states[start]

    @cached_property
    def _inputs(self) -> Any:
        """The inputs; as tensors where these are small, for each draw would copy them anew."""
        size = sum(np.asarray(part).nbytes for part in tf.nest.flatten(self.x))
        if size > KEEP_BYTES:
            return self.x
        return tf.nest.map_structure(tf.convert_to_tensor, self.x)

    def _size_of_all(self, outputs: tf.Tensor) -> int:
        block, rows = outputs.shape[:2]
        return (
            int(np.prod(outputs.shape))
            * outputs.dtype.size
            * self.draws
            * self.num_rows
            // (block * rows)
        )

    @cached_property
    def _kept(self) -> dict[tuple[int, int], tuple[tf.Tensor, dict[str, tf.Tensor]]]:
        return {}

    @cached_property
    def _states(self) -> dict[int, dict[str, tf.Tensor]]:
        return {}

    def _row_slices(self) -> Iterator[slice]:
        for start in range(0, self.num_rows, self.batch_size):
            yield slice(start, min(start + self.batch_size, self.num_rows))

    def _targets(self, y: Any) -> np.ndarray:
        y = labels_by_name(np.asarray(y), getattr(self.model, "info", None) or self.model)
        if len(y) != self.num_rows:
            raise DataError(
                f"Expected one target for each of {self.num_rows} rows. Received: {len(y)}."
            )
        return y


def _joined(parts: list[Any]) -> Any:
    """Join row batches ``[block, rows, ...]`` of tensors, or of tuples of tensors, as float64."""
    if isinstance(parts[0], tuple):
        return tuple(_joined(list(column)) for column in zip(*parts, strict=True))
    arrays = [part.numpy().astype(np.float64, copy=False) for part in parts]
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=1)
