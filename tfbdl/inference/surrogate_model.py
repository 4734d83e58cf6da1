"""A ``keras.Model`` around any log joint: its Gaussian surrogate, trained by ``model.fit``.

References:
    Kucukelbir et al. 2017, "Automatic Differentiation Variational Inference", equation (5).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from .. import random
from ..errors import OptionsError
from ..posterior import SurrogatePosterior
from ..protocols import LogJoint, Params, Site
from . import surrogate as surrogates
from .elbo import KLSchedule
from .surrogate import read


class SurrogateModel(keras.Model):
    """Maximises ``E_q[log p(data, T(u)) + log |T'(u)|] + H(q)`` over Gaussians q of u.

    T is the sites' bijectors. The model's ``fit`` takes batches of the data, or nothing but
    ``steps_per_epoch`` where the density holds its data itself.

    Args:
        target: The model with ``sites``, ``init`` and ``log_joint``.
        family: ``mean_field``, ``low_rank``, ``full_rank`` or ``delta``.
        rank: Of ``low_rank``.
        num_samples: Draws of q per step.
        seed: Of starting point and noise.
    """

    def __init__(
        self,
        target: LogJoint,
        family: str = "mean_field",
        *,
        rank: int = 10,
        num_samples: int = 8,
        seed: int = 0,
    ) -> None:
        super().__init__(name="surrogate_model", dtype="float32")
        if num_samples < 1:
            raise OptionsError(f"num_samples must be at least 1. Received: {num_samples}.")
        self.target = target
        self.num_samples = num_samples
        self.kl_weight: float | KLSchedule = 1.0
        self.site_table: Mapping[str, Site] = {site.name: site for site in target.sites}
        start = target.init(seed)
        self.locations = {
            name: self.add_weight(
                name=name,
                dtype=site.dtype,
                autocast=False,
                shape=tuple(self._unconstrained(site, start[name]).shape),
                initializer=_Given(np.asarray(self._unconstrained(site, start[name]))),
            )
            for name, site in self.site_table.items()
        }
        options: dict[str, Any] = {"rank": rank} if family == "low_rank" else {}
        if family != "delta":
            options["initial_raw_scale"] = -1.0  # the scale of a density is not that of a net
        self.surrogate = surrogates.make(family, self.locations, **options)
        self.step = self.add_weight(
            name="rng_step",
            shape=(),
            dtype="int64",
            trainable=False,
            initializer="zeros",
            autocast=False,
            aggregation="only_first_replica",
        )
        self.seed = seed
        self.elbo_metric = keras.metrics.Mean(name="elbo")
        self.built = True

    @property
    def learned(self) -> dict[str, Site]:
        """The sites whose draws are transformed; their moments are those of draws."""
        return {name: s for name, s in self.site_table.items() if s.bijector is not None}

    def learned_values(self, params: Params) -> dict[str, tf.Tensor]:
        """Nothing is a point estimate here."""
        return {}

    def constrained(self, draw: Params) -> dict[str, tf.Tensor]:
        """From a draw of the surrogate to values in the constrained space."""
        return {
            name: value
            if self.site_table[name].bijector is None
            else self.site_table[name].bijector.forward(value)
            for name, value in draw.items()
        }

    @property
    def posterior(self) -> SurrogatePosterior:
        """The approximate posterior as it stands."""
        return SurrogatePosterior(self)

    def elbo(self, keys: tf.Tensor, batch: Any, weight: Any = 1.0) -> tf.Tensor:
        """The estimate of the ELBO in nats over draws with ``keys [S, 2]``.

        Args:
            keys: Of the draws.
            batch: What ``target.log_joint`` takes.
            weight: Of the entropy; 1 is Bayes, 0 a point estimate, so that annealing goes from
                the mode of the unconstrained density to the posterior.
        """

        def of_draw(draw: dict[str, tf.Tensor]) -> tf.Tensor:
            total = self.target.log_joint(self.constrained(draw), batch)
            for name, value in draw.items():
                bijector = self.site_table[name].bijector
                if bijector is not None:
                    rank = value.shape.rank  # all of it: a constant Jacobian counts per element
                    jacobian = bijector.forward_log_det_jacobian(value, event_ndims=rank)
                    total += tf.cast(jacobian, total.dtype)
            return total

        terms = tf.vectorized_map(of_draw, self.surrogate.sample(keys), warn=False)
        entropy = tf.cast(self.surrogate.entropy(), terms.dtype)
        return tf.reduce_mean(terms) + tf.cast(weight, terms.dtype) * entropy

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One step on the negative ELBO."""
        weight = self.kl_weight(read(self.step)) if callable(self.kl_weight) else self.kl_weight
        with tf.GradientTape() as tape:
            elbo = self.elbo(self._keys("surrogate"), _batch(data), weight)
            loss = -elbo / tf.distribute.get_strategy().num_replicas_in_sync
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        self.step.assign_add(tf.ones((), tf.int64))
        return self._results(elbo)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """The negative ELBO on a held-out batch, with noise that training does not share."""
        return self._results(self.elbo(self._keys("evaluate"), _batch(data)))

    def _keys(self, stream: str) -> tf.Tensor:
        """Keys of this step's draws: ``[num_samples, 2]``."""
        key = random.key(self.seed, stream, read(self.step), random.replica_id())
        return random.split(key, self.num_samples)

    def _results(self, elbo: tf.Tensor) -> dict[str, tf.Tensor]:
        self.elbo_metric.update_state(elbo)
        self._loss_tracker.update_state(-elbo)
        results: dict[str, tf.Tensor] = self.get_metrics_result()
        return results

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """As in Keras; without ``x`` each step sees what the density holds itself."""
        if x is None:
            x = tf.data.Dataset.from_tensors(tf.zeros((1, 0))).repeat()
        return super().fit(x, *args, **kwargs)

    @staticmethod
    def _unconstrained(site: Site, value: Any) -> tf.Tensor:
        value = tf.convert_to_tensor(value, site.dtype)
        return value if site.bijector is None else site.bijector.inverse(value)


def _batch(data: Any) -> Any:
    """What ``log_joint`` takes; None stands for the placeholder of ``fit`` without data."""
    return None if isinstance(data, tf.Tensor) and data.shape == (1, 0) else data


class _Given(keras.initializers.Initializer):
    """Starts a variable at an array."""

    def __init__(self, value: np.ndarray) -> None:
        self.value = value

    def __call__(self, shape: Any, dtype: Any = None) -> tf.Tensor:
        return tf.reshape(tf.constant(self.value, dtype), shape)
