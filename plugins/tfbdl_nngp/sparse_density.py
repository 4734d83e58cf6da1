"""The joint density of a process by inducing points, for engines that draw or climb."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfbdl import random
from tfbdl.inference.surrogate import read
from tfbdl.protocols import Params, Site

from . import expected
from .config import SparseOptions
from .families import INITIAL, Family, Hyperparameter
from .sparse_function import Projection, project

tfb, tfd = tfp.bijectors, tfp.distributions

VALUES = "v"
"""The site of the whitened function at the inducing points, ``[m, k]``; f there is ``L v``."""


class SparseDensity:
    """The part of a SparseProcess that samplers use; it knows of no training.

    Attributes:
        options: Of the model.
        family: Of the kernel.
        inducing: Standardised places of the inducing points, a weight ``[m, d]``.
        raw: Hyperparameter -> the weight with its logarithm.
        num_classes: None for targets that are numbers.
        num_outputs: Functions: one for two classes, else one for each class or target.
    """

    options: SparseOptions
    family: Family
    inducing: keras.Variable
    raw: dict[str, keras.Variable]
    num_classes: int | None
    num_outputs: int
    num_data_seen: keras.Variable
    moments: dict[str, keras.Variable]

    @property
    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """What the data decide beside the function, the noise last."""
        learns_noise = self.num_classes is None and self.options.noise is None
        own = (Hyperparameter("noise", (), INITIAL["noise"]),) if learns_noise else ()
        return (*self.family.free, *own)

    @property
    def sites(self) -> tuple[Site, ...]:
        """The function at the inducing points, whitened, and the hyperparameters."""
        shape = (int(self.inducing.shape[0]), self.num_outputs)
        own = [Site(h.name, h.shape, tfb.Exp(), "float64") for h in self.hyperparameters]
        return (Site(VALUES, shape, None, "float64"), *own)

    def init(self, seed: int) -> dict[str, tf.Tensor]:
        """Near zero, and near the hyperparameters as they stand."""
        key = random.key(seed, "start")
        found = {}
        for site in self.sites:
            noise = 0.1 * random.normal(site.shape, random.fold_in(key, site.name), "float64")
            learned = site.name in self.raw
            found[site.name] = tf.exp(read(self.raw[site.name]) + noise) if learned else noise
        return found

    def prior_of(self, site: str, params: Params | None = None) -> Any:
        """Standard normal of the values, LogNormal(log initial, 1) of a hyperparameter."""
        if site == VALUES:
            zeros = tf.zeros(self.sites[0].shape, tf.float64)
            return tfd.Independent(tfd.Normal(zeros, tf.ones_like(zeros)), 2)
        return next(h for h in self.hyperparameters if h.name == site).prior()

    def log_joint(self, params: Params, batch: Any) -> tf.Tensor:
        """Log prior plus ``num_data * mean(E[log p(y | f)])`` with f given the inducing values.

        It is a lower bound of the joint density of values and targets, whose best posterior is
        what it is normalised (Hensman et al. 2015, "MCMC for variationally sparse Gaussian
        processes", (7)); where the inducing points are the rows it is the joint density itself.

        Args:
            params: Values and hyperparameters.
            batch: ``(x, y)``.
        """
        x, y = batch
        rows = self.standardised(x)
        projection = project(self.family, params, read(self.inducing), rows)
        log_lik = self._given_values(projection, params, y)
        total = tf.add_n([self.prior_of(n).log_prob(value) for n, value in params.items()])
        count = tf.cast(read(self.num_data_seen), log_lik.dtype)
        count = tf.where(count > 0, count, tf.cast(tf.shape(log_lik)[0], log_lik.dtype))
        return total + count * tf.reduce_mean(log_lik)

    def mode_notices(self, params: Params, batch: Any) -> list[str]:
        """Of Laplace's approximation, where hyperparameters are sought with the values."""
        if not self.hyperparameters:
            return []
        names = ", ".join(hyper.name for hyper in self.hyperparameters)
        return [
            f"The joint mode of the function and {names} is not where the evidence is largest, and "
            "the normal around it may be far from the posterior. Fix them (model options fixed, "
            "noise, weight_variance, bias_variance) at what engine 'variational' found, or take "
            "'variational' or 'nuts'."
        ]

    def _given_values(self, projection: Projection, params: Params, y: Any) -> tf.Tensor:
        """``E[log p(y | f)]`` of each row, over what the inducing values leave open: ``[n]``."""
        mean = tf.matmul(projection.A, params[VALUES], transpose_a=True)
        left = projection.left[:, tf.newaxis]
        if self.num_classes is None:
            return self.gaussian(y, mean, tf.broadcast_to(left, tf.shape(mean)), params)
        if self.num_outputs == 1:
            return expected.bernoulli(self.labels(y, mean.dtype), mean, left)
        return expected.categorical_bound(self.labels(y, tf.int32), mean, left)

    def gaussian(
        self, y: Any, mean: tf.Tensor, variance: tf.Tensor, params: Mapping[str, Any]
    ) -> tf.Tensor:
        """``E[log p(y | f)]`` of each row of targets in their own units: ``[n]``."""
        scale = read(self.moments["target_scale"])
        targets = tf.reshape(tf.cast(y, mean.dtype), tf.shape(mean))
        targets = (targets - read(self.moments["target_mean"])) / scale
        each = expected.gaussian(targets, mean, variance, self.noise_of(params))
        return each - tf.reduce_sum(tf.math.log(scale))

    def noise_of(self, params: Mapping[str, Any]) -> tf.Tensor:
        """Its variance, of standardised targets."""
        given = self.options.noise
        return params["noise"] if given is None else tf.constant(given, tf.float64)

    def labels(self, y: Any, dtype: Any) -> tf.Tensor:
        """``[n]``."""
        return tf.cast(tf.reshape(y, [-1]), dtype)

    def standardised(self, x: Any) -> tf.Tensor:
        """Inputs ``[n, d]`` in float64, in the units of the inducing points."""
        width = int(self.inducing.shape[1])
        rows = tf.reshape(tf.cast(x, tf.float64), [-1, width])
        return (rows - read(self.moments["input_mean"])) / read(self.moments["input_scale"])

    def hyper_values(self) -> dict[str, tf.Tensor]:
        """Hyperparameter -> its value as it stands."""
        return {name: tf.exp(read(weight)) for name, weight in self.raw.items()}
