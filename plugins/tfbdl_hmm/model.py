"""The hidden Markov model: what a fit leaves to the user."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfbdl import likelihoods, random
from tfbdl.closed_form import ClosedFormPredictive
from tfbdl.config import make
from tfbdl.data import DataInfo
from tfbdl.distributions import Prior
from tfbdl.errors import DataError, OptionsError
from tfbdl.parametric import ParametricModel

from . import paths, programs
from .baum_welch import BaumWelch
from .bayes import Bayesian
from .categorical_emission import CategoricalEmission
from .config import HMMOptions
from .emissions import Emission
from .gaussian_emission import GaussianEmission
from .programs import Found
from .sequences import arrange


class HiddenMarkovModel(BaumWelch, Bayesian, ParametricModel):
    """A chain of states ``z_t`` that are seen through observations ``y_t``.

    ``p(z_1) = initial``, ``p(z_t = j | z_t-1 = i) = transition[i, j]``, and given its state an
    observation is Gaussian or categorical. Methods take one sequence (``[T]`` or ``[T, d]``;
    symbols ``[T]``) or several (``[n, T, d]``; symbols ``[n, T]``), and answer in kind. NaN
    stands for an observation that is missing.

    Args:
        options: See HMMOptions.
        info: The description of the training data, or None without data.
        prior: None; the options hold it.
        seed: Of the run.

    Attributes:
        initial_: ``[k]``.
        transition_: ``[k, k]``, rows sum to one.
        means_, covariances_: ``[k, d]`` and ``[k, d, d]``, of Gaussian observations.
        probs_: ``[k, symbols]``, of categorical ones.

    Example:
        ```python
        fit = tfbdl.fit("hmm", y, model_options={"num_states": 3})
        fit.model.viterbi(y), fit.model.posterior_marginals(y), fit.model.log_prob(y)
        ```
    """

    capabilities = frozenset({"em", "conditionals", "log_joint"})
    missing_values = True
    default_engine = "em"

    def __init__(
        self,
        options: HMMOptions,
        info: DataInfo | None = None,
        prior: Prior | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(options, info, prior, seed)
        self.emission: Emission
        if options.emission == "gaussian":
            self.emission = GaussianEmission(options, _dimension(info))
        else:
            self.emission = CategoricalEmission(options, options.num_symbols)

    @classmethod
    def of(cls, initial: Any, transition: Any, **emission: Any) -> Self:
        """A model of known parameters: ``means`` and ``covariances``, or ``probs``.

        Raises:
            OptionsError: If they are no probabilities or covariances, or do not fit together.
        """
        kind = "categorical" if "probs" in emission else "gaussian"
        model = cls(make(HMMOptions, {"num_states": len(initial), "emission": kind}))
        names = ("initial", "transition", *model.emission.names)
        given = {"initial": initial, "transition": transition, **emission}
        if set(given) != set(names):
            raise OptionsError(f"Expected {', '.join(names)}. Received: {', '.join(given)}.")
        arrays = {name: np.asarray(given[name], np.float64) for name in names}
        k, size = len(initial), np.shape(arrays[names[2]])[-1]
        shapes = {"transition": (k, k), "covariances": (k, size, size)}
        for name, array in arrays.items():
            expected = (k,) if name == "initial" else shapes.get(name, (k, size))
            if array.shape != expected:
                raise OptionsError(
                    f"{name} must have the shape {list(expected)}. Received: {list(array.shape)}."
                )
        model.check_start(arrays)
        model.assign(arrays)
        return model

    def assign(self, params: Mapping[str, Any]) -> None:
        """Take these arrays for the fitted ones."""
        super().assign(params)
        self.emission.size = int(self.params[self.emission.names[0]].shape[-1])

    def log_prob(self, y: Any) -> Any:
        """``log p(y)``, the states summed out, in nats: a number, or ``[n]``."""
        return self._each(y, programs.log_prob, possible=False)

    def posterior_marginals(self, y: Any) -> np.ndarray:
        """``p(z_t | y)`` given the whole sequence: ``[T, k]`` or ``[n, T, k]``."""
        found: np.ndarray = self._each(y, programs.marginals)
        return found

    def pair_marginals(self, y: Any) -> np.ndarray:
        """``p(z_t, z_t+1 | y)``: ``[T - 1, k, k]`` or ``[n, T - 1, k, k]``."""
        found: np.ndarray = self._each(y, programs.pair_marginals)
        return found

    def filter(self, y: Any) -> np.ndarray:
        """``p(z_t | y_1..t)`` given what was seen so far: ``[T, k]`` or ``[n, T, k]``."""
        found: np.ndarray = self._each(y, programs.filtered)
        return found

    def viterbi(self, y: Any, *, return_log_joint: bool = False) -> Any:
        """The most probable path of states, ``[T]`` or ``[n, T]`` int32.

        Steps without an observation belong to the path too, those at the end included.

        Args:
            y: Observations.
            return_log_joint: Whether to give its ``log p(z, y)`` beside it.
        """
        found = self._each(y, programs.best_path, density=True)
        return found if return_log_joint else found[0]

    def predict_states(self, y: Any, steps: int = 1) -> np.ndarray:
        """``p(z_T+s | y_1..T)`` for s from 1 to ``steps``: ``[steps, k]`` or ``[n, steps, k]``.

        Raises:
            OptionsError: If ``steps`` is no positive integer.
        """
        _check_count("steps", steps)
        now = np.asarray(self.filter(y))[..., -1, :]
        ahead = []
        for _ in range(steps):
            now = now @ self.transition_
            ahead.append(now)
        return np.stack(ahead, axis=-2)

    def predict_next(self, y: Any, steps: int = 1) -> Any:
        """The distribution of the observations after the last, as a tfd mixture over the states.

        Args:
            y: Observations.
            steps: How many steps ahead; its batch shape is ``[steps]`` or ``[n, steps]``.
        """
        return self.emission.distribution(
            self._tensors(), tf.constant(self.predict_states(y, steps))
        )

    def sample(self, T: int, n: int = 1, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Draw states ``[n, T]`` and observations: ``[n, T, d]``, or symbols ``[n, T]``.

        Raises:
            OptionsError: If T or n is no positive integer.
        """
        _check_count("T", T)
        _check_count("n", n)
        params, key = self._tensors(), random.key(seed, "hmm sample")
        states = _sample_chain(
            tf.math.log(params["initial"]),
            tf.math.log(params["transition"]),
            n,
            T,
            random.fold_in(key, "states"),
        )
        drawn = self.emission.sample(params, states, random.fold_in(key, "observations"))
        return states.numpy(), drawn.numpy()

    def sample_states(self, y: Any, n: int = 1, seed: int = 0) -> np.ndarray:
        """Draw ``n`` paths from ``p(z | y)``: ``[n, T]``, or ``[n, sequence, T]``.

        Raises:
            OptionsError: If n is no positive integer.
        """
        _check_count("n", n)
        key = random.key(seed, "hmm states")
        drawn: np.ndarray = self._each(y, programs.sample_paths, key, n, axis=1)
        return drawn

    @property
    def likelihood(self) -> likelihoods.Likelihood:
        """What kind of numbers ``predictive`` is about."""
        return likelihoods.get("gaussian" if self.options.emission == "gaussian" else "categorical")

    def predictive(self, x: Any, draws: int = 1, seed: int = 0, **options: Any) -> Any:
        """``p(y_t | y_1..t-1)`` at each step of one sequence, as a Predictive of T rows.

        The aleatoric part is the variance (of symbols the entropy) that is left if the state is
        known; epistemic is what is not known of the state.

        Args:
            x: One sequence.
            draws, seed, **options: Of no effect: the distribution is exact.

        Raises:
            DataError: If several sequences are given.
        """
        y, single = self._arranged(x)
        if not single:
            raise DataError(
                "Predictions step by step are of one sequence. Received: "
                f"{len(y)} sequences; call predictive for each."
            )
        before = self.filter(x)[:-1] @ self.transition_
        states = np.vstack([self.initial_, before])
        params = self._tensors()
        if self.options.emission == "categorical":
            inner = -(self.probs_ * np.log(np.maximum(self.probs_, 1e-300))).sum(axis=-1)
            return ClosedFormPredictive(self, states @ self.probs_, states @ inner)
        variances = np.diagonal(self.covariances_, axis1=-2, axis2=-1)
        distribution = _marginal_mixture(states, params["means"], tf.constant(np.sqrt(variances)))
        return ClosedFormPredictive(self, distribution, states @ variances)

    def _each(
        self,
        y: Any,
        query: Callable[..., Found],
        *more: Any,
        possible: bool = True,
        density: bool = False,
        axis: int = 0,
    ) -> Any:
        """Answer a query in kind.

        Args:
            y: Observations.
            query: Of ``programs``.
            *more: Its further arguments.
            possible: Whether sequences of density zero are refused.
            density: Whether to give the density beside the value.
            axis: Of the value, that of sequences.
        """
        arranged, single = self._arranged(y)
        found: Found = self._answer(query, self._tensors(), tf.constant(arranged), *more)
        value, log_density = found.value.numpy(), found.density.numpy()
        impossible = np.flatnonzero(~np.isfinite(log_density)) if possible else np.empty(0)
        if impossible.size:
            raise DataError(
                "The states of an impossible sequence have no distribution. Expected "
                f"p(y) > 0. Received: p(y) = 0 for sequence {impossible[0]}."
            )
        if single:
            value, log_density = value.take(0, axis), log_density[0]
        return (value, log_density) if density else value

    def _arranged(self, y: Any) -> tuple[np.ndarray, bool]:
        self.fitted()
        return arrange(y, self.options.emission, self.emission.size, self.dtype)

    def _tensors(self) -> dict[str, tf.Tensor]:
        return {name: tf.constant(value, self.dtype) for name, value in self.fitted().items()}


def _dimension(info: DataInfo | None) -> int | None:
    """d, from the shape ``()``, ``(d,)`` or ``(T, d)`` of a row."""
    if info is None or not isinstance(info.x_shape, tuple):
        return None
    return 1 if not info.x_shape else info.x_shape[-1]


def _check_count(name: str, value: Any) -> None:
    if not isinstance(value, (int, np.integer)) or value < 1:
        raise OptionsError(f"{name} must be an integer of at least 1. Received: {value!r}.")


def _marginal_mixture(states: np.ndarray, means: tf.Tensor, deviations: tf.Tensor) -> Any:
    """The mixture of each output by itself: batch ``[T, d]``, scalar events."""
    outputs = means.shape[-1]
    probs = tf.constant(np.repeat(states[:, np.newaxis, :], outputs, axis=1), means.dtype)
    normals = tfd.Normal(tf.transpose(means), tf.transpose(deviations))
    normals = tfd.BatchBroadcast(normals, probs.shape)
    return tfd.MixtureSameFamily(tfd.Categorical(probs=probs), normals)


_sample_chain = tf.function(paths.sample_chain, jit_compile=True, autograph=False)
