"""DCIGN: a VAE whose latent variables learn one factor each, from batches in which it varies."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from tfbdl.config import check_whole
from tfbdl.data import Dataset, as_dataset
from tfbdl.errors import DataError, OptionsError
from tfbdl.specs import Capability
from tfbdl.trainable import THREAD

from .encoder_decoder import widened
from .factor_batches import FactorBatches
from .model import VAE
from .replicas import over_replicas
from .schedules import checked_number


@keras.saving.register_keras_serializable(package="tfbdl_vae")
class DCIGN(VAE):
    """A deep convolutional inverse graphics network: latent i < K is trained to be factor i.

    ``fit(x, y)`` takes the factors ``y [n, K]`` that made each row. It trains on mini-batches in
    which one factor alone varies, or what is intrinsic: what makes rows with the same factors
    differ, which the latents from K on hold. In each the encoder's outputs for all other latents
    are clamped to their mean over the batch, so that the decoder has the trained one alone to tell
    rows by; on the way back their gradient is replaced by their difference from that mean, which
    makes them invariant. The trained latent's gradient passes unchanged.

    Which factor varies is all that training uses of ``y``; its values are not regressed upon.
    Evaluation, queries and validation clamp nothing and need no factors. The metrics of training
    are those of the clamped bound: the ``elbo`` in the history and the figures of a run is not a
    bound of the data. ``val_elbo``, a run's ``test_elbo`` and ``model.elbo(x)``, unclamped, are.
    Without factors (K = 0) it is a VAE.

    Args:
        encoder, decoder, latent_dim: As in VAE.
        num_factors: K, at most ``latent_dim``.
        invariance_strength: Of the gradient of a clamped output h, ``strength (h - mean h) / n`` in
            a batch of n rows, the loss being a mean over rows. The released implementation adds
            rows up, and its option of that name acts once in each of two backward passes, so that
            1 here is its 0.5. Its default, 0, leaves clamped outputs without a gradient.
        intrinsic_ratio: How many batches are of the intrinsic type for one of each factor's; 0:
            none. Types of which the data have no batch are left out.
        **options: As in VAE; the posterior is ``diagonal``.

    Raises:
        UnknownNameError, OptionsError, ModelError: As in VAE.

    References:
        Kulkarni et al. 2015, "Deep Convolutional Inverse Graphics Network", section 3.2 and
        figure 4. The ratio 1 : 1 : 1 : 10 is the paper's. It draws one group of rows a batch; here
        small groups fill a batch together, each clamped to a mean of its own. As in the released
        implementation the outputs for mean and scale are clamped before z is drawn, and the KL
        term's gradient goes the same way as that of the reconstruction.

    Example:
        ```python
        model = DCIGN(encoder, decoder, latent_dim=10, num_factors=3)
        model.compile()
        model.fit(x, factors, batch_size=128, epochs=10)
        model.codes(x_test)[:, 0]  # the first factor
        ```
    """

    capabilities = frozenset({Capability.TRAINABLE})  # clamping trains both nets at once
    arguments: ClassVar[tuple[str, ...]] = (
        *VAE.arguments,
        "num_factors",
        "invariance_strength",
        "intrinsic_ratio",
    )

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        latent_dim: int,
        *args: Any,
        num_factors: int,
        invariance_strength: float = 1.0,
        intrinsic_ratio: float = 10.0,
        **options: Any,
    ) -> None:
        count = check_whole("num_factors", num_factors, 0)
        strength = checked_number("invariance_strength", invariance_strength)
        ratio = checked_number("intrinsic_ratio", intrinsic_ratio)
        posterior = options.get("posterior", "diagonal")
        if posterior != "diagonal":
            raise OptionsError(
                "DC-IGN clamps latent dimensions one by one. Expected posterior='diagonal'. "
                f"Received: {posterior!r}."
            )
        if count > check_whole("latent_dim", latent_dim):
            raise OptionsError(
                "Each factor has a latent dimension of its own. Expected num_factors from 0 to "
                f"latent_dim={latent_dim}. Received: {num_factors!r}."
            )
        super().__init__(encoder, decoder, latent_dim, *args, **options)
        self.num_factors, self.invariance_strength, self.intrinsic_ratio = count, strength, ratio

    # -- Keras' verbs ----------------------------------------------------------------------------

    def train_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """As in Keras, on ``(x, labels)``; see FactorBatches, whose batches these are.

        Raises:
            DataError: If there are factors, and no labels that say which of them varies.
        """
        if self.num_factors and not isinstance(x, tuple):
            raise DataError(
                "A step of DC-IGN is on rows in which one factor alone varies. Expected: "
                "train_on_batch((x, labels)), with labels [n, 2] as FactorBatches makes them, or "
                "fit(x, y), which makes such batches. Received: rows without labels."
            )
        return super().train_on_batch(x, *args, **kwargs)

    # -- rows and their factors ------------------------------------------------------------------

    def training_rows(self, x: Any, y: Any = None, what: str = "x") -> Dataset:
        """Checked rows, with their factors as y if these are given.

        Raises:
            DataError: If the rows do not suit the model, or have weights.
        """
        if y is not None and np.ndim(y) > 1 and np.asarray(y).dtype.kind in "bui":
            y = np.asarray(y, "float64")  # a table of whole numbers is none of labels
        data = as_dataset(x if y is None else (x, y))
        if data.info.y_shape is None or not self.num_factors:
            return self.rows_alone(data, what)
        data = data.in_memory()
        return dataclasses.replace(self.rows_alone(data, what), y=data.y)

    def batches(self, data: Dataset, batch_size: int, **options: Any) -> Any:
        """Batches of rows with their type and group; ``shuffle`` plays no part.

        Raises:
            DataError: If the factors are missing, or no two rows differ in one alone.
        """
        if not self.num_factors:
            return super().batches(data, batch_size, **options)
        shape = None if data.y is None else data.y.shape
        if shape is None or int(np.prod(shape[1:])) != self.num_factors:
            raise DataError(
                f"Expected the factors of each row as y [n, {self.num_factors}]. Received: "
                f"{'no y' if shape is None else f'y of shape {list(shape)}'}."
            )
        assert data.y is not None
        factors = data.y.reshape(len(data.y), -1)
        intrinsic = self.intrinsic_ratio if self.latent_dim > self.num_factors else 0.0
        options.pop("shuffle", None)
        return FactorBatches(data.x, factors, intrinsic).batches(batch_size, **options)

    # -- a step ----------------------------------------------------------------------------------

    def call(self, inputs: Any, training: bool | None = None) -> tf.Tensor:
        """As in VAE; ``inputs`` may be ``(x, labels)``, see FactorBatches, and are clamped then."""
        x, THREAD.factor_labels = inputs if isinstance(inputs, tuple) else (inputs, None)
        THREAD.distance = None
        try:
            return super().call(x, training)
        finally:
            del THREAD.factor_labels

    def posterior_of(self, x: tf.Tensor, training: bool | None = None) -> Any:
        """The parameters of q(z | x); within a step of training clamped."""
        outputs = widened(self.encoder(x, training=training))
        labels = getattr(THREAD, "factor_labels", None)
        if labels is not None:
            labels = tf.cast(labels, tf.int32)  # Keras makes floats of them where it builds a model
            owner = np.minimum(np.arange(self.latent_dim), self.num_factors)
            trained = labels[:, :1] == np.tile(owner, 2)  # of the means and of the raw scales
            mean = group_means(outputs, labels[:, 1])
            THREAD.distance = distance(outputs, mean, trained)
            outputs = tf.where(trained, outputs, mean)
        return self.latent_posterior.parameters(outputs)

    def batch_loss(self, x: Any, training: bool) -> tf.Tensor:
        """As in VAE, and zero nats whose gradient draws clamped outputs to their means."""
        loss = super().batch_loss(x, training)
        if THREAD.distance is None:
            return loss
        pull = self.invariance_strength * THREAD.distance
        return loss + tf.cast(pull - tf.stop_gradient(pull), loss.dtype)


def group_means(values: tf.Tensor, groups: tf.Tensor) -> tf.Tensor:
    """The mean over the rows of a group in place of each row, without a gradient.

    Args:
        values: ``[n, m]``.
        groups: Whole numbers from 0 to n - 1, ``[n]``; a group may have rows on several replicas.
    """
    rows = over_replicas(tf.shape(groups)[0])
    ones = tf.ones([tf.shape(groups)[0], 1], values.dtype)
    held = tf.concat([tf.stop_gradient(values), ones], axis=1)
    sums = tf.gather(over_replicas(tf.math.unsorted_segment_sum(held, groups, rows)), groups)
    return sums[:, :-1] / sums[:, -1:]


def distance(values: tf.Tensor, mean: tf.Tensor, trained: tf.Tensor) -> tf.Tensor:
    """Half the squared distance of clamped values from their means, a mean over all n rows.

    Its gradient by a clamped value is ``(value - mean) / n``, by a trained one zero.

    Args:
        values, mean: ``[n, m]``.
        trained: Which are not clamped, ``[n, m]``.
    """
    squares = tf.where(trained, tf.zeros_like(values), tf.square(values - mean))
    rows = tf.cast(over_replicas(tf.shape(values)[0]), values.dtype)
    return over_replicas(tf.reduce_sum(squares)) / (2.0 * rows)
