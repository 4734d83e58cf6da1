"""EncoderDecoder: what all models of this plugin share: two nets, a likelihood, and files."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from tfbdl import likelihoods, random
from tfbdl.data import Dataset, as_dataset
from tfbdl.errors import DataError, ModelError, OptionsError, TfbdlWarning, did_you_mean
from tfbdl.inference.rows import set_num_data
from tfbdl.inference.surrogate import read
from tfbdl.learned import Learned
from tfbdl.likelihoods import Bernoulli, Categorical, Likelihood
from tfbdl.trainable import BATCH_SIZE, TrainableModel

from . import bayesian_decoder
from .stored import Stored

GREY = ("sample", "mean")


class EncoderDecoder(Stored, TrainableModel):
    """An encoder from rows to codes and a decoder from codes to a distribution of rows.

    Args:
        encoder: A Keras net from ``x [n, ...]`` to ``[n, units]``.
        decoder: A Keras net from ``z [n, latent_dim]`` to the outputs that the likelihood asks for;
            or a BayesianNetwork of such a net with the same likelihood, whose weights are then
            random too: each step draws them once, and the loss of a row bears its share
            ``KL(q(weights) || prior) / num_data``.
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
    default_learning_rate = 1e-3

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
        if self.is_bayesian:
            bayesian_decoder.check_likelihood(decoder, self.likelihood)
            num_data = num_data or decoder.given_num_data
            self.decoder_kl_metric = keras.metrics.Mean(name="decoder_kl")
        self.grey, self.given_num_data = grey, num_data
        self.num_data_seen = self.add_state("num_data_seen", np.int64(num_data or 0))
        own = {} if self.is_bayesian else self.likelihood.parameters(keras.config.floatx())
        self.learned = {
            f"likelihood.{key}": Learned(parameter=key, site=None, definition=definition)
            for key, definition in own.items()
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

    @property
    def decoder_net(self) -> keras.Model:
        """The decoder, or the net inside a Bayesian one."""
        return self.decoder.net if self.is_bayesian else self.decoder

    def build(self, input_shape: Any) -> None:
        """Build both nets."""
        labels = isinstance(self.likelihood, Categorical)
        rows = keras.KerasTensor(input_shape, "int32" if labels else keras.config.floatx())
        codes = keras.KerasTensor((None, self.latent_dim), keras.config.floatx())
        for net, inputs in ((self.encoder, rows), (self.decoder_net, codes)):
            if not net.built:
                net(inputs)  # a subclassed net is built by a call alone
        if not self.decoder.built:
            self.decoder.build(codes.shape)
        self._check_nets()
        self.built = True

    def _check_nets(self) -> None:
        units = _last(getattr(self.encoder, "output_shape", None))
        if units not in (None, self.units):
            raise ModelError(
                f"The encoder must end in {self.units} units for latent_dim={self.latent_dim}. "
                f"Received: an encoder that ends in {units}."
            )
        if self.is_bayesian:
            bayesian_decoder.check_sites(self.decoder)
        taken = _last(getattr(self.decoder_net, "input_shape", None))
        if taken not in (None, self.latent_dim):
            raise ModelError(
                f"The decoder must take codes [n, {self.latent_dim}]. "
                f"Received: a decoder of inputs [n, {taken}]."
            )
        self._check_outputs()

    def _check_outputs(self) -> None:
        """Refuse a decoder whose outputs are not those of the encoder's rows."""
        row = getattr(self.encoder, "input_shape", None)
        given = getattr(self.decoder_net, "output_shape", None)
        if not isinstance(row, tuple) or not isinstance(given, tuple) or len(row) < 2:
            return
        if isinstance(self.likelihood, Categorical):
            one_label = row[-1] == 1 and _fits(given[:-1], row[:-1])
            fits = _fits(given[:-1], row) or _fits(given, row) or one_label  # second: one-hot rows
            wanted: tuple[Any, ...] = (*row[1:], "classes")
        else:
            last = row[-1] and self.likelihood.outputs_for(row[-1])
            wanted = (*row[1:-1], last)
            fits = _fits(given, (None, *wanted))
        if not fits:
            raise ModelError(
                f"The decoder must give outputs [n, {', '.join(map(str, wanted))}], as the "
                f"likelihood {self.likelihood.name!r} takes them for rows "
                f"[n, {', '.join(map(str, row[1:]))}] of the encoder. "
                f"Received: outputs [n, {', '.join(map(str, given[1:]))}]."
            )

    # -- Keras' verbs ----------------------------------------------------------------------------

    def evaluate(
        self, x: Any = None, y: Any = None, batch_size: int | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        """As in Keras: means over rows, with noise of its own; ``y`` plays no part.

        Raises:
            DataError: If the rows do not suit the model, or have weights.
        """
        if not kwargs.get("_use_cached_eval_dataset"):
            data = self.training_rows(x)
            self._make_ready(data)
            x = data.batches(batch_size or BATCH_SIZE, seed=0, shuffle=False, repeat=False)
        return super().evaluate(x, None, None, *args, **kwargs)

    def train_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """As in Keras; the rows are not checked."""
        self._make_ready(x)
        return super().train_on_batch(x, *args, **kwargs)

    def test_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """As in Keras; the rows are not checked."""
        self._make_ready(x)
        return super().test_on_batch(x, *args, **kwargs)

    def _make_ready(self, rows: Any) -> None:
        """Build what is not built.

        Raises:
            DataError: If a term is weighted by a number of rows that nobody knows.
        """
        if self.needs_num_data and self.num_data is None:
            raise DataError(
                "The number of training rows is not known, and a term of the loss is weighted by "
                f"it. Give {type(self).__name__}(..., num_data=N), or fit first."
            )
        if not self.built:
            first = rows if not isinstance(rows, Dataset) else _first_row(rows)
            self(tf.convert_to_tensor(first))

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
        net = self.decoder_net
        units = _last(getattr(net, "output_shape", None)) if net.built else None
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
        """Count the rows, see whether any is grey, and build what is not built.

        Raises:
            DataError: If the rows cannot be counted and must be, or a stream's do not suit.
        """
        if set_num_data(self, data.num_rows) is None and self.needs_num_data:
            raise DataError(
                "The number of training rows cannot be told from this stream, and a KL term is "
                f"weighted by it. Give {type(self).__name__}(..., num_data=N)."
            )
        if data.stream is not None:  # of its batches the first stands for all
            first = next(iter(data.stream))
            self.check_rows(first[0].numpy() if isinstance(first, tuple) else first.numpy())
        grey = True
        if isinstance(self.likelihood, Bernoulli) and data.stream is None:
            grey = bool(((data.x > 0) & (data.x < 1)).any())
            if grey and self.grey == "mean":
                warnings.warn(
                    "grey='mean' takes values between 0 and 1 as they are: what is called "
                    "reconstruction and elbo is a cross entropy, and no likelihood of the data. "
                    "Do not compare it with figures of binary data; see grey='sample'.",
                    TfbdlWarning,
                    stacklevel=3,
                )
        if grey != self.has_grey:
            self.has_grey, self.train_function = grey, None  # traced with the other before
        if not self.built:
            self(tf.convert_to_tensor(_first_row(data)))

    @property
    def needs_num_data(self) -> bool:
        """Whether the objective weighs a term by the number of rows."""
        return self.is_bayesian

    @property
    def num_data(self) -> int | None:
        """Number of training rows, or None if it is not known yet."""
        return int(self.num_data_seen.numpy()) or None

    @num_data.setter
    def num_data(self, rows: int) -> None:
        self.num_data_seen.assign(rows)
        if self.is_bayesian:
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
        if self.is_bayesian:
            return bayesian_decoder.learned_parameters(self.decoder)
        return {
            item.parameter: item.constrain(read(self.learned_raw[name]))
            for name, item in self.learned.items()
        }

    def outputs(
        self, z: tf.Tensor, key: tf.Tensor | None = None, training: bool | None = None
    ) -> tuple[tf.Tensor, tf.Tensor | float]:
        """The decoder's outputs at codes ``z [m, d]``, and the KL of its weights in nats.

        Args:
            z: Codes.
            key: Of the draw of a Bayesian decoder's weights; None: their mean.
            training: As in Keras; with None there is no loss, and the KL is left out.
        """
        decoder = self.decoder
        if not self.is_bayesian:
            return widened(decoder(z, training=training)), 0.0
        if not decoder.built:
            decoder(z)
        outputs, draw, added = bayesian_decoder.run(decoder, key, z, bool(training))
        if training:
            self.add_loss(added)
        return widened(outputs), 0.0 if training is None else decoder.kl(draw)

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
        """A Bayesian decoder's share of one row's loss: ``kl_weight * KL / num_data``."""
        if not self.is_bayesian:
            return tf.zeros((), dtype)
        self.decoder_kl_metric.update_state(kl)
        weight = self.decoder.kl_weight
        weight = weight(read(self.rng_step)) if callable(weight) else weight
        return self.per_row(tf.cast(weight, dtype) * tf.cast(kl, dtype), dtype)

    def per_row(self, nats: Any, dtype: Any) -> tf.Tensor:
        """A term of the bound of all data, as one row's share of it: ``nats / num_data``."""
        rows = tf.cast(read(self.num_data_seen), dtype)
        return tf.math.divide_no_nan(tf.cast(nats, dtype), rows)


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


def _first_row(data: Dataset) -> Any:
    return data.x[:1] if data.stream is None else next(iter(data.stream))[:1]


def _last(shape: Any) -> int | None:
    return shape[-1] if isinstance(shape, tuple) and shape else None


def _fits(given: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return len(given) == len(expected) and all(
        wanted in (None, length) for length, wanted in zip(given[1:], expected[1:], strict=True)
    )
