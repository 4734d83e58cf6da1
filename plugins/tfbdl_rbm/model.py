"""The restricted Boltzmann machine as a ``keras.Model``, and its factory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf

from tfbdl import random
from tfbdl.data import DataInfo, Dataset, as_dataset
from tfbdl.distributions import Prior
from tfbdl.errors import DataError, OptionsError, did_you_mean
from tfbdl.specs import Capability

from . import energy
from .config import RBMOptions
from .queries import Queries
from .units import BinaryUnits, GaussianUnits

BATCH_SIZE = 32
_CHOICES = {
    "visible": ("binary", "gaussian"),
    "training": ("cd", "pcd"),
    "grey": ("mean", "sample"),
}


@keras.saving.register_keras_serializable(package="tfbdl_rbm")
class RBM(Queries, keras.Model):
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

    capabilities = frozenset({Capability.TRAINABLE})
    default_engine = "variational"
    takes_datasets = True

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
        super().__init__(name=name, **kwargs)
        _check_choices(visible=visible, training=training, grey=grey)
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
        self.kernel = self._weight("kernel", first)
        self.visible_bias = self._weight("visible_bias", self.units.first_bias().astype(dtype))
        self.hidden_bias = self._weight("hidden_bias", np.zeros(self.num_hidden, dtype))
        self.rng_seed = self._weight("rng_seed", np.int64(self.seed), trainable=False)
        self.rng_step = self._weight("rng_step", np.int64(0), trainable=False)
        self.particles = None
        if self.training_method == "pcd":
            key = random.key(self.seed, "first particles")
            start = self.units.base_draw(self.num_chains, key, dtype)
            self.particles = self._weight("particles", start, trainable=False)

    def _weight(self, name: str, value: Any, trainable: bool = True) -> keras.Variable:
        more = {} if trainable else {"aggregation": "only_first_replica"}
        weight = self.add_weight(
            name=name,
            shape=np.shape(value),
            dtype=str(np.asarray(value).dtype),
            initializer="zeros",
            trainable=trainable,
            autocast=False,
            **more,
        )
        weight.assign(value)
        return weight

    # -- Keras' verbs ---------------------------------------------------------------------------

    def call(self, inputs: Any, training: bool | None = None) -> tf.Tensor:
        """The features ``p(h = 1 | v)``: ``[n, num_hidden]``."""
        weights = self.weights_now()
        u = self.units.encode(tf.cast(inputs, weights.W.dtype))
        return tf.sigmoid(energy.hidden_logits(self.units, weights, u))

    def compile(self, optimizer: Any = "adam", loss: Any = None, **kwargs: Any) -> None:
        """As in Keras, without a loss.

        Raises:
            OptionsError: If a loss is given.
        """
        if loss is not None:
            raise OptionsError(
                "A restricted Boltzmann machine has its own objective, contrastive divergence, and "
                f"takes no loss. Received: loss={loss!r}."
            )
        super().compile(optimizer=optimizer, **kwargs)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as a stored model was, and make room for the optimizer's state."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        initial_epoch: int = 0,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """As in Keras; the rows are checked, and ordered by (seed, epoch). Targets play no part.

        Raises:
            DataError: If the rows are not ``[n, d]``, hold NaN or, for binary units, values outside
                [0, 1]; or rows have weights.
        """
        data = self._data(x)
        if validation_split:
            data, validation_data = data.validation_split(validation_split)
        size = batch_size or BATCH_SIZE
        seed = int(self.rng_seed.numpy())
        held_out = None
        if validation_data is not None:
            rows = self._data(validation_data, "x_val")
            held_out = rows.batches(size, seed=seed, shuffle=False, repeat=False)
        kwargs.setdefault("steps_per_epoch", data.steps_per_epoch(size))
        return super().fit(
            data.batches(size, seed=seed, shuffle=shuffle, start_epoch=initial_epoch),
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            validation_data=held_out,
            shuffle=False,  # the batches come in the order they shall have
            initial_epoch=initial_epoch,
            **kwargs,
        )

    def _data(self, x: Any, what: str = "x") -> Dataset:
        data = as_dataset(x).in_memory()
        if data.sample_weight is not None:
            raise DataError(
                "A restricted Boltzmann machine counts each row once. Expected x or (x, y). "
                "Received: a sample_weight."
            )
        self.check_rows(data.x, what)
        return data

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


def _check_choices(**given: str) -> None:
    for name, value in given.items():
        if value not in _CHOICES[name]:
            raise OptionsError(
                f"{name} must be one of {', '.join(_CHOICES[name])}."
                f"{did_you_mean(value, _CHOICES[name])} Received: {value!r}."
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
