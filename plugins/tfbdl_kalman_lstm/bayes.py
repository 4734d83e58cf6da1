"""Bayesian linear Gaussian models: the log joint with the states integrated out."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfbdl import random
from tfbdl.data import DataInfo, Dataset
from tfbdl.errors import DataError
from tfbdl.posterior import Posterior
from tfbdl.protocols import Params, Site

from . import prior, starts
from .form import COVARIANCES, NAMES, Form
from .likelihood import log_likelihood
from .sequences import sequences_of
from .starts import SeriesMoments

tfb = tfp.bijectors

VARIANCES = "_variances"
JITTER = 0.1
"""How far chains begin from one another; see ``starts.scattered``."""


class Bayesian:
    """What engines over draws ask of a model; a mixin of KalmanModel.

    The sites are what is learned. A full covariance is a site of its own name; of one that is
    diagonal or scalar the variances are, as ``Q_variances`` (``R_variances``).
    """

    vectorized = True
    options: Any
    form: Form | None
    info: DataInfo | None
    seed: int
    params: dict[str, np.ndarray]
    seen: np.ndarray | None

    @property
    def sites(self) -> tuple[Site, ...]:
        """The learned parameters; the states are integrated out."""
        form = self._form()
        return tuple(_site(name, form) for name in form.learned)

    def observe(self, data: Dataset) -> None:
        """Take note of all the data, for engines that show a batch of them at a time.

        Raises:
            DataError: If they are no sequences, or steps of one sequence are set apart.
        """
        self.seen = sequences_of(data, None if self.info is None else self.info.num_rows)

    def init(self, seed: int) -> dict[str, tf.Tensor]:
        """The fitted parameters, or else some near the data's moments."""
        form = self._form()
        values = self.params or self._near_moments(form, seed)
        return {
            site.name: tf.constant(_to_site(name, values[name], form), site.dtype)
            for name, site in zip(form.learned, self.sites, strict=True)
        }

    def log_joint(self, params: Params, batch: Any) -> tf.Tensor:
        """``log p(params) + log p(y | params)`` of one state, in nats."""
        single = {site.name: params[site.name][tf.newaxis] for site in self.sites}
        return self.log_joints(single, batch)[0]

    def log_joints(self, params: Params, batch: Any) -> tf.Tensor:
        """The same of many states at once: sites with a leading axis give ``[state]``."""
        form, y = self._form(), self._sequences(batch)
        # scales of priors are those of the data, and so do not move with a minibatch
        series = _moments(y) if self.seen is None else self._of_data(y.dtype)
        learned = {name: _from_site(name, params, form) for name in form.learned}
        m0, P0 = starts.first_state(series, form, self.options.diffuse_scale)
        held = {"B": np.zeros(form.state_dim), "m0": m0, "P0": P0} | form.given
        everything = {name: tf.convert_to_tensor(held[name], y.dtype) for name in held} | learned
        density = log_likelihood(everything, y, shared=_is_shared(y))
        total = tf.reduce_sum(density, -1)
        if self.info is not None and self.info.num_rows and not self._is_single():
            total *= self.info.num_rows / y.shape[0]
        for name in form.learned:
            site = _site(name, form).name
            total += self._log_prior(name, params[site], series, everything["A"])
        return total

    def adopt(self, posterior: Posterior | None) -> None:
        """Take the draw of the largest log joint for the fitted parameters.

        Means over draws would mix states that were turned differently.
        """
        names = [site.name for site in self.sites] if self.form is not None else []
        if posterior is None or not names or not set(names) <= set(posterior.draws):
            return
        form = self._form()
        density = posterior.sample_stats.get("lp")
        first = next(iter(posterior.draws.values()))
        best = (0, 0) if density is None else np.unravel_index(np.argmax(density), first.shape[:2])
        draw = {name: tf.constant(posterior.draws[name][best]) for name in names}
        learned = {name: _from_site(name, draw, form).numpy() for name in form.learned}
        held = {name: self.params[name] for name in NAMES} if self.params else self._held()
        self.assign(  # type: ignore[attr-defined]
            {name: learned[name] if name in learned else held[name] for name in NAMES}
        )

    def _log_prior(
        self, name: str, value: tf.Tensor, series: SeriesMoments, A: tf.Tensor
    ) -> tf.Tensor:
        """Of one site's value, ``[..., shape]``: ``[...]``; the offset's depends on A."""
        form, options = self._form(), self.options
        dtype = value.dtype
        sd, typical = tf.sqrt(series.variance), tf.sqrt(tf.reduce_mean(series.variance))
        scale = getattr(options, f"{name}_scale")
        if name in COVARIANCES:
            width = scale * (sd if name == "R" else typical * tf.ones(form.state_dim, dtype))
            if form.structures[name] == "full":
                return prior.covariance(value, width)
            if form.structures[name] == "scalar":
                width = scale * typical
            return prior.variances(value, width)
        if name in ("A", "H"):
            centre = tf.eye(*_shape(name, form), dtype=dtype)
            return prior.normal(value, centre, tf.constant(scale, dtype), 2)
        centre = tf.linalg.matvec(tf.constant(starts.placed(form), dtype), series.mean)
        if name == "B":  # A x + B = x
            centre = centre - tf.linalg.matvec(A, centre)
        return prior.normal(value, centre, scale * typical, 1)

    def _sequences(self, batch: Any) -> tf.Tensor:
        """The batch with all its axes: ``[n, T, m]``; true states beside it are left out."""
        x = batch[0] if isinstance(batch, tuple) else batch
        y = tf.cast(tf.convert_to_tensor(x), self.options.dtype)
        if y.shape.rank == 1:
            y = y[:, tf.newaxis]
        if y.shape.rank == 2:
            if self.seen is not None and tf.get_static_value(y) is None:
                # a batch that an engine drew, of steps in any order
                return tf.constant(self.seen, y.dtype)
            if self.info is not None and self.info.num_rows not in (None, y.shape[0]):
                raise DataError(
                    "The steps of one sequence belong together. Expected all "
                    f"{self.info.num_rows} of them. Received: a minibatch of {y.shape[0]}; give "
                    "several sequences, [n, T, m], to engines that need minibatches."
                )
            y = y[tf.newaxis]
        known = tf.get_static_value(y)
        if self.seen is None and known is not None and len(known) == self._num_sequences():
            self.seen = known
        return y

    def _num_sequences(self) -> int | None:
        return None if self.info is None else 1 if self._is_single() else self.info.num_rows

    def _is_single(self) -> bool:
        """Whether the data the model was made for are one sequence."""
        return len(() if self.info is None else self.info.x_shape) < 2

    def _near_moments(self, form: Form, seed: int) -> dict[str, np.ndarray]:
        """A start without the data themselves."""
        near = starts.by_moments(self._described(), form, self.options.diffuse_scale)
        bits = random.bits((), random.key(seed, "kalman init"))
        return starts.scattered(near, form, int(tf.cast(bits, tf.int64)), JITTER)

    def _described(self) -> SeriesMoments:
        """Of the data, as far as they are known."""
        form = self._form()
        if self.seen is not None:
            return starts.moments(self.seen)
        info = self.info
        if self._is_single() and info is not None and info.x_mean is not None:
            variance = np.asarray(info.x_std) ** 2
            return SeriesMoments(np.asarray(info.x_mean), variance, variance)
        one = np.ones(form.observation_dim)
        return SeriesMoments(0.0 * one, one, one)

    def _of_data(self, dtype: Any) -> SeriesMoments:
        return SeriesMoments(*(tf.constant(part, dtype) for part in self._described()))

    def _held(self) -> dict[str, np.ndarray]:
        """Values of what is not learned."""
        form = self._form()
        m0, P0 = starts.first_state(self._described(), form, self.options.diffuse_scale)
        found = {"B": np.zeros(form.state_dim), "m0": m0, "P0": P0, **form.given}
        return {name: value for name, value in found.items() if not form.is_learned(name)}

    def _form(self) -> Form:
        if self.form is None:
            raise DataError(
                "The sizes of a kalman model are those of its data. Fit it with tfbdl.fit first."
            )
        return self.form


