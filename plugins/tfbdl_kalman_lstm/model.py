"""The model ``kalman``: what a fit of a linear Gaussian state-space model leaves to the user."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfbdl import likelihoods
from tfbdl.closed_form import ClosedFormPredictive
from tfbdl.data import DataInfo
from tfbdl.distributions import Prior
from tfbdl.errors import DataError
from tfbdl.parametric import ParametricModel, information_criteria

from .bayes import Bayesian
from .config import KalmanOptions
from .em import KalmanEM
from .form import Form, form_of
from .kalman_filter import KalmanFilter
from .sequences import arrange
from .states import FilteredStates, Forecast, SmoothedStates


class KalmanModel(KalmanEM, Bayesian, ParametricModel):
    """``x_t+1 = A x_t + B + w_t``, ``y_t = H x_t + v_t``, with parameters that data decide.

    Methods take one sequence (``[T]`` or ``[T, m]``) or several (``[n, T, m]``, or a list of
    unequal lengths) and answer in kind; NaN stands for an element that was not observed.

    Args:
        options: See KalmanOptions.
        info: The description of the training data, or None without data.
        prior: None; the options hold it.
        seed: Of the run.

    Attributes:
        A_, B_, H_: ``[d, d]``, ``[d]`` and ``[m, d]``.
        Q_, R_: Covariances of process and observation noise, ``[d, d]`` and ``[m, m]``.
        m0_, P0_: Mean and covariance of the first state before its observation.

    Example:
        ```python
        fit = tfbdl.fit("kalman", "nile")
        fit.model.Q_, fit.model.R_, fit.model.smooth(y).means, fit.model.forecast(y, 10)
        ```

    References:
        Kalman 1960; Shumway & Stoffer 1982; Durbin & Koopman 2012, "Time Series Analysis by State
        Space Methods".
    """

    capabilities = frozenset({"em", "log_joint"})
    default_engine = "em"
    missing_values = True
    likelihood = likelihoods.get("gaussian")

    def __init__(
        self,
        options: KalmanOptions,
        info: DataInfo | None = None,
        prior: Prior | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(options, info, prior, seed)
        self.form: Form | None = None
        if info is not None and isinstance(info.x_shape, tuple) and len(info.x_shape) <= 2:
            size = info.x_shape[-1] if info.x_shape else 1
            several = len(info.x_shape) == 2 and info.num_rows != 1
            if size is not None:
                self.form = form_of(options, size, several)

    @property
    def kalman(self) -> KalmanFilter:
        """The filter with the fitted parameters."""
        arrays: dict[str, Any] = self.fitted()
        return KalmanFilter(**arrays)

    def filter(self, y: Any) -> FilteredStates:
        """States given what was observed up to them; see KalmanFilter."""
        return self.kalman.filter(y)

    def smooth(self, y: Any) -> SmoothedStates:
        """States given all observations; see KalmanFilter."""
        return self.kalman.smooth(y)

    def log_prob(self, y: Any) -> Any:
        """``log p(y)`` in nats, the states integrated out: a number, or ``[n]``."""
        return self.kalman.log_prob(y)

    def forecast(self, y: Any, steps: int) -> Forecast:
        """States and observations after the last step of ``y``; see KalmanFilter."""
        return self.kalman.forecast(y, steps)

    def sample(self, T: int, n: int = 1, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Draw states ``[n, T, d]`` and observations ``[n, T, m]``."""
        return self.kalman.sample(T, n, seed)

    def sample_states(self, y: Any, n: int = 1, seed: int = 0) -> np.ndarray:
        """Draw paths of states from ``p(x | y)``; see KalmanFilter."""
        return self.kalman.sample_states(y, n, seed)

    def predictive(self, x: Any, draws: int = 1, seed: int = 0, **options: Any) -> Any:
        """``p(y_t | y_1..t-1)`` at each step of one sequence, as a Predictive of T rows.

        The aleatoric part is the noise of the observation; epistemic is what is not known of the
        state.

        Args:
            x: One sequence.
            draws, seed, **options: Of no effect: the distribution is exact.

        Raises:
            DataError: If several sequences are given.
        """
        found = self.filter(self._one(x))
        means = found.predicted_means @ self.H_.T
        return self._normal(means, self.H_ @ found.predicted_covariances @ self.H_.T)

    def predict_ahead(self, y: Any, steps: int) -> Any:
        """The observations after one sequence, as a Predictive of ``steps`` rows.

        Args:
            y: One sequence; may end in NaN.
            steps: How many.

        Raises:
            DataError: If several sequences are given.
        """
        found = self.forecast(self._one(y), steps)
        return self._normal(found.observation_means, found.observation_covariances - self.R_)

    def figures(self) -> dict[str, float]:
        """``bic`` and ``aic`` of the observed numbers; and the diffuse log likelihood.

        ``diffuse_log_likelihood`` leaves out the observations that a diffuse start takes up, one
        for each state: its value does not depend on how wide the start is. It is given where all
        sequences begin with them, whole.
        """
        if self.seen is None or not self.params or self.form is None:
            return {}
        filtered = self.kalman.filter(self.seen)
        total = float(np.sum(filtered.log_likelihood))
        found = information_criteria(total, self.num_parameters, int((~np.isnan(self.seen)).sum()))
        first = -(-self.form.state_dim // self.form.observation_dim)
        is_diffuse = not ({"m0", "P0"} & {*self.form.given, *self.form.learned})
        if is_diffuse and not np.isnan(self.seen[:, :first]).any() and first < self.seen.shape[1]:
            found["diffuse_log_likelihood"] = float(filtered.increments[:, first:].sum())
        return found

    def _one(self, y: Any) -> np.ndarray:
        found, single = arrange(y, int(self.fitted()["H"].shape[0]))
        if not single:
            raise DataError(
                "Predictions step by step are of one sequence. Received: "
                f"{len(found)} sequences; call this for each."
            )
        return found[0]

    def _normal(self, means: np.ndarray, spread: np.ndarray) -> ClosedFormPredictive:
        """Of each output by itself, from means ``[T, m]`` and covariances without noise."""
        noise = np.diag(self.R_)
        variances = np.diagonal(spread, axis1=-2, axis2=-1) + noise
        normal = tfd.Normal(tf.constant(means), tf.constant(np.sqrt(variances)))
        return ClosedFormPredictive(self, normal, np.broadcast_to(noise, means.shape))
