"""LSTMKalman: a Kalman filter whose motion and noise are LSTMs (Coskun et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import keras
import numpy as np
import tensorflow as tf

from tfbdl.config import check_whole
from tfbdl.data import Dataset
from tfbdl.errors import OptionsError
from tfbdl.inference.surrogate import MeanField, read
from tfbdl.trainable import THREAD

from .given import given_arrays, positive
from .lstm_net import LSTMNet, Weights
from .lstm_queries import LSTMKalmanQueries
from .noise_nets import ConstantNoise, NoiseNet
from .recurrence import FilterState, LearnedStep, differentiated, moved, observe
from .scales import Scales, scales_of
from .system import apply
from .trained_filter import Pass, over_time, squares


class NetWeights(NamedTuple):
    """The weights of the three nets, read once for all steps."""

    motion: Weights
    process: Weights
    measurement: Weights


@keras.saving.register_keras_serializable(package="tfbdl_kalman_lstm")
class LSTMKalman(LSTMKalmanQueries):
    """``x_t = lstm_A(x_t-1) + w_t``, ``y_t = H x_t + v_t``; the noise by lstm_Q and lstm_R.

    The mean moves by lstm_A, the covariance by its Jacobian A with respect to the state (what the
    LSTM remembers is held): ``P_t|t-1 = A P A' + Q_t``. Q_t is diagonal, ``exp(lstm_Q(mean))`` of
    the predicted mean; R_t likewise of the observation. An observation updates in Joseph's form.

    ``fit(y, x)`` trains on observations ``y [n, T, m]`` and states ``x [n, T, d]``; ``fit(y)`` on
    observations alone (by keyword they have Keras' names, ``fit(x=observations, y=states)``). NaN
    stands for what is missing: in y for no update by that element, in x for no loss of it.

    Args:
        state_dim: d.
        observation_dim: m.
        H: What is seen of a state, ``[m, d]``; by default its first m elements.
        m0, P0: Mean and covariance of the first state before its observation, ``[d]`` and
            ``[d, d]``; by default ``fit`` takes them from its data.
        lstm_A: A Keras layer from ``[n, d]`` to ``[n, d]`` in place of the LSTM; it takes and gives
            states in their own units.
        Q, R: Constant covariances in place of lstm_Q and lstm_R.
        units: Of each LSTM of lstm_A.
        noise_units: Of each LSTM of lstm_Q and lstm_R.
        residual: Whether lstm_A gives the change of the state; None: the LSTM does, a layer that
            was given does not.
        process_variance, observation_variance: Where Q and R start, beside the variances of states
            and observations (with ``normalize``; else in their units).
        objective: ``squared``: ``1/T sum_t |x_t - mean_t|^2 + prediction_weight |x_t -
            predicted_t|^2``; ``likelihood``: ``-log p(y) / T`` in nats; ``auto``: the first where
            states are given, else the second. Under the first the scale of the covariances is not
            learned: gains do not depend on it.
        prediction_weight: See objective.
        forget_bias: Start of the forget gates' bias.
        truncate: Steps after which gradients are cut (truncated back-propagation); None: never.
        normalize: Whether nets see states and observations of mean 0 and standard deviation 1, as
            the first ``fit`` finds them.
        bayesian: Give lstm_A's weights a mean-field posterior. Training maximises the evidence
            lower bound of ``log p(y)`` with a draw for each batch. A filter runs with ``draws``
            draws side by side; its covariance is the mean of theirs and the covariance of their
            means (the law of total variance). All draws weigh the same there: the weights are known
            as the training data tell them, and a sequence that is filtered tells no more of them.
            So what is not known of the weights stays in the covariance of a long stream. The
            likelihood is ``log mean p(y | weights)``. ``posterior`` is that of the weights.
        draws: Of the weights, in a filter.
        prior_scale: Standard deviation of the weights' normal prior.
        seed: Of weights and noise; None: drawn from Python's ``random``.
        name: Of the model.
        **kwargs: Of ``keras.Model``, such as ``dtype="float64"``.

    Raises:
        OptionsError: If sizes do not fit together, or options contradict one another.

    References:
        Coskun et al. 2017, "Long short-term memory Kalman filters", eqs. 9 to 16; Blundell et al.
        2015 for random weights.

    Example:
        ```python
        model = LSTMKalman(state_dim=3, observation_dim=3)
        model.compile()
        model.fit(y, x, epochs=20, batch_size=50)
        model.filter(y_test).means, model.filter(y_test).covariances
        ```
    """

    gives = LearnedStep
    m0: keras.Variable
    P0: keras.Variable

    def __init__(
        self,
        state_dim: int,
        observation_dim: int,
        *,
        H: Any = None,
        m0: Any = None,
        P0: Any = None,
        lstm_A: Any = None,
        Q: Any = None,
        R: Any = None,
        units: Sequence[int] = (64,),
        noise_units: Sequence[int] = (32,),
        residual: bool | None = None,
        process_variance: float = 0.01,
        observation_variance: float = 0.01,
        prediction_weight: float = 0.8,
        forget_bias: float = 1.0,
        normalize: bool = True,
        bayesian: bool = False,
        draws: int = 16,
        prior_scale: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(state_dim, observation_dim, **kwargs)
        d, m, kind = state_dim, observation_dim, np.dtype(self.dtype)
        self.given = given_arrays(d, m, H=H, m0=m0, P0=P0, Q=Q, R=R)
        self.units = tuple(check_whole("units", size) for size in units)
        self.noise_units = tuple(check_whole("noise_units", size) for size in noise_units)
        self.residual = lstm_A is None if residual is None else bool(residual)
        self.process_variance = positive("process_variance", process_variance)
        self.observation_variance = positive("observation_variance", observation_variance)
        self.prediction_weight = positive("prediction_weight", prediction_weight, or_zero=True)
        self.prior_scale = positive("prior_scale", prior_scale)
        self.forget_bias, self.normalize = float(forget_bias), bool(normalize)
        self.bayesian, self.draws = bool(bayesian), check_whole("draws", draws)
        self._check_bayesian(lstm_A)
        starts = {"H": np.eye(m, d), "m0": np.zeros(d), "P0": np.eye(d)}
        for role, value in starts.items():
            given = self.given[role]
            value = (value if given is None else given).astype(kind)
            setattr(self, role, self.add_state(role, value))
        self.state_location = self.add_state("state_location", np.zeros(d, kind))
        self.state_scale = self.add_state("state_scale", np.ones(d, kind))
        self.observation_location = self.add_state("observation_location", np.zeros(m, kind))
        self.observation_scale = self.add_state("observation_scale", np.ones(m, kind))
        self.is_scaled = self.add_state("is_scaled", np.int64(0))
        self.num_data_seen = self.add_state("num_data_seen", np.int64(0))
        self._add_nets(lstm_A)
        self.nll_metric = keras.metrics.Mean(name="nll")
        self.built = True

    def _add_nets(self, lstm_A: Any) -> None:
        d, m = self.state_dim, self.observation_dim
        seed = int(read(self.rng_seed).numpy()) % 2**31
        more: dict[str, Any] = {"forget_bias": self.forget_bias, "dtype": self.dtype}
        self.own_motion = lstm_A is None
        if lstm_A is None:
            small = 0.1 if self.residual else 1.0  # a state begins by standing almost still
            lstm_A = LSTMNet(d, self.units, d, output_scale=small, seed=seed, **more)
        self.lstm_A = lstm_A
        if not self.lstm_A.built:
            self.lstm_A.build((None, d))
        if self.given["Q"] is not None:
            self.lstm_Q: Any = ConstantNoise(self.given["Q"], dtype=self.dtype)
        else:
            self.lstm_Q = NoiseNet(
                d, self.noise_units, self.process_variance, seed=seed + 1000, **more
            )
        if self.given["R"] is not None:
            self.lstm_R: Any = ConstantNoise(self.given["R"], dtype=self.dtype)
        else:
            self.lstm_R = NoiseNet(
                m, self.noise_units, self.observation_variance, seed=seed + 2000, **more
            )
        if self.bayesian:
            self.surrogate = MeanField({v.name: v for v in self.lstm_A.trainable_variables})
            self.kl_metric = keras.metrics.Mean(name="kl")

    def _check_bayesian(self, lstm_A: Any) -> None:
        if self.bayesian and lstm_A is not None:
            raise OptionsError(
                "bayesian=True draws the weights of the model's own LSTM. Expected: lstm_A=None. "
                f"Received: {lstm_A!r}."
            )
        if self.bayesian and self.objective_name == "squared":
            raise OptionsError(
                "bayesian=True needs a likelihood to weigh the prior against. Expected: "
                "objective='auto' or 'likelihood'. Received: 'squared'."
            )

    # -- a step ----------------------------------------------------------------------------------

    def start(self, batch: Any) -> FilterState:
        """The state before the first observation; see ``initial_state``."""
        return self.started(batch, ())

    def started(self, batch: Any, draws: Sequence[tf.Tensor]) -> FilterState:
        """The state before the first observation, with an axis of draws if there are any."""
        lead = [int(draws[0].shape[0]), batch] if draws else [batch]
        d = self.state_dim
        motion = self.lstm_A.initial_memory(lead) if self.own_motion else ()
        return FilterState(
            mean=tf.broadcast_to(read(self.m0), [*lead, d]),
            covariance=tf.broadcast_to(read(self.P0), [*lead, d, d]),
            motion=motion,
            process=self.lstm_Q.initial_memory(lead),
            measurement=self.lstm_R.initial_memory(lead),
            draws=tuple(draws),
        )

    def advance(
        self, state: FilterState, y: tf.Tensor, seen: tf.Tensor, weights: NetWeights
    ) -> tuple[FilterState, LearnedStep]:
        """Take in an observation, then move on to the next step."""
        H = read(self.H)[tf.newaxis]
        known = tf.where(seen > 0, y, apply(H, state.mean))
        scaled = (known - read(self.observation_location)) / read(self.observation_scale)
        R, measurement = self.lstm_R.covariance(
            scaled, state.measurement, read(self.observation_scale), weights.measurement
        )
        is_seen = tf.reduce_max(seen, -1, keepdims=True) > 0  # else lstm_R stays as it was
        measurement = tuple(
            tf.where(is_seen, new, old)
            for new, old in zip(measurement, state.measurement, strict=True)
        )
        found = observe(state.mean, state.covariance, H, R, y, seen)
        chosen = list(state.draws) or weights.motion
        mean, motion, A = self.motion_of(found.means, state.motion, chosen)
        location, scale = read(self.state_location), read(self.state_scale)
        Q, process = self.lstm_Q.covariance(
            (mean - location) / scale, state.process, scale, weights.process
        )
        covariance = moved(A, found.covariances, Q)
        return FilterState(mean, covariance, motion, process, measurement, state.draws), found

    def motion_of(
        self, mean: tf.Tensor, memory: tuple[tf.Tensor, ...], weights: Weights
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, ...], tf.Tensor]:
        """Where lstm_A moves states ``[..., n, d]``, its memory then, and the Jacobian of it.

        The Jacobian ``[..., n, d, d]`` is that of the new state by the old, memory held.
        """
        if not self.own_motion:
            after, A = differentiated(self.lstm_A, mean)
        else:
            location, scale = read(self.state_location), read(self.state_scale)
            net, memory, A = self.lstm_A.step_with_jacobian(
                (mean - location) / scale, memory, weights
            )
            after = scale * net + (0.0 if self.residual else location)
            A *= scale[:, tf.newaxis] / scale
        if self.residual:
            after += mean
            A += tf.eye(self.state_dim, dtype=A.dtype)
        return after, memory, A

    # -- training --------------------------------------------------------------------------------

    def drawn_weights(self, training: bool | None) -> tuple[NetWeights, Any]:
        """The nets' weights; of random ones a draw in training and evaluation, else their mean."""
        motion = self.lstm_A.current_weights() if self.own_motion else []
        kl: Any = 0.0
        if self.bayesian and (training or getattr(THREAD, "stream", None) == "evaluate"):
            drawn = self.surrogate.sample(self.noise_key(training, "weights"))
            motion = [drawn[name] for name in self.surrogate.site_names]
            kl = self.weights_kl()
        nets = (self.lstm_Q, self.lstm_R)
        return NetWeights(motion, *(net.current_weights() for net in nets)), kl

    def row_losses(
        self, passed: Pass, states: tf.Tensor | None, known: tf.Tensor | None
    ) -> tf.Tensor:
        """See objective; random weights bear ``KL / (num_data T)``."""
        found = passed.found
        nll = -over_time(tf.transpose(found.increments), passed.seen)
        self.nll_metric.update_state(nll)
        squared = self.objective_name == "squared" or (
            self.objective_name == "auto" and not self.bayesian
        )
        if squared and states is not None:
            loss = over_time(squares(states, known, found.means), known)
            predicted = over_time(squares(states, known, found.predicted_means), known)
            return loss + self.prediction_weight * predicted  # Coskun et al. 2017, eq. 16
        if self.bayesian:
            self.kl_metric.update_state(passed.kl)
            steps = tf.reduce_sum(tf.reduce_max(passed.seen, -1), -1)
            rows = tf.maximum(tf.cast(read(self.num_data_seen), self.dtype), 1.0)
            nll += tf.math.divide_no_nan(passed.kl / rows, steps)
        return nll

    def on_fit(self, data: Dataset) -> None:
        """Count the sequences; the first time, find m0, P0 and scales that were not given."""
        super().on_fit(data)
        if data.num_rows is not None:
            self.num_data_seen.assign(data.num_rows)
        if int(read(self.is_scaled).numpy()):
            return
        held = data.in_memory(8) if data.stream is not None else data
        found = scales_of(held.x, held.y, read(self.H).numpy())
        self.take_scales(found)

    def take_scales(self, found: Scales) -> None:
        """Let nets see numbers of these scales, and begin where sequences do."""
        if self.normalize:
            self.state_location.assign(found.state_location)
            self.state_scale.assign(found.state_scale)
            self.observation_location.assign(found.observation_location)
            self.observation_scale.assign(found.observation_scale)
        if self.given["m0"] is None:
            self.m0.assign(found.m0)
        if self.given["P0"] is None:
            self.P0.assign(found.P0)
        self.is_scaled.assign(1)

    # -- copies ----------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as plain values."""
        names = ("process_variance", "observation_variance", "prediction_weight", "forget_bias",
                 "units", "noise_units", "residual", "normalize", "bayesian", "draws",
                 "prior_scale")  # fmt: skip
        own = {name: getattr(self, name) for name in names}
        given = {n: None if v is None else v.tolist() for n, v in self.given.items()}
        layer = None if self.own_motion else keras.saving.serialize_keras_object(self.lstm_A)
        return {**super().get_config(), **own, **given, "lstm_A": layer}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """The inverse of ``get_config``."""
        config = dict(config)
        if isinstance(config.get("lstm_A"), dict):
            config["lstm_A"] = keras.saving.deserialize_keras_object(
                config["lstm_A"], custom_objects=custom_objects
            )
        return cls(**config)
