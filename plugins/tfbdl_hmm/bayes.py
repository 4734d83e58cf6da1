"""Bayesian hidden Markov models: Gibbs sampling, and the log joint with the states summed out.

References:
    Scott 2002, "Bayesian methods for hidden Markov models"; Chib 1996.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfbdl import random
from tfbdl.data import DataInfo
from tfbdl.errors import DataError, ModelError
from tfbdl.posterior import Posterior
from tfbdl.protocols import Conditional, Params, Site

from . import conjugate, forward_backward, paths
from .categorical import normalised
from .emissions import Emission
from .gamma import dirichlet

tfb = tfp.bijectors

ENDED = -1
"""The state after the last observation of a sequence."""


class Bayesian:
    """What engines over draws ask of a model; a mixin of HiddenMarkovModel.

    The posterior does not change if the states are numbered anew, so it has ``k!`` modes alike.
    Chains of Gibbs or NUTS as a rule stay in the one that they find; compare what does not depend
    on the numbers (the log joint, predictions), or start all chains from a fitted model.
    """

    vectorized = True
    options: Any
    emission: Emission
    info: DataInfo | None
    params: dict[str, np.ndarray]

    @property
    def sites(self) -> tuple[Site, ...]:
        """The parameters; the states are summed out."""
        k, dtype = self.options.num_states, self.options.dtype
        simplex = tfb.IteratedSigmoidCentered()
        return (
            Site("initial", (k,), simplex, dtype),
            Site("transition", (k, k), simplex, dtype),
            *self.emission.sites(),
        )

    def init(self, seed: int) -> dict[str, tf.Tensor]:
        """The fitted parameters, or else some near the data's moments."""
        if self.params:
            return self._as_sites()
        k, dtype = self.options.num_states, self.options.dtype
        key = random.key(seed, "init")
        chances = random.uniform((k, k), random.fold_in(key, "transition"), dtype)
        mean, deviation = self._moments()
        return {
            "initial": tf.fill((k,), tf.constant(1.0 / k, dtype)),
            "transition": normalised(chances + tf.eye(k, dtype=dtype)),
            **self.emission.init(mean, deviation, random.fold_in(key, "emission")),
        }

    def init_latents(self, seed: int) -> dict[str, tf.Tensor]:
        """The states ``z`` that Gibbs sampling draws beside the parameters, to begin with."""
        info = self.info
        if info is None or info.num_rows is None or not isinstance(info.x_shape, tuple):
            raise ModelError("The states have the shape of the data. Fit the model to one array.")
        steps = () if self._is_single() else info.x_shape[:1]
        return {"z": tf.zeros((info.num_rows, *steps), tf.int32)}

    @property
    def conditionals(self) -> Mapping[str, Conditional]:
        """States, chain and emissions by turns: Scott 2002, section 2.1."""
        return {"states": self._states, "chain": self._chain, "emission": self._emission}

    def log_joint(self, params: Params, batch: Any) -> tf.Tensor:
        """``log p(params) + log p(y | params)`` of one state, in nats."""
        single = {site.name: params[site.name][tf.newaxis] for site in self.sites}
        return self.log_joints(single, batch)[0]

    def log_joints(self, params: Params, batch: Any) -> tf.Tensor:
        """The same of many states at once: sites with a leading axis give ``[state]``."""
        y = self._sequences(batch)
        log_likelihood = tf.reduce_sum(_log_likelihood(*self._logs(params, y)), -1)  # type: ignore[misc]
        if self.info is not None and self.info.num_rows and not self._is_single():
            log_likelihood *= self.info.num_rows / y.shape[0]
        initial, transition = self._concentrations(y.dtype)
        prior = conjugate.dirichlet_log_prob(initial, params["initial"])
        rows = conjugate.dirichlet_log_prob(transition, params["transition"])
        return log_likelihood + prior + tf.reduce_sum(rows, -1) + self.emission.log_prior(params, y)

    def adopt(self, posterior: Posterior | None) -> None:
        """Take the draw of the largest log joint for the fitted parameters.

        Means over draws would mix states that were numbered differently.
        """
        names = [site.name for site in self.sites] if posterior is not None else []
        if posterior is None or not set(names) <= set(posterior.draws):
            return
        density = posterior.sample_stats.get("lp")
        first = next(iter(posterior.draws.values()))
        best = (0, 0) if density is None else np.unravel_index(np.argmax(density), first.shape[:2])
        draw = {name: posterior.draws[name][best] for name in names}
        self.assign(  # type: ignore[attr-defined]
            {n: draw[n] for n in ("initial", "transition")} | self.emission.from_sites(draw)
        )

    def _states(self, key: tf.Tensor, params: Params, batch: Any) -> Params:
        y = self._sequences(batch)
        drawn = paths.sample_posterior(*self._logs(params, y), key)
        ended = tf.where(self.counted(y), drawn, ENDED)  # type: ignore[attr-defined]
        return {"z": tf.reshape(ended, params["z"].shape)}

    def _chain(self, key: tf.Tensor, params: Params, batch: Any) -> Params:
        y = self._sequences(batch)
        weights = self._one_hot(params, y)
        initial, transition = self._concentrations(y.dtype)
        initial += tf.reduce_sum(weights[:, 0], 0)
        transition += self.transitions(y, weights)  # type: ignore[attr-defined]
        drawn = dirichlet(tf.concat([initial[tf.newaxis], transition], 0), key)
        return {"initial": drawn[0], "transition": drawn[1:]}

    def _emission(self, key: tf.Tensor, params: Params, batch: Any) -> Params:
        y = self._sequences(batch)
        return self.emission.draw(y, self._one_hot(params, y), key)

    def _one_hot(self, params: Params, y: tf.Tensor) -> tf.Tensor:
        z = tf.reshape(params["z"], y.shape[:2])
        return tf.one_hot(z, self.options.num_states, dtype=y.dtype)

    def _concentrations(self, dtype: Any) -> tuple[tf.Tensor, tf.Tensor]:
        options, k = self.options, self.options.num_states
        initial = tf.fill((k,), tf.constant(options.initial_concentration, dtype))
        even = tf.fill((k, k), tf.constant(options.transition_concentration, dtype))
        return initial, even + options.stickiness * tf.eye(k, dtype=dtype)

    def _logs(self, params: Params, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return self.logs(params, y)  # type: ignore[attr-defined]

    def _sequences(self, batch: Any) -> tf.Tensor:
        """The batch with all its axes: ``[n, T, d]`` or ``[n, T]``."""
        if isinstance(batch, tuple):
            raise DataError("A hidden Markov model takes sequences alone. Received: (x, y).")
        y = tf.cast(tf.convert_to_tensor(batch), self.options.dtype)
        gaussian = self.options.emission == "gaussian"
        if gaussian and y.shape.rank == 1:
            y = y[:, tf.newaxis]
        if y.shape.rank < (3 if gaussian else 2):
            if self.info is not None and self.info.num_rows not in (None, y.shape[0]):
                raise DataError(
                    "The steps of one sequence belong together. Expected all "
                    f"{self.info.num_rows} of them. Received: a minibatch of {y.shape[0]}; give "
                    "several sequences, [n, T, d], to engines that need minibatches."
                )
            y = y[tf.newaxis]
        return y

    def _is_single(self) -> bool:
        """Whether the data the model was made for are one sequence."""
        shape = () if self.info is None else self.info.x_shape
        return len(shape) < (2 if self.options.emission == "gaussian" else 1)

    def _moments(self) -> tuple[Any, Any]:
        info = self.info
        if self._is_single() and info is not None and info.x_mean is not None:
            return np.asarray(info.x_mean), np.asarray(info.x_std)
        return 0.0, 1.0

    def _as_sites(self) -> dict[str, tf.Tensor]:
        values = dict(self.params)
        names = [site.name for site in self.sites]
        if "variances" in names:
            values["variances"] = np.diagonal(values["covariances"], axis1=-2, axis2=-1)
        return {name: tf.constant(values[name], self.options.dtype) for name in names}


_log_likelihood = tf.function(forward_backward.log_likelihood, jit_compile=True, autograph=False)
