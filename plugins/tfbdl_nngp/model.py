"""The models ``nngp`` and ``gp``: a Gaussian process whose hyperparameters data decide."""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfbdl import Capability, likelihoods, random
from tfbdl.closed_form import ClosedFormPosterior, ClosedFormPredictive
from tfbdl.data import DataInfo, Dataset
from tfbdl.distributions import Prior
from tfbdl.errors import DataError, ModelError
from tfbdl.parametric import ParametricModel
from tfbdl.posterior import Posterior
from tfbdl.protocols import Site

from .config import GPOptions, NNGPOptions, ProcessOptions
from .data_checks import check_info, check_shape, row_size
from .evidence import Evidence
from .families import INITIAL, Family, Hyperparameter, NetworkFamily, WrittenFamily
from .label_predictive import LabelPredictive
from .mixture import mixture_predictive
from .posterior import ProcessPosterior
from .predictive import ProcessPredictive
from .regression import GPRegressor
from .scaling import Scaling

tfb, tfd = tfp.bijectors, tfp.distributions

JITTER = 1e-9
"""Of the log joint, beside the mean of the diagonal; a graph cannot try again."""


class ProcessModel(ParametricModel, abc.ABC):
    """``y = f(x) + e`` with a Gaussian process f; hyperparameters by ML-II or drawn.

    - ``exact`` finds the hyperparameters of the largest evidence and conditions on all rows; the
      site ``f`` is the function at these.
    - ``nuts`` and other engines of a log joint draw the hyperparameters, f integrated out;
      predictions average over the draws.
    - Classes are regressed on: a label is one of ``1 - 1 / C``, the others are ``-1 / C``, and
      the probability of a class is that of its regression being the largest.

    Args:
        options: Of the model.
        info: Of the training data.
        prior: None; hyperparameters have the prior LogNormal(log initial, 1).
        seed: Of the run.

    Attributes:
        x_, y_: The rows taken in so far.
        noise_ and the kernel's hyperparameters by name: What ML-II found.

    Raises:
        DataError: If inputs are no arrays of numbers, or there are no targets.

    References:
        Rasmussen & Williams 2006, chapters 2 and 5; Lee et al. 2018, section 3 (classes).
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.EXACT, Capability.LOG_JOINT}
    )
    default_engine: ClassVar[str] = "exact"
    options: ProcessOptions
    _notice = ""
    _drawn: Posterior | None = None

    def __init__(
        self,
        options: Any,
        info: DataInfo | None = None,
        prior: Prior | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(options, info, prior, seed)
        if info is not None:
            check_info(info)
        self.num_classes = None if info is None else info.num_classes
        classes = self.num_classes is not None
        self.likelihood = likelihoods.get("categorical" if classes else "gaussian")

    @abc.abstractmethod
    def _family(self, columns: int) -> Family:
        """The kernels of the options."""

    @cached_property
    def family(self) -> Family:
        """The kernels, of inputs as wide as the data's."""
        if self.info is None or isinstance(self.info.x_shape, dict):
            raise ModelError(
                f"A {type(self).__name__} is made for data: give them to tfbdl.build or tfbdl.fit."
            )
        return self._family(row_size(self.info.x_shape))

    @property
    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """What the data decide, the noise last."""
        own = () if self.options.noise is not None else (self._noise,)
        return (*self.family.free, *own)

    _noise = Hyperparameter("noise", (), INITIAL["noise"])

    # -- exact ---------------------------------------------------------------------------------

    def observe(self, data: Dataset) -> None:
        """Take these rows, and no others, for those that predictions are made from."""
        self._drawn = None
        self.assign({})
        self.assign(self._rows_with(data))

    def condition(self, data: Dataset) -> ClosedFormPosterior:
        """Take in rows; hyperparameters are sought anew, on all of them.

        Raises:
            DataError: If rows are not like those before, or have weights.
            ModelError: If the covariance is not positive definite.
        """
        self._drawn = None
        rows = self._rows_with(data)
        scaling = self._scaling(rows)
        x, y = scaling.inputs(rows["x"]), scaling.targets(rows["y"])
        step = math.ceil(len(x) / self.options.search_rows)
        noise = self._noise if self.options.noise is None else self.options.noise
        evidence = Evidence(self.family, noise, x[::step], y[::step])
        found = evidence.largest(self._starts(evidence))
        self._notice = found.notice
        self.assign(rows | found.params)
        return self.posterior

    @property
    def posterior(self) -> ClosedFormPosterior:
        """The function at the training rows; its ``predictive(x)`` is exact.

        Raises:
            ModelError: If the model was not fitted by the engine ``exact``.
        """
        missing = [h.name for h in self.hyperparameters if h.name not in self.fitted()]
        if missing:
            raise ModelError(
                f"The engine exact has not found {', '.join(missing)}: this model was fitted by "
                "draws, and fit.predict averages over them."
            )
        return ProcessPosterior(self)

    @property
    def regressor(self) -> GPRegressor:
        """The process on standardised rows, conditioned on them."""
        self.fitted()
        return self._regressor

    def predictive(
        self, x: Any, draws: int = 100, seed: int = 0, **options: Any
    ) -> ClosedFormPredictive:
        """``p(y | x, data)``: exact, or averaged over draws of the hyperparameters.

        Args:
            x: ``[m, ...]``.
            draws: Of the hyperparameters, where an engine drew them.
            seed: Of these draws.
            **options: Of Predictive; all is kept here.
        """
        if self._drawn is None:
            return self.predictive_at(self.regressor, x)
        states = self._drawn.sample(draws, seed)
        count = len(next(iter(states.values())))
        parts = []
        for i in range(count):
            params = {name: np.asarray(value[i], np.float64) for name, value in states.items()}
            parts.append(self.predictive_at(self._conditioned(params), x))
        return mixture_predictive(self, parts)

    def adopt(self, posterior: Posterior | None) -> None:
        """Predict by draws of the hyperparameters from now on."""
        own = posterior is not None and not isinstance(posterior, ProcessPosterior)
        self._drawn = posterior if own else None

    def predictive_at(self, regressor: GPRegressor, x: Any) -> ClosedFormPredictive:
        """What one process says of inputs ``[m, ...]``, in the units of the targets."""
        if self.info is not None:
            check_shape(self.info.x_shape, np.shape(x)[1:])
        scaling = self._scaling(self.params)
        rows = scaling.inputs(np.asarray(x, np.float64).reshape(len(x), -1))
        p = regressor.predict_f(rows)
        noise = float(regressor.noise)
        if self.num_classes is not None:
            return LabelPredictive(self, p.mean, p.variance, noise)
        units = scaling.target_scale
        mean = scaling.target_mean + units * p.mean
        return ProcessPredictive(self, mean, units**2 * p.variance, units**2 * noise)

    def figures(self) -> Mapping[str, float]:
        """``log_evidence`` of all rows in nats, and the hyperparameters that are single numbers.

        The evidence is the density of the targets in their own units.
        """
        if any(h.name not in self.params for h in self.hyperparameters):
            return {}
        scaling = self._scaling(self.params)
        unit = len(self.params["x"]) * float(np.log(scaling.target_scale).sum())
        found = {"log_evidence": self.regressor.log_marginal_likelihood() - unit}
        singles = [h.name for h in self.hyperparameters if not h.shape]
        return found | {name: float(self.params[name]) for name in singles}

    def notices(self) -> list[str]:
        """Of hyperparameters that the data do not tell, and of jitter."""
        found = [self._notice] if self._notice else []
        if "_regressor" in self.__dict__ and self._regressor.jitter > 0.0:
            found.append(
                f"The covariance was not positive definite up to rounding: "
                f"{self._regressor.jitter:.3g} was added to its diagonal."
            )
        return found

    # -- log joint -----------------------------------------------------------------------------

    @property
    def sites(self) -> tuple[Site, ...]:
        """The hyperparameters, all positive."""
        return tuple(Site(h.name, h.shape, tfb.Exp(), "float64") for h in self.hyperparameters)

    def init(self, seed: int) -> dict[str, tf.Tensor]:
        """Near the medians of the priors."""
        return {
            h.name: h.initial
            * tf.exp(0.1 * random.normal(h.shape, random.key(seed, "start", h.name), "float64"))
            for h in self.hyperparameters
        }

    def prior_of(self, site: str, params: Mapping[str, Any] | None = None) -> Any:
        """LogNormal(log initial, 1), independent."""
        return next(h for h in self.hyperparameters if h.name == site).prior()

    def log_joint(self, params: Mapping[str, tf.Tensor], batch: Any) -> tf.Tensor:
        """Log prior plus the log density of all targets, f integrated out, in nats.

        Raises:
            DataError: If the batch does not hold all rows: targets depend on one another.
        """
        x, y = batch
        count = None if self.info is None else self.info.num_rows
        if count is not None and x.shape[0] is not None and x.shape[0] != count:
            raise DataError(
                f"Targets of a Gaussian process depend on one another: its density needs all "
                f"{count} rows at once. Expected an engine without mini-batches, or the models "
                f"sparse_gp and sparse_nngp, which take them. Received: {x.shape[0]} rows."
            )
        total = tf.add_n([self.prior_of(n).log_prob(value) for n, value in params.items()])
        rows = {"x": tf.reshape(tf.cast(x, tf.float64), [x.shape[0], -1]), "y": self._columns(y)}
        scaling = self._scaling(rows)
        inputs, targets = scaling.inputs(rows["x"]), scaling.targets(rows["y"])
        noise = params["noise"] if self.options.noise is None else self.options.noise
        K = self.family.between(params, inputs, inputs)
        level = noise + JITTER * tf.reduce_mean(tf.linalg.diag_part(K))
        A = tf.linalg.set_diag(K, tf.linalg.diag_part(K) + level)
        factor = tf.linalg.cholesky(A)
        whitened = tf.linalg.triangular_solve(factor, targets)
        log_det = 2.0 * tf.reduce_sum(tf.math.log(tf.linalg.diag_part(factor)))
        each = log_det + x.shape[0] * math.log(2.0 * math.pi)
        return total - 0.5 * (tf.reduce_sum(whitened**2) + targets.shape[1] * each)

    # -- rows ----------------------------------------------------------------------------------

    def assign(self, params: Mapping[str, Any]) -> None:
        """Take these arrays for the fitted ones."""
        self.__dict__.pop("_regressor", None)
        super().assign(params)

    @cached_property
    def _regressor(self) -> GPRegressor:
        return self._conditioned(self.params)

    def _conditioned(self, params: Mapping[str, Any]) -> GPRegressor:
        """The process with given hyperparameters, on all rows."""
        rows = self.fitted()
        scaling = self._scaling(rows)
        noise = self.options.noise if self.options.noise is not None else float(params["noise"])
        process = GPRegressor(self.family.at(params), noise)
        return process.fit(scaling.inputs(rows["x"]), scaling.targets(rows["y"]))

    def _scaling(self, rows: Mapping[str, Any]) -> Scaling:
        return Scaling.of(rows["x"], rows["y"], self.options.standardize, self.num_classes)

    def _starts(self, evidence: Evidence) -> list[np.ndarray]:
        """The initial values, and ``restarts`` draws from the priors."""
        shape = (self.options.restarts, len(evidence.start))
        noise = random.normal(shape, random.key(self.seed, "restarts"), "float64").numpy()
        return [evidence.start, *(evidence.start + noise)]

    def _rows_with(self, data: Dataset) -> dict[str, np.ndarray]:
        """Those before and these: ``x [n, d]`` and ``y [n, k]``, in float64."""
        if data.y is None or data.sample_weight is not None:
            received = "no targets" if data.y is None else "a sample_weight"
            raise DataError(
                f"A Gaussian process counts each row of (x, y) once. Received: {received}."
            )
        data = data.in_memory()
        targets = np.asarray(self._columns(data.y))
        inputs = np.asarray(data.x, np.float64).reshape(len(targets), -1)
        found = {"x": inputs, "y": targets}
        for name, before in ((n, self.params[n]) for n in found if n in self.params):
            if before.shape[1] != found[name].shape[1]:
                raise DataError(
                    f"Expected {before.shape[1]} columns of {name}, as before. "
                    f"Received: {found[name].shape[1]}."
                )
            found[name] = np.concatenate([before, found[name]])
        return found

    def _columns(self, y: Any) -> tf.Tensor:
        """Targets ``[n, k]``, float64; of labels one column for each class, 1 and 0."""
        if self.num_classes is not None:
            labels = tf.reshape(tf.cast(y, tf.int32), [-1])
            return tf.one_hot(labels, self.num_classes, dtype=tf.float64)
        targets = tf.cast(y, tf.float64)
        if targets.shape.rank not in (1, 2):
            raise DataError(f"Expected targets [n] or [n, k]. Received: shape {targets.shape}.")
        return tf.reshape(targets, [targets.shape[0], -1])


class NNGPModel(ProcessModel):
    """``nngp``: the kernel is that of an infinitely wide, fully connected network."""

    options_class: ClassVar[Any] = NNGPOptions
    options: NNGPOptions

    def _family(self, columns: int) -> Family:
        return NetworkFamily(self.options)


class GPModel(ProcessModel):
    """``gp``: the kernel is written as sums and products."""

    options_class: ClassVar[Any] = GPOptions
    options: GPOptions

    def _family(self, columns: int) -> Family:
        return WrittenFamily(self.options, columns)
