"""SparseProcess: a Gaussian process by inducing points, trained by ``model.fit``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfbdl import Capability, likelihoods, random
from tfbdl.config import make
from tfbdl.data import Dataset, as_dataset
from tfbdl.data.info import Task
from tfbdl.errors import DataError
from tfbdl.inference.rows import CountedRows
from tfbdl.inference.surrogate import read
from tfbdl.standardization import column_moments
from tfbdl.trainable import THREAD, TrainableModel, row_mean

from . import expected, inducing
from .config import SparseGPOptions, SparseNNGPOptions, SparseOptions
from .data_checks import check_info, check_shape, row_size
from .families import Family, NetworkFamily, WrittenFamily
from .sparse_function import divergence, marginals, project
from .sparse_queries import SparseQueries

KINDS: dict[str, type[SparseOptions]] = {
    "sparse_gp": SparseGPOptions,
    "sparse_nngp": SparseNNGPOptions,
}


@keras.saving.register_keras_serializable(package="tfbdl_nngp")
class SparseProcess(SparseQueries, CountedRows, TrainableModel):
    """``f ~ GP(0, kernel)`` by m inducing points, with ``q(v) = N(mean, root root')``.

    Training raises the evidence lower bound in q and the hyperparameters, which are point
    estimates; the expectation over f is exact for numbers, by quadrature for two classes and by
    draws for more. A batch costs the time of ``rows m^2 + m^3``. Engines of a log joint draw the
    inducing values and the hyperparameters instead; ``laplace`` takes the normal at their mode.

    Args:
        kind: ``sparse_gp`` or ``sparse_nngp``.
        options: Its options, as a Config or a mapping.
        shape: Of an input, without the batch axis; its numbers are taken in one row.
        num_targets: Of a row, where they are numbers.
        num_classes: Of the targets; None: they are numbers.
        rows: Training rows, where they may be fewer than ``num_inducing``.
        class_names: Of the labels 0, 1, ..., where they have names.
        seed: Of the noise; None: drawn from Python's ``random``.

    Attributes:
        elbo: In ``fit``'s history: the lower bound of the log evidence of all rows, in nats.

    References:
        Titsias 2009; Hensman, Fusi & Lawrence 2013 (mini-batches); Hensman, Matthews &
        Ghahramani 2015 (classes).
    """

    capabilities = frozenset({Capability.TRAINABLE, Capability.LOG_JOINT})
    takes_datasets = True
    objective = "the negative evidence lower bound"
    default_learning_rate = 0.05

    def __init__(
        self,
        kind: str,
        options: SparseOptions | Mapping[str, Any],
        shape: Sequence[int],
        num_targets: int = 1,
        num_classes: int | None = None,
        rows: int | None = None,
        class_names: Sequence[str] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **{"name": kind, "dtype": "float64", **kwargs})
        chosen: Any = (
            options if isinstance(options, SparseOptions) else make(KINDS[kind], options, kind)
        )
        self.kind, self.options = kind, chosen
        self.shape, columns = tuple(shape), row_size(shape)
        self.num_targets, self.num_classes = num_targets, num_classes
        self.class_names = None if class_names is None else tuple(class_names)
        self.num_outputs = num_targets
        if num_classes is not None:
            self.num_outputs = 1 if num_classes == 2 else num_classes
        self.family: Family = (
            NetworkFamily(chosen) if kind == "sparse_nngp" else WrittenFamily(chosen, columns)
        )
        self.likelihood = likelihoods.get(
            "gaussian"
            if num_classes is None
            else "bernoulli"
            if num_classes == 2
            else "categorical"
        )
        m = min(chosen.num_inducing, rows or chosen.num_inducing)
        self.inducing = self.add_state(
            "inducing", np.zeros((m, columns)), trainable=chosen.move_inducing
        )
        widths = {"input_mean": columns, "target_mean": self.num_outputs}
        widths |= {"input_scale": columns, "target_scale": self.num_outputs}
        self.moments = {
            name: self.add_state(name, np.full(width, float(name.endswith("scale"))))
            for name, width in widths.items()
        }
        self.raw = {
            hyper.name: self.add_state(
                f"{hyper.name}.raw", np.full(hyper.shape, math.log(hyper.initial)), trainable=True
            )
            for hyper in self.hyperparameters
        }
        self.mean = self.add_state("v.mean", np.zeros((m, self.num_outputs)), trainable=True)
        # narrower than the prior, with which no row would tell one length scale from another
        half = np.asarray(tfp.math.fill_triangular_inverse(0.5 * np.eye(m)))
        start = np.repeat(half[np.newaxis], self.num_outputs, axis=0)
        self.raw_root = self.add_state("v.root", start, trainable=True)
        self.num_data_seen = self.add_state("num_data_seen", np.int64(0))
        self.seen = self.add_state("seen", np.int64(0))
        self.elbo_metric = keras.metrics.Mean(name="elbo")
        self.kl_metric = keras.metrics.Mean(name="kl")
        self.built = True

    # -- training ------------------------------------------------------------------------------

    def call(self, inputs: Any, training: bool | None = None) -> tf.Tensor:
        """The mean of f at ``inputs``, standardised: ``[n, k]``."""
        projection = project(
            self.family, self.hyper_values(), read(self.inducing), self.standardised(inputs)
        )
        THREAD.passed = marginals(projection, read(self.mean), self.root())
        return THREAD.passed[0]

    def root(self) -> tf.Tensor:
        """Of the covariance of q(v): lower triangular, ``[k, m, m]``."""
        return tfp.math.fill_triangular(read(self.raw_root))

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tf.Tensor:
        """See TrainableModel; ``y`` are the targets."""
        THREAD.targets = y
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def batch_loss(self, x: Any, training: bool) -> tf.Tensor:
        """``KL / num_data - mean(E[log p(y | f)])`` in nats (Hensman et al. 2013, (4))."""
        mean, variance = THREAD.passed
        log_lik = self._expected(THREAD.targets, mean, variance, training)
        rows = tf.shape(mean)[0]
        misfit = -row_mean(log_lik, rows)
        kl = divergence(read(self.mean), self.root())
        count = tf.cast(tf.maximum(read(self.num_data_seen), 1), misfit.dtype)
        self.kl_metric.update_state(kl, sample_weight=rows)
        self.elbo_metric.update_state(-count * misfit - kl, sample_weight=rows)
        return misfit + kl / count

    def _expected(self, y: Any, mean: tf.Tensor, variance: tf.Tensor, training: bool) -> tf.Tensor:
        """``E[log p(y | f)]`` of each row: ``[n]``."""
        if self.num_classes is None:
            return self.gaussian(y, mean, variance, self.hyper_values())
        if self.num_outputs == 1:
            return expected.bernoulli(self.labels(y, mean.dtype), mean, variance)
        shape = (self.options.num_samples, tf.shape(mean)[0], self.num_outputs)
        noise = random.normal(shape, self.noise_key(training, "function"), mean.dtype)
        return expected.categorical(self.labels(y, tf.int32), mean, variance, noise)

    # -- rows ----------------------------------------------------------------------------------

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As in Keras: the loss, and the bound that these rows alone would give for all."""
        return super().evaluate(x if y is None else (x, y), None, *args, **kwargs)

    def training_rows(self, x: Any, y: Any = None, what: str = "x") -> Dataset:
        """Any data as checked rows with targets.

        Raises:
            DataError: If there are no targets, rows have weights, or shapes do not fit.
        """
        task: Task = "regression" if self.num_classes is None else "classification"
        data = as_dataset(
            x if y is None else (x, y),
            task=task,
            num_classes=self.num_classes,
            class_names=self.class_names,
            dtype=self.options.dtype,
        )
        self.refuse_weights({"sample_weight": data.sample_weight})
        check_info(data.info)
        check_shape(self.shape, data.info.x_shape, what)
        targets = row_size(data.info.y_shape)
        if self.num_classes is None and targets != self.num_targets:
            raise DataError(f"Expected {self.num_targets} targets a row. Received: {targets}.")
        if data.stream is None and self.num_classes is None:
            self.likelihood.check_targets(data.y)
        return data

    def make_ready(self, rows: Any) -> None:
        """See TrainableModel.

        Raises:
            ModelError: Before the first ``fit``.
        """
        self.require_seen()

    def on_fit(self, data: Dataset) -> None:
        """Count the rows, and at the first ``fit`` choose the inducing points among them.

        Raises:
            DataError: If the rows cannot be counted.
        """
        if data.num_rows is None:
            raise DataError(
                "The number of training rows cannot be told from this stream, and the KL term is "
                "weighted by it. Expected arrays, or a stream with an end."
            )
        self.num_data = data.num_rows
        self.class_names = data.info.class_names or self.class_names
        if not int(self.seen.numpy()):
            self.observe(data)

    def observe(self, data: Dataset) -> None:
        """Take units and inducing points from these rows.

        Raises:
            DataError: As ``training_rows``.
        """
        rows = self.training_rows(data.in_memory())
        x = np.asarray(rows.x, np.float64).reshape(len(rows.x), -1)
        if self.options.standardize:
            mean, scale = column_moments(x)
            self.moments["input_mean"].assign(mean)
            self.moments["input_scale"].assign(scale)
            if self.num_classes is None:
                mean, scale = column_moments(np.asarray(rows.y, np.float64).reshape(len(x), -1))
                self.moments["target_mean"].assign(mean)
                self.moments["target_scale"].assign(scale)
        kernel = self.family.at({name: v.numpy() for name, v in self.hyper_values().items()})
        standardised = np.asarray(self.standardised(x))
        m = int(self.inducing.shape[0])
        found = inducing.chosen(kernel, standardised, m)
        left = np.setdiff1d(np.arange(len(x)), found)  # rows that tell nothing new
        index = np.resize(np.concatenate([found, left]), m)
        self.inducing.assign(standardised[index])
        self.num_data = len(x)
        self.seen.assign(1)

    # -- copies and files ----------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as plain values."""
        return {
            "kind": self.kind,
            "options": self.options.model_dump(mode="json"),
            "shape": list(self.shape),
            "num_targets": self.num_targets,
            "num_classes": self.num_classes,
            "rows": int(self.inducing.shape[0]),
            "class_names": None if self.class_names is None else list(self.class_names),
            "seed": int(self.rng_seed.numpy()),
        }

    def clone(self, seed: int | None = None) -> Self:
        """A copy that has seen no rows, with another seed; with None of the same weights."""
        config = self.get_config()
        copy = type(self)(**(config if seed is None else {**config, "seed": seed}))
        if seed is None:
            copy.take_weights(self)
        return copy