def _shape(name: str, form: Form) -> tuple[int, ...]:
    d, m = form.state_dim, form.observation_dim
    sizes = {"A": (d, d), "B": (d,), "H": (m, d), "Q": (d, d), "R": (m, m), "m0": (d,)}
    return sizes.get(name, (d, d))


def _site(name: str, form: Form) -> Site:
    shape = _shape(name, form)
    if name not in COVARIANCES:
        return Site(name, shape, None, "float64")
    structure = form.structures[name]
    if structure == "full":
        factors = tfb.FillScaleTriL(diag_bijector=tfb.Exp(), diag_shift=None)
        bijector = tfb.Chain([tfb.CholeskyOuterProduct(), factors])
        return Site(name, shape, bijector, "float64")
    count = 1 if structure == "scalar" else shape[0]
    return Site(f"{name}{VARIANCES}", (count,), tfb.Exp(), "float64")


def _to_site(name: str, value: np.ndarray, form: Form) -> np.ndarray:
    structure = form.structures.get(name, "full")
    if structure == "full":
        return value
    variances = np.diag(value)
    return variances if structure == "diagonal" else variances[:1]


def _from_site(name: str, params: Params, form: Form) -> tf.Tensor:
    """The parameter itself, ``[..., shape]``."""
    value = params[_site(name, form).name]
    structure = form.structures.get(name, "full")
    if structure == "full":
        return value
    if structure == "scalar":
        value = tf.repeat(value, _shape(name, form)[0], axis=-1)
    return tf.linalg.diag(value)


def _moments(y: tf.Tensor) -> SeriesMoments:
    """As ``starts.moments``."""

    def mean_of(values: tf.Tensor) -> tf.Tensor:
        there = ~tf.math.is_nan(values)
        count = tf.maximum(tf.reduce_sum(tf.cast(there, y.dtype), [0, 1]), 1.0)
        return tf.reduce_sum(tf.where(there, values, tf.zeros_like(values)), [0, 1]) / count

    mean = mean_of(y)
    variance = mean_of((y - mean) ** 2)
    variance = tf.where(variance > 0.0, variance, tf.ones_like(variance))
    steps = mean_of((y[:, 1:] - y[:, :-1]) ** 2)
    return SeriesMoments(mean, variance, tf.where(steps > 0.0, steps, variance))


def _is_shared(y: tf.Tensor) -> bool:
    """Whether all sequences are known to miss the same elements."""
    if y.shape[0] == 1:
        return True
    known = tf.get_static_value(y)
    return known is not None and bool((np.isnan(known) == np.isnan(known[:1])).all())
