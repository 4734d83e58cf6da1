"""Predictions by the linearisation of a net at the mean of a normal over its weights.

``f(x, w) ~ f(x, w*) + J(x) (w - w*)``: under a normal posterior the outputs are normal with
covariance ``J Sigma J'`` (Immer, Korzepa and Bauer 2021, equations 8 and 9).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import special

from .. import logistic_normal, random
from ..closed_form import ClosedFormPredictive
from ..conditionals import cache_of
from ..errors import ModelError
from ..predictive import Predictive
from .gauss_newton import batch_rows, even
from .net_jacobian import NetJacobian

tfd = tfp.distributions
CLOSED_FORMS = ("gaussian", "bernoulli", "categorical")
ENTROPY_DRAWS = 256


def closed_form(model: Any, posterior: Any, x: Any, seed: int = 0) -> Predictive:
    """The predictive distribution of the linearised net.

    Exact for a Gaussian likelihood and for a Bernoulli one; class probabilities by the probit
    approximation ``softmax(f / sqrt(1 + pi / 8 diag(J Sigma J')))``, and their aleatoric entropy
    from 256 draws of the logits.

    Args:
        model: The network.
        posterior: A NormalPosterior of it.
        x: Inputs ``[n, ...]``.
        seed: Of the draws behind the entropy.

    References:
        Daxberger et al. 2021, "Laplace Redux", section 3 and appendix B.1 (probit).
    """
    f, S, outputs = moments(model, posterior, x)
    likelihood = model.likelihood
    own = model.likelihood_parameters(posterior.point())
    marginal = np.diagonal(S, axis1=1, axis2=2)
    if likelihood.name == "gaussian":
        mean = likelihood.mean(outputs, own).numpy().astype(np.float64)
        noise = likelihood.variance(outputs, own).numpy().astype(np.float64)
        unit = np.asarray(likelihood.target_scale)
        spread = np.sqrt(noise + unit**2 * marginal)
        return ClosedFormPredictive(model, tfd.Normal(mean, spread), noise)
    if likelihood.name == "bernoulli":
        shape = f.shape
        probs, entropy = (
            of(f.ravel(), np.sqrt(marginal).ravel()).reshape(shape)
            for of in (logistic_normal.mean_probability, logistic_normal.mean_entropy)
        )
        return ClosedFormPredictive(model, probs, entropy)
    return ProbitPredictive(model, f, S, seed)


class ProbitPredictive(ClosedFormPredictive):
    """Class probabilities of normal logits, by the probit approximation.

    Args:
        model: What predicts.
        f: Mean of the logits, ``[n, classes]``.
        S: Their covariance, ``[n, classes, classes]``.
        seed: Of the draws behind the expected entropy, made when it is asked for.
    """

    def __init__(self, model: Any, f: np.ndarray, S: np.ndarray, seed: int) -> None:
        self._logits, self._seed = (f, S), seed
        kappa = 1.0 / np.sqrt(1.0 + np.pi / 8.0 * np.diagonal(S, axis1=1, axis2=2))
        super().__init__(model, special.softmax(kappa * f, axis=1), np.zeros(len(f)))

    @property
    def probs(self) -> np.ndarray:
        """Class probabilities, ``[n, classes]``."""
        return np.asarray(self.distribution)

    @cached_property
    def _classes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        total = self._entropy_of(self.probs)
        return self.probs, total, np.minimum(_mean_entropy(*self._logits, self._seed), total)


def moments(model: Any, posterior: Any, x: Any) -> tuple[np.ndarray, np.ndarray, tf.Tensor]:
    """Mean ``[n, C]`` and covariance ``[n, C, C]`` of the linearised outputs, and the outputs."""
    params = {name: tf.convert_to_tensor(value) for name, value in posterior.point().items()}
    rows = _compiled(model, [site.name for site in posterior.flat_sites])
    x = tf.nest.map_structure(tf.convert_to_tensor, x)
    n = int(tf.nest.flatten(x)[0].shape[0])
    step = even(n, batch_rows(model, len(posterior.normal.mean)))
    outputs, covariances = [], []
    for start in range(0, n, step):
        taken = tf.nest.map_structure(lambda part, start=start: part[start : start + step], x)
        values, J = rows(params, taken)
        outputs.append(values)
        covariances.append(posterior.normal.quadratic(J.numpy().astype(np.float64)))
    whole = tf.concat(outputs, axis=0)
    flat = whole.numpy().astype(np.float64).reshape(n, -1)
    return flat, np.concatenate(covariances), whole


def _compiled(model: Any, names: Sequence[str]) -> Any:
    """From weights and inputs to outputs and their derivatives; it stays with the model."""
    kept, key = cache_of(model), ("linearized", *names)
    if key not in kept:
        jacobian = NetJacobian(model, names)
        if list(jacobian.names) != list(names):
            raise ModelError("The posterior is of another net: its weights have another order.")
        kept[key] = tf.function(jacobian.rows, autograph=False, reduce_retracing=True)
    return kept[key]


def has_closed_form(likelihood: Any, outputs_rank: int) -> bool:
    """Whether ``closed_form`` knows the likelihood, of outputs ``[n, C]``."""
    return likelihood.name in CLOSED_FORMS and outputs_rank == 2


class LinearizedNetwork:
    """A network whose outputs are linear in its weights, for a Predictive of draws.

    Args:
        model: The network.
        posterior: A NormalPosterior, at whose mean the net is linearised.
    """

    def __init__(self, model: Any, posterior: Any) -> None:
        self.model, self.net, self.likelihood = model, model.net, model.likelihood
        self.centre = {n: tf.convert_to_tensor(v) for n, v in posterior.point().items()}
        self.names = [s.name for s in posterior.flat_sites if s.name not in model.learned]

    def outputs(self, params: Mapping[str, tf.Tensor], x: Any) -> tf.Tensor:
        """``f(x, w*) + J(x) (w - w*)``: ``[n, ...]``."""
        primals = [self.centre[name] for name in self.names]
        tangents = [params[name] - self.centre[name] for name in self.names]
        with tf.autodiff.ForwardAccumulator(primals, tangents) as accumulator:
            own = dict(zip(self.names, primals, strict=True))
            values = self.model.outputs({**self.centre, **own}, x)
        zero = tf.UnconnectedGradients.ZERO
        return values + accumulator.jvp(values, unconnected_gradients=zero)

    def likelihood_parameters(self, params: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Those of the network."""
        own: dict[str, tf.Tensor] = self.model.likelihood_parameters(params)
        return own


def _mean_entropy(f: np.ndarray, S: np.ndarray, seed: int) -> np.ndarray:
    """``E[entropy(softmax(a))]`` of ``a ~ N(f, S)``, in nats: ``[n]``."""
    values, vectors = np.linalg.eigh(S)
    root = vectors * np.sqrt(np.maximum(values, 0.0))[:, np.newaxis]
    total = np.zeros(len(f))
    keys = random.split(random.key(seed, "logits"), ENTROPY_DRAWS // 2)
    for noise in random.normal((f.shape[1],), keys, "float64").numpy():
        step = root @ noise
        for logits in (f + step, f - step):
            log_p = special.log_softmax(logits, axis=1)
            total -= (np.exp(log_p) * log_p).sum(axis=1)
    return total / ENTROPY_DRAWS
