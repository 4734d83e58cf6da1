"""Families of kernels: a covariance as a function of its hyperparameters, in a graph."""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfbdl.errors import OptionsError, did_you_mean

from .config import NetworkOptions, WrittenOptions
from .covariance_function import CovarianceFunction
from .expression import Factor, parse
from .kernel import Kernel

psd, tfd = tfp.math.psd_kernels, tfp.distributions

INITIAL = {
    "bias_variance": 0.1,
    "length_scale": 1.0,
    "mixture": 1.0,
    "noise": 0.1,
    "period": 1.0,
    "variance": 1.0,
    "weight_variance": 1.5,
}
"""Where the search begins; the priors' medians."""


class Hyperparameter(NamedTuple):
    """A positive number, or several, with the prior LogNormal(log initial, 1).

    Attributes:
        name: Of the site.
        shape: ``()`` or ``(d,)``.
        initial: Where the search begins, and the median of the prior.
    """

    name: str
    shape: tuple[int, ...]
    initial: float

    def prior(self) -> Any:
        """LogNormal(log initial, 1), independent; its event shape is the shape."""
        loc = tf.fill(self.shape, tf.constant(math.log(self.initial), tf.float64))
        prior = tfd.LogNormal(loc, tf.ones_like(loc))
        return tfd.Independent(prior, len(self.shape)) if self.shape else prior


class Family(abc.ABC):
    """Kernels that differ in their hyperparameters.

    Attributes:
        free: Hyperparameters that the data decide.
    """

    free: tuple[Hyperparameter, ...]

    @abc.abstractmethod
    def between(
        self, params: Mapping[str, Any], x1: tf.Tensor, x2: tf.Tensor, *, paired: bool = False
    ) -> tf.Tensor:
        """The covariance ``[n1, n2]``; with ``paired`` of rows of the same number, ``[n]``.

        Args:
            params: A value for each free hyperparameter; others are ignored.
            x1: ``[n1, d]``, float64.
            x2: ``[n2, d]``.
            paired: Whether x1 and x2 have as many rows, each with its own.
        """

    def at(self, params: Mapping[str, Any]) -> CovarianceFunction:
        """The kernel with these hyperparameters; they are arguments of one compiled program."""
        own = {h.name: tf.constant(params[h.name], tf.float64) for h in self.free}

        def between(x1: tf.Tensor, x2: tf.Tensor) -> tf.Tensor:
            return self._compiled(int(x1.shape[1]))[0](own, x1, x2)

        def paired(x: tf.Tensor) -> tf.Tensor:
            return self._compiled(int(x.shape[1]))[1](own, x)

        return CovarianceFunction(between, paired, "float64", compiled=True)

    def _compiled(self, columns: int) -> tuple[Any, Any]:
        """Both programs for any number of rows: one graph, and so the same bits, for all."""
        known = self.__dict__.setdefault("_programs", {})
        if columns not in known:
            rows = tf.TensorSpec([None, columns], tf.float64)
            own = {h.name: tf.TensorSpec(h.shape, tf.float64) for h in self.free}

            def paired(params: Mapping[str, Any], x: tf.Tensor) -> tf.Tensor:
                return self.between(params, x, x, paired=True)

            known[columns] = (
                tf.function(self.between, input_signature=[own, rows, rows], autograph=False),
                tf.function(paired, input_signature=[own, rows], autograph=False),
            )
        return known[columns][0], known[columns][1]


class NetworkFamily(Family):
    """Infinitely wide networks with variances of weights and biases.

    Args:
        options: Of the model.
    """

    def __init__(self, options: NetworkOptions) -> None:
        self.options = options
        words = ("weight_variance", "bias_variance")
        self._given = {word: getattr(options, word) for word in words}
        self.free = tuple(
            Hyperparameter(word, (), INITIAL[word]) for word in words if self._given[word] is None
        )

    def between(
        self, params: Mapping[str, Any], x1: tf.Tensor, x2: tf.Tensor, *, paired: bool = False
    ) -> tf.Tensor:
        """See Family."""
        variances = {n: params[n] if value is None else value for n, value in self._given.items()}
        kernel = Kernel.mlp(self.options.depth, self.options.activation, **variances)
        return kernel.between(x1, x2, self.options.kernel, paired=paired)


