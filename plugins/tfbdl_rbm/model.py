"""The restricted Boltzmann machine as a ``keras.Model``, and its factory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf

from tfbdl import random
from tfbdl.config import check_choice
from tfbdl.data import DataInfo, Dataset, as_dataset
from tfbdl.distributions import Prior
from tfbdl.errors import DataError, OptionsError

from . import energy
from .config import RBMOptions
from .queries import Queries
from .units import BinaryUnits, GaussianUnits

_CHOICES = {
    "visible": ("binary", "gaussian"),
    "training": ("cd", "pcd"),
    "grey": ("mean", "sample"),
}


@keras.saving.register_keras_serializable(package="tfbdl_rbm")
class RBM(Queries):
    """A layer of visible and a layer of hidden units, joined by weights.

    ``p(v, h) = exp(-E(v, h)) / Z`` with ``E = -b'v - c'h - v'W h`` for binary visible units;
    ``E = |u - b|² / (2 s²) - c'h - u'W h / s`` with ``u = (v - mean) / scale`` for Gaussian ones.
    ``model(x)`` and ``model.predict(x)`` are the features ``p(h = 1 | v)``.

    Args:
        num_visible: Number of visible units ``d``.
        num_hidden: Number of hidden units, each 0 or 1.
        visible: ``binary`` or ``gaussian``.
        training: ``cd``: chains start at the data of each step; ``pcd``: they go on.
        k: Gibbs steps in a training step.
        num_chains: Chains of ``pcd``.
        grey: What becomes of a value between 0 and 1 of a binary unit: ``mean`` or ``sample``.
        noise_scale: ``s`` of Gaussian units, in standard deviations of the data.
        weight_scale: Standard deviation of the first weights.
        visible_mean: Means of the data, ``[d]``: first biases and base rates of binary units,
            what Gaussian ones are centred at.
        visible_scale: Standard deviations of the data, ``[d]``, for Gaussian units.
        seed: Of the first weights and all noise of training.
        name: Of the model.

    Raises:
        OptionsError: If a choice does not exist, or a number is out of range.

    Example:
        ```python
        rbm = RBM(784, 128, visible_mean=x.mean(0))
        rbm.compile(keras.optimizers.SGD(0.05))
        rbm.fit(x, batch_size=64, epochs=5)
        features = rbm.transform(x)
        ```

    References:
        Smolensky 1986; Hinton 2002; Hinton 2010, "A Practical Guide to Training Restricted
        Boltzmann Machines".
    """

    def __init__(
        self,
        num_visible: int,
        num_hidden: int,
        visible: str = "binary",
        *,
        training: str = "cd",
        k: int = 1,
        num_chains: int = 100,
        grey: str = "mean",
        noise_scale: float = 1.0,
        weight_scale: float = 0.01,
        visible_mean: Sequence[float] | None = None,
        visible_scale: Sequence[float] | None = None,
        seed: int = 0,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, name=name, **kwargs)
        for role, word in (("visible", visible), ("training", training), ("grey", grey)):
            check_choice(role, word, _CHOICES[role])
        _check_positive(num_visible=num_visible, num_hidden=num_hidden, k=k, num_chains=num_chains)
        _check_positive(noise_scale=noise_scale, weight_scale=weight_scale)
        self.num_visible, self.num_hidden, self.visible = num_visible, num_hidden, visible
        self.training_method, self.k, self.num_chains = training, k, num_chains
        self.grey, self.noise_scale, self.weight_scale = grey, noise_scale, weight_scale
        self.visible_mean = _moments("visible_mean", visible_mean, num_visible)
        self.visible_scale = _moments("visible_scale", visible_scale, num_visible)
        self.seed = seed
        self.units = (
            BinaryUnits(self.visible_mean, num_visible)
            if visible == "binary"
            else GaussianUnits(noise_scale, self.visible_mean, self.visible_scale, num_visible)
        )
        self._make_weights()
        means = ["reconstruction_error", *(["pseudo_log_likelihood"] * (visible == "binary"))]
        self.metric_means = {mean: keras.metrics.Mean(name=mean) for mean in means}
        self.built = True

    def _make_weights(self) -> None:
        dtype, shape = self.variable_dtype, (self.num_visible, self.num_hidden)
        first = random.normal(shape, random.key(self.seed, "kernel"), dtype) * self.weight_scale
        self.kernel = self.add_state("kernel", first, trainable=True)
        self.visible_bias = self.add_state(
            "visible_bias", self.units.first_bias().astype(dtype), trainable=True
        )
        self.hidden_bias = self.add_state(
            "hidden_bias", np.zeros(self.num_hidden, dtype), trainable=True
        )
        self.particles = None
        if self.training_method == "pcd":
            key = random.key(self.seed, "first particles")
            start = self.units.base_draw(self.num_chains, key, dtype)
            self.particles = self.add_state("particles", start)

    def call(self, inputs: Any, training: bool | None = None) -> tf.Tensor:
        """The features ``p(h = 1 | v)``: ``[n, num_hidden]``."""
        weights = self.weights_now()
        u = self.units.encode(tf.cast(inputs, weights.W.dtype))
        return tf.sigmoid(energy.hidden_logits(self.units, weights, u))

    def training_rows(self, x: Any, y: Any = None, what: str = "x") -> Dataset:
        """Any data as checked rows in memory, without targets.

        Raises:
            DataError: If the rows are not ``[n, d]``, hold NaN or, for binary units, values outside
                [0, 1]; or rows have weights.
        """
        return self.rows_alone(as_dataset(x).in_memory(), what)

    # -- copies ---------------------------------------------------------------------------------

    def clone(self, seed: int | None = None) -> Self:
        """A copy, initialised anew from ``seed``; with None the same weights and chains."""
        copy = type(self)(**{**self.get_config(), "seed": self.seed if seed is None else seed})
        if seed is None:
            copy.set_weights(self.get_weights())
        return copy

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as plain values."""
        own = (
            "num_visible num_hidden visible k num_chains grey noise_scale weight_scale "
            "visible_mean visible_scale seed name"
        )
        values = {name: getattr(self, name) for name in own.split()}
        return {**values, "training": self.training_method, "dtype": self.dtype_policy.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> RBM:
        """The inverse of ``get_config``."""
        return cls(**config)


def build(options: RBMOptions, info: DataInfo | None, prior: Prior | None, seed: int) -> RBM:
    """Make the machine for data that ``info`` describes.

    Args:
        options: See RBMOptions.
        info: Shape and moments of the training data.
        prior: None; the weights have no prior.
        seed: Of the first weights and the noise.

    Raises:
        DataError: If the rows are not vectors.
    """
    shape = None if info is None else info.x_shape
    if info is None or not isinstance(shape, tuple) or len(shape) != 1 or shape[0] is None:
        raise DataError(
            "A restricted Boltzmann machine takes rows [n, d]; flatten images first. "
            f"Received: {'no data' if shape is None else f'rows of shape {shape}'}."
        )
    arguments = options.model_dump()
    visible_scale = info.x_std if options.visible == "gaussian" else None
    return RBM(
        shape[0],
        **arguments,
        visible_mean=info.x_mean,
        visible_scale=visible_scale,
        seed=seed,
        name="rbm",
    )


def _check_positive(**given: float) -> None:
    for name, value in given.items():
        least = "at least 1" if isinstance(value, int) else "above 0"
        if value <= 0:
            raise OptionsError(f"{name} must be {least}. Received: {value!r}.")


def _moments(name: str, given: Sequence[float] | None, size: int) -> tuple[float, ...] | None:
    if given is None:
        return None
    values = tuple(float(value) for value in np.asarray(given).reshape(-1))
    if len(values) != size or not np.isfinite(values).all():
        raise OptionsError(
            f"{name} must be {size} finite numbers, one for each visible unit. "
            f"Received: {len(values)} numbers."
        )
    return values
