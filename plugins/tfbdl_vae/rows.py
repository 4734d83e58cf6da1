"""Rows: what an encoder and decoder do with the rows they are given: check, count, binarise."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tfbdl
from tfbdl import random
from tfbdl.data import Dataset, as_dataset
from tfbdl.errors import DataError, TfbdlWarning
from tfbdl.inference.rows import CountedRows, set_num_data
from tfbdl.likelihoods import Bernoulli, Categorical, Likelihood
from tfbdl.trainable import TrainableModel

from .net_shapes import fits, last_axis


class Rows(CountedRows, TrainableModel):
    """The part of an encoder-decoder that takes rows in.

    Attributes:
        encoder: From rows to codes.
        decoder: From codes to outputs.
        likelihood: p(x | z).
        grey: What a value strictly between 0 and 1 is to a Bernoulli likelihood.
        has_grey: Whether rows of training may have such values: False in a ``fit`` on rows known
            to have none.
    """

    encoder: keras.Model
    decoder: keras.Model
    likelihood: Likelihood
    grey: str
    has_grey = True
    traced_grey = True  # what has_grey was to the step of training that is traced
    given_num_data: int | None

    @property
    def is_bayesian(self) -> bool:
        """Whether the decoder's weights are random."""
        return isinstance(self.decoder, tfbdl.BayesianNetwork)

    @property
    def decoder_net(self) -> keras.Model:
        """The decoder, or the net inside a Bayesian one."""
        return self.decoder.net if self.is_bayesian else self.decoder

    # -- Keras' verbs ----------------------------------------------------------------------------

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """See TrainableModel; of rows that come by other ways nothing is known afterwards."""
        try:
            return super().fit(*args, **kwargs)
        finally:
            self.has_grey = True

    def train_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """As in Keras; the rows are not checked."""
        self._trace_for(grey=True)
        return super().train_on_batch(x, *args, **kwargs)

    def _trace_for(self, grey: bool) -> None:
        """Have the step of training traced anew if it was for other rows."""
        self.has_grey = grey
        if grey != self.traced_grey:
            self.traced_grey, self.train_function = grey, None

    def make_ready(self, rows: Any) -> None:
        """See TrainableModel.

        Raises:
            DataError: If a term is weighted by a number of rows that nobody knows.
        """
        if self.needs_num_data and self.num_data is None:
            raise DataError(
                "The number of training rows is not known, and a term of the loss is weighted by "
                f"it. Give {type(self).__name__}(..., num_data=N), or fit first."
            )
        if not self.built:
            batch = rows[0] if isinstance(rows, tuple) else rows  # (x, labels)
            first = batch if not isinstance(batch, Dataset) else first_row(batch)
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
        if isinstance(shape, tuple) and not fits(np.shape(x), shape):
            raise DataError(
                f"Expected {what} of shape [n, {', '.join(map(str, shape[1:]))}], as the encoder "
                f"takes it. Received: shape {list(np.shape(x))}."
            )
        net = self.decoder_net
        units = last_axis(net, "output_shape")
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
                    stacklevel=4,
                )
        self._trace_for(grey)
        if not self.built:
            self(tf.convert_to_tensor(first_row(data)))

    @property
    def needs_num_data(self) -> bool:
        """Whether the objective weighs a term by the number of rows."""
        return self.is_bayesian

    def counted_parts(self) -> tuple[Any, ...]:
        """See CountedRows: a Bayesian decoder."""
        return (self.decoder,) if self.is_bayesian else ()

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
        return tf.cast(x, self.dtype_of_rows)

    @property
    def dtype_of_rows(self) -> str:
        """What the encoder takes rows as."""
        return "int32" if isinstance(self.likelihood, Categorical) else keras.config.floatx()

    def rows(self, x: Any, what: str = "x") -> tf.Tensor:
        """Checked rows of a query, in memory.

        Raises:
            DataError: If they do not suit the model.
        """
        data = as_dataset(x.numpy() if isinstance(x, tf.Tensor) else x).in_memory()
        self.check_rows(data.x, what)
        return tf.convert_to_tensor(data.x)


def first_row(data: Dataset) -> Any:
    """One row, to build a model with."""
    return data.x[:1] if data.stream is None else next(iter(data.stream))[:1]