class WrittenFamily(Family):
    """Sums and products of kernels of TensorFlow Probability.

    Args:
        options: Of the model.
        columns: d.

    Raises:
        OptionsError: If a value is given for a hyperparameter that there is not, or is none.
    """

    def __init__(self, options: WrittenOptions, columns: int) -> None:
        self.terms = parse(options.kernel)
        wanted: dict[str, tuple[int, ...]] = {}
        for term in self.terms:
            wanted[term.variance] = ()
            for factor in term.factors:
                for word, name in factor.names.items():
                    wanted[name] = (columns,) if options.ard and word == "length_scale" else ()
        self._given = _given(options.fixed or {}, wanted)
        self.free = tuple(
            Hyperparameter(name, shape, INITIAL[name.rstrip("_0123456789")])
            for name, shape in wanted.items()
            if name not in self._given
        )

    def between(
        self, params: Mapping[str, Any], x1: tf.Tensor, x2: tf.Tensor, *, paired: bool = False
    ) -> tf.Tensor:
        """See Family."""
        values = {**params, **self._given}
        total = None
        for term in self.terms:
            product = tf.convert_to_tensor(values[term.variance], x1.dtype)
            for factor in term.factors:
                own = {word: values[name] for word, name in factor.names.items()}
                product = product * _factor(factor, own, x1, x2, paired)
            total = product if total is None else total + product
        shape = tf.shape(x1)[:1] if paired else tf.stack([tf.shape(x1)[0], tf.shape(x2)[0]])
        return tf.broadcast_to(total, shape)


def _factor(
    factor: Factor, own: Mapping[str, Any], x1: tf.Tensor, x2: tf.Tensor, paired: bool
) -> tf.Tensor:
    one = tf.ones([], x1.dtype)
    if factor.kind == "constant":
        return one
    values = {word: tf.convert_to_tensor(value, x1.dtype) for word, value in own.items()}
    if factor.kind == "periodic":
        # sin^2 of each input by itself, so that scales divide the sine
        return _periodic(x1, x2, values["length_scale"], values["period"], paired)
    x1, x2 = x1 / values["length_scale"], x2 / values["length_scale"]
    kernel = {
        "linear": lambda: psd.Linear(),
        "matern12": lambda: psd.MaternOneHalf(one, one),
        "matern32": lambda: psd.MaternThreeHalves(one, one),
        "matern52": lambda: psd.MaternFiveHalves(one, one),
        "rational_quadratic": lambda: psd.RationalQuadratic(
            one, one, scale_mixture_rate=values["mixture"]
        ),
        "rbf": lambda: psd.ExponentiatedQuadratic(one, one),
    }[factor.kind]()
    return kernel.apply(x1, x2, example_ndims=1) if paired else kernel.matrix(x1, x2)


def _periodic(
    x1: tf.Tensor, x2: tf.Tensor, length_scale: tf.Tensor, period: tf.Tensor, paired: bool
) -> tf.Tensor:
    """``exp(-2 sum_i sin^2(pi (x_i - x'_i) / period) / length_scale_i^2)`` (MacKay 1998).

    ``2 sin^2(a - b) = 1 - cos 2a cos 2b - sin 2a sin 2b`` makes it a product of matrices.
    """
    waves = []
    for x in (x1, x2):
        angle = x * (2.0 * np.pi) / period
        scaled = tf.concat([tf.cos(angle) / length_scale, tf.sin(angle) / length_scale], axis=1)
        waves.append(scaled)
    likeness = (
        tf.reduce_sum(waves[0] * waves[1], axis=1)
        if paired
        else tf.matmul(waves[0], waves[1], transpose_b=True)
    )
    most = tf.reduce_sum(waves[0] ** 2, axis=1)
    return tf.exp(likeness - (most if paired else most[:, tf.newaxis]))


def _given(fixed: Any, wanted: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    found = {}
    for name, value in dict(fixed).items():
        if name not in wanted:
            raise OptionsError(
                f"The kernel has no hyperparameter {name!r}.{did_you_mean(name, wanted)} "
                f"Known: {', '.join(wanted)}."
            )
        array = np.asarray(value, np.float64)
        if array.shape not in ((), wanted[name]) or not (array > 0.0).all():
            raise OptionsError(
                f"{name} must be above 0, of shape {wanted[name]}. Received: {value!r}."
            )
        found[name] = np.broadcast_to(array, wanted[name])
    return found
