"""Expectation maximisation of linear Gaussian models (Shumway & Stoffer 1982)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl.data import Dataset
from tfbdl.errors import DataError, OptionsError
from tfbdl.protocols import Params, Statistics

from . import starts
from .compiled import call
from .expected import Expected, Origin, expect
from .form import COVARIANCES, NAMES, Form, form_of
from .likelihood import observe, system_of
from .regression import Moments, covariance_of, fit_line
from .sequences import sequences_of

COMPILED_STEPS = 64
"""Sequences as long as that repay the seconds that XLA takes to compile their recursions."""


class KalmanEM:
    """What the engine ``em`` asks of a model; a mixin of KalmanModel.

    A row is a sequence: its statistics are expected moments of its states and observations.
    """

    _form: Callable[[], Form]
    _held: Callable[[], dict[str, np.ndarray]]
    objective = "log_likelihood"
    jit_compile = False  # the loops over time are compiled apart, once for all fits
    options: Any
    form: Form | None
    seen: np.ndarray | None = None
    shared = False
    """Whether all sequences miss the same elements."""
    origin: tuple[np.ndarray, np.ndarray] | None = None

    def rows(self, data: Dataset) -> tf.Tensor:
        """The sequences as ``[n, T, m]``; true states beside them (``y``) are not looked at.

        Raises:
            DataError: If they are of another shape, have fewer than two steps, or a sequence
                without any observation.
        """
        y = sequences_of(data)
        if y.shape[1] < 2:
            raise DataError(f"Expected sequences of at least 2 steps. Received: {y.shape[1]}.")
        missing = np.isnan(y)
        empty = np.flatnonzero(missing.all(axis=(1, 2)))
        if empty.size:
            raise DataError(
                "Each sequence needs an observation. "
                f"Received: all of sequence {empty[0]} are missing (NaN)."
            )
        self.form = form_of(self.options, y.shape[-1], several=len(y) > 1)
        self.shared = bool((missing == missing[:1]).all())
        self.origin = _origin(y, self.form)
        self.seen = y
        return tf.constant(y)

    @property
    def row_bytes(self) -> int:
        """Memory that a sequence takes in the E-step."""
        if self.seen is None or self.form is None:
            return 0
        d, m = self.form.state_dim, self.form.observation_dim
        own = 0 if self.shared else 8 * d * d + 2 * d * m + 3 * m * m
        return 8 * self.seen.shape[1] * (own + 6 * d + 4 * m)

    def start(self, rows: Any, method: str, seed: int) -> dict[str, np.ndarray]:
        """Parameters to begin with.

        Args:
            rows: What ``rows`` gave.
            method: ``auto``, by moments and regressions on lagged observations; or ``random``,
                learned matrices and variances scattered about these.
            seed: Of a random start.

        Raises:
            OptionsError: If there is no such start.
        """
        if method not in ("auto", "random"):
            raise OptionsError(
                f"initial of a kalman model must be auto, random or current. Received: {method!r}."
            )
        form = self._form()
        found = starts.start(np.asarray(rows, np.float64), form, self.options.diffuse_scale)
        if method == "random":
            found = starts.scattered(found, form, seed)
        floored = {
            name: _at_least(value, self.options.variance_floor)
            for name, value in found.items()
            if name in COVARIANCES and form.is_learned(name)
        }
        return found | floored

    def check_start(self, params: Params) -> None:
        """Raise OptionsError unless given covariances are such."""
        for name in COVARIANCES:
            array = np.asarray(params[name])
            uneven = np.abs(array - array.T).max() > 1e-8 * np.abs(array).max()
            least = np.linalg.eigvalsh(array).min()
            if uneven or least < -1e-10 * np.abs(array).max():
                raise OptionsError(
                    f"{name} must be symmetric without a negative eigenvalue. "
                    f"Received: smallest eigenvalue {least:g}."
                )

    def e_step(self, params: Params, rows: tf.Tensor) -> Statistics:
        """Expected moments, summed over sequences."""
        parts = system_of(params), observe(rows, shared=self.shared), self._origins(rows)
        long = rows.shape[1] >= COMPILED_STEPS
        return _flat(call(expect, (), *parts, xla=True) if long else expect(*parts))

    def m_step(self, statistics: Statistics) -> dict[str, tf.Tensor]:
        """The parameters of largest expected complete likelihood; held ones stay."""
        form, found = self._form(), _nested(statistics)
        origin = self._origins(found.log_likelihood)
        held = {n: tf.constant(v, origin.x.dtype) for n, v in self._held().items()}
        zeros = tf.zeros_like(origin.y)
        motion = fit_line(
            found.motion,
            held.get("A"),
            held.get("B"),
            origin.x,
            origin.x,
            learn_matrix=form.is_learned("A"),
            learn_offset=form.is_learned("B"),
        )
        seen = fit_line(
            found.seen,
            held.get("H"),
            zeros,
            origin.x,
            origin.y,
            learn_matrix=form.is_learned("H"),
            learn_offset=False,
        )
        first = fit_line(
            found.first,
            tf.zeros((form.state_dim, 0), origin.x.dtype),
            held.get("m0"),
            origin.x[:0],
            origin.x,
            learn_matrix=False,
            learn_offset=form.is_learned("m0"),
        )
        learned = {
            "A": motion.matrix,
            "B": motion.offset,
            "H": seen.matrix,
            "m0": first.offset,
        }
        for name, line in {"Q": motion, "R": seen, "P0": first}.items():
            learned[name] = covariance_of(
                line.residuals, line.count, form.structures[name], self.options.variance_floor
            )
        return {name: learned[name] if form.is_learned(name) else held[name] for name in NAMES}

    def log_likelihood(self, params: Params, statistics: Statistics) -> tf.Tensor:
        """``log p(y)`` of all sequences, in nats."""
        return statistics["log_likelihood"]

    @property
    def num_parameters(self) -> int:
        """Free numbers of the learned parts."""
        return self._form().num_parameters

    def notices(self) -> list[str]:
        """Covariances that reached the floor."""
        if self.form is None:
            return []
        params = self.params  # type: ignore[attr-defined]
        floor = self.options.variance_floor
        return [
            f"{name} reached variance_floor: the data ask for no noise there, and the likelihood "
            "may grow without bound."
            for name in self.form.learned
            if name in COVARIANCES and np.linalg.eigvalsh(params[name]).min() <= 1.01 * floor
        ]

    def _origins(self, like: tf.Tensor) -> Origin:
        form = self._form()
        x, y = self.origin or (np.zeros(form.state_dim), np.zeros(form.observation_dim))
        return Origin(tf.constant(x, like.dtype), tf.constant(y, like.dtype))


def _origin(y: np.ndarray, form: Form) -> tuple[np.ndarray, np.ndarray] | None:
    """Near the data where H is known; else zero, about which H is a regression."""
    if form.is_learned("H"):
        return None
    mean = starts.moments(y).mean
    return starts.placed(form) @ mean, mean


def _at_least(covariance: np.ndarray, floor: float) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.maximum(values, floor)) @ vectors.T)


def _flat(found: Expected) -> dict[str, tf.Tensor]:
    parts = {"log_likelihood": found.log_likelihood}
    for name in ("motion", "seen", "first"):
        moments = getattr(found, name)._asdict()
        parts |= {f"{name}_{part}": value for part, value in moments.items()}
    return parts


def _nested(statistics: Statistics) -> Expected:
    def of(name: str) -> Moments:
        return Moments(*(statistics[f"{name}_{part}"] for part in Moments._fields))

    return Expected(statistics["log_likelihood"], of("motion"), of("seen"), of("first"))
