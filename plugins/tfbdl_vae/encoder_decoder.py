"""EncoderDecoder: what all models of this plugin share: two nets, a likelihood, and files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import keras
import numpy as np
import tensorflow as tf

import tfbdl
from tfbdl import functional, likelihoods, random
from tfbdl.data import Dataset, as_dataset
from tfbdl.errors import DataError, ModelError, OptionsError, did_you_mean
from tfbdl.inference.rows import set_num_data
from tfbdl.inference.surrogate import read
from tfbdl.learned import Learned
from tfbdl.likelihoods import Bernoulli, Categorical, Likelihood
from tfbdl.trainable import TrainableModel

GREY = ("sample", "mean")


class EncoderDecoder(TrainableModel):
    """An encoder from rows to codes and a decoder from codes to a distribution of rows.

    Args:
        encoder: A Keras net from ``x [n, ...]`` to ``[n, units]``.
        decoder: A Keras net from ``z [n, latent_dim]`` to the outputs that the likelihood asks for;
            or a BayesianNetwork of such a net, whose weights are then random too.
        latent_dim: Size of a code.
        likelihood: p(x | z): a name, or a Likelihood.
        likelihood_options: Options of a likelihood given by name.
        grey: What a value strictly between 0 and 1 is to a Bernoulli likelihood: ``sample``: drawn
            as 0 or 1 anew at each step (dynamic binarisation); ``mean``: taken as it is, and what
            is called a log-likelihood is a cross entropy then.
        num_data: Training rows; by default counted by ``fit``.
        seed: Of the noise of training; None: drawn.
        name: Of the model.

    Attributes:
        units: How many units the encoder must end in.
    """

    arguments: ClassVar[tuple[str, ...]] = ("latent_dim", "grey", "num_data", "name")
    has_grey = True

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        latent_dim: int,
        likelihood: str | Likelihood = "bernoulli",
        *,
        likelihood_options: Mapping[str, Any] | None = None,
        grey: str = "sample",
        num_data: int | None = None,
        seed: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, name=name, dtype=keras.config.floatx(), **kwargs)
        for role, net in (("encoder", encoder), ("decoder", decoder)):
            if not isinstance(net, keras.Layer):
                raise ModelError(f"The {role} must be a Keras 3 model. Received: {net!r}.")
        if not isinstance(latent_dim, (int, np.integer)) or latent_dim < 1:
            raise OptionsError(f"latent_dim must be at least 1. Received: {latent_dim!r}.")
        check_choice("grey", grey, GREY)
        self.encoder, self.decoder, self.latent_dim = encoder, decoder, int(latent_dim)
        self.likelihood = likelihoods.get(likelihood, likelihood_options)
        self.grey, self.given_num_data = grey, num_data
        self.num_data_seen = self.add_state("num_data_seen", np.int64(num_data or 0))
        self.learned = {
            f"likelihood.{key}": Learned(parameter=key, site=None, definition=definition)
            for key, definition in self.likelihood.parameters(keras.config.floatx()).items()
        }
        self.learned_raw = self.raw_weights(self.learned)

    def raw_weights(self, learned: Mapping[str, Learned]) -> dict[str, keras.Variable]:
        """A raw weight for each learned parameter, at its start."""
        seed = int(self.rng_seed.numpy())
        return {
            name: self.add_state(f"{name}.raw", item.initial_raw(seed).numpy(), trainable=True)
            for name, item in learned.items()
        }

    def finish(self) -> None:
        """Check the nets against each other; called where the constructor ends."""
        if self.encoder.built and self.decoder.built:
            self._check_nets()
            self.built = True

    @property
    def units(self) -> int:
        """How many units the encoder must end in."""
        return self.latent_dim

    def build(self, input_shape: Any) -> None:
        """Build both nets."""
        if not self.encoder.built:
            self.encoder.build(input_shape)
        if not self.decoder.built:
            self.decoder.build((None, self.latent_dim))
        self._check_nets()
        self.built = True

    def _check_nets(self) -> None:
        units = _last(getattr(self.encoder, "output_shape", None))
        if units not in (None, self.units):
            raise ModelError(
                f"The encoder must end in {self.units} units for latent_dim={self.latent_dim}. "
                f"Received: an encoder that ends in {units}."
            )
        taken = _last(getattr(self.decoder, "input_shape", None))
        if taken not in (None, self.latent_dim):
            raise ModelError(
                f"The decoder must take codes [n, {self.latent_dim}]. "
                f"Received: a decoder of inputs [n, {taken}]."
            )

    # -- rows ------------------------------------------------------------------------------------

    def check_rows(self, x: Any, what: str = "x") -> None:
        """Refuse rows of another shape, or outside the likelihood's support.

        Raises:
            DataError: With what was expected.
        """
        shape = getattr(self.encoder, "input_shape", None) if self.encoder.built else None
        if isinstance(x, Mapping):
            raise DataError(f"Expected {what} as one array. Received: the arrays {sorted(x)}.")
        if isinstance(shape, tuple) and not _fits(np.shape(x), shape):
            raise DataError(
                f"Expected {what} of shape [n, {', '.join(map(str, shape[1:]))}], as the encoder "
                f"takes it. Received: shape {list(np.shape(x))}."
            )
        units = _last(getattr(self.decoder, "output_shape", None)) if self.decoder.built else None
        if not isinstance(self.likelihood, Bernoulli):
            self.likelihood.check_targets(np.asarray(x), units)
            return
        values = np.asarray(x)
        bad = ~((values >= 0) & (values <= 1))
        if bad.any():
            raise DataError(
                f"A Bernoulli likelihood takes {what} from 0 to 1. Scale the data, or choose "
                f"likelihood='gaussian'. Received: {values[bad][0]} ({int(bad.sum())} such values)."
            )

    def on_fit(self, data: Dataset) -> None:
        """Count the rows, see whether any is grey, and build what is not built."""
        if set_num_data(self, data.num_rows) is None and self.needs_num_data:
            raise DataError(
                "The number of training rows cannot be told from this stream, and a KL term is "
                f"weighted by it. Give {type(self).__name__}(..., num_data=N)."
            )
        grey = True
        if isinstance(self.likelihood, Bernoulli) and data.stream is None:
            grey = bool(((data.x > 0) & (data.x < 1)).any())
        if grey != self.has_grey:
            self.has_grey, self.train_function = grey, None  # traced with the other before
        if not self.built:
            first = data.x[:1] if data.stream is None else next(iter(data.stream))[:1]
            self(tf.convert_to_tensor(first))

    @property
    def needs_num_data(self) -> bool:
        """Whether the objective weighs a term by the number of rows."""
        return isinstance(self.decoder, tfbdl.BayesianNetwork)

    @property
    def num_data(self) -> int | None:
        """Number of training rows, or None if it is not known yet."""
        return int(self.num_data_seen.numpy()) or None

    @num_data.setter
    def num_data(self, rows: int) -> None:
        self.num_data_seen.assign(rows)
        if isinstance(self.decoder, tfbdl.BayesianNetwork):
            self.decoder.num_data = rows

    def observed(self, x: Any, keys: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """The rows as the model sees them: grey values drawn as 0 or 1 where that was asked for.

        Args:
            x: Rows.
            keys: ``[2]``, or ``[n, 2]`` for draws that do not depend on the other rows.
            training: Rows known to be 0 or 1 are left alone in training.
        """
        x = self.unchanged(x)
        binary = training and not self.has_grey
        if not isinstance(self.likelihood, Bernoulli) or self.grey == "mean" or binary:
            return x
        shape = tf.shape(x) if keys.shape.rank == 1 else x.shape[1:]
        return tf.cast(random.uniform(shape, random.fold_in(keys, "grey"), x.dtype) < x, x.dtype)

    def unchanged(self, x: Any) -> tf.Tensor:
        """The rows in the precision, or as the labels, that the nets take."""
        x = tf.convert_to_tensor(x)
        labels = isinstance(self.likelihood, Categorical)
        return tf.cast(x, tf.int32 if labels else keras.config.floatx())

    def rows(self, x: Any, what: str = "x") -> tf.Tensor:
        """Checked rows of a query, in memory.

        Raises:
            DataError: If they do not suit the model.
        """
        data = as_dataset(x.numpy() if isinstance(x, tf.Tensor) else x).in_memory()
        self.check_rows(data.x, what)
        return tf.convert_to_tensor(data.x)

    # -- the likelihood --------------------------------------------------------------------------

    def likelihood_parameters(self) -> dict[str, tf.Tensor]:
        """The likelihood's learned parameters, constrained, by name."""
        return {
            item.parameter: item.constrain(read(self.learned_raw[name]))
            for name, item in self.learned.items()
            if item.site is None
        }

    def outputs(
        self, z: tf.Tensor, key: tf.Tensor | None = None, training: bool | None = None
    ) -> tuple[tf.Tensor, tf.Tensor | float]:
        """The decoder's outputs at codes ``z [m, d]``, and the KL of its weights in nats.

        Args:
            z: Codes.
            key: Of the draw of a Bayesian decoder's weights; None: their mean.
            training: As in Keras.
        """
        decoder = self.decoder
        if not isinstance(decoder, tfbdl.BayesianNetwork):
            return widened(decoder(z, training=training)), 0.0
        if not decoder.built:
            decoder(z)
        params = decoder.surrogate.mean() if key is None else decoder.surrogate.sample(key)
        return decoder.outputs(params, z), decoder.kl(params) if training else 0.0

    def log_lik(self, outputs: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """``log p(x | z)``, ``[S, n]`` nats, of outputs ``[S * n, ...]`` at rows ``[n, ...]``."""
        rows = tf.shape(x)[0]
        draws = tf.shape(outputs)[0] // tf.maximum(rows, 1)
        if outputs.shape[0] is None or outputs.shape[0] != x.shape[0]:
            x = tf.tile(x, tf.concat([[draws], tf.ones([tf.rank(x) - 1], tf.int32)], axis=0))
            x = tf.ensure_shape(x, (None, *x.shape[1:]))
        log_lik = self.likelihood.log_prob(outputs, x, self.likelihood_parameters())
        return tf.reshape(log_lik, [draws, rows])

    def decoder_cost(self, kl: Any, dtype: Any) -> tf.Tensor:
        """``KL of a Bayesian decoder / num_data``: its share of one row's loss."""
        rows = tf.cast(read(self.num_data_seen), dtype)
        return tf.math.divide_no_nan(tf.cast(kl, dtype), rows)

    # -- copies ----------------------------------------------------------------------------------

    def clone(self, seed: int | None = None) -> Self:
        """A copy, initialised anew from ``seed``; with None of the same weights and noise."""
        encoder = functional.clone(self.encoder, seed)
        after = None if seed is None else seed + 1
        if isinstance(self.decoder, tfbdl.BayesianNetwork):
            decoder: Any = self.decoder.clone(after)
        else:
            decoder = functional.clone(self.decoder, after)
        copy = self.from_config(
            {
                **self.own_config(),
                **self.parts(),
                "encoder": encoder,
                "decoder": decoder,
                "seed": seed,
            }
        )
        if seed is None:
            for old, new in zip(self.weights, copy.weights, strict=True):
                new.assign(old)
        return copy

    def own_config(self) -> dict[str, Any]:
        """The constructor's arguments but for nets, seed and ``parts()``, as plain values."""
        given = {"num_data": self.given_num_data}
        return {name: given.get(name, getattr(self, name)) for name in self.arguments}

    def parts(self) -> dict[str, Any]:
        """The likelihood, and what else is an object of its own."""
        return {"likelihood": self.likelihood}

    def named_parts(self) -> dict[str, Any]:
        """The same by name and options.

        Raises:
            ModelError: If one has no name.
        """
        return {
            "likelihood": likelihoods.name_of(self.likelihood),
            "likelihood_options": self.likelihood.get_config(),
        }

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as plain values.

        Raises:
            ModelError: If the likelihood, or another part, has no name to be stored by.
        """
        nets = {"encoder": self.encoder, "decoder": self.decoder}
        stored = {role: keras.saving.serialize_keras_object(net) for role, net in nets.items()}
        seed = int(self.rng_seed.numpy())
        return {**self.own_config(), **self.named_parts(), **stored, "seed": seed}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """The inverse of ``get_config``."""
        arguments = {
            name: keras.saving.deserialize_keras_object(value, custom_objects=custom_objects)
            if isinstance(value, dict) and "class_name" in value
            else value
            for name, value in config.items()
        }
        return cls(**arguments)


def widened(outputs: tf.Tensor) -> tf.Tensor:
    """Outputs in the default precision, whatever the net computes in."""
    return tf.cast(outputs, keras.config.floatx())


def check_choice(name: str, value: str, admitted: tuple[str, ...]) -> None:
    """Raise OptionsError unless ``value`` is admitted."""
    if value not in admitted:
        raise OptionsError(
            f"{name} must be one of {', '.join(admitted)}."
            f"{did_you_mean(value, admitted)} Received: {value!r}."
        )


def _last(shape: Any) -> int | None:
    return shape[-1] if isinstance(shape, tuple) and shape else None


def _fits(given: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return len(given) == len(expected) and all(
        wanted in (None, length) for length, wanted in zip(given[1:], expected[1:], strict=True)
    )
