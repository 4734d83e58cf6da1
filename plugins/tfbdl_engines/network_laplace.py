"""Laplace's approximation of a network by the generalised Gauss-Newton matrix at its mode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

import tfbdl
from tfbdl import distributions, functional
from tfbdl.data import Dataset
from tfbdl.errors import DataError, ModelError
from tfbdl.inference import evidence, gauss_newton, linearized
from tfbdl.inference.curvature import MAX_FULL
from tfbdl.inference.mcmc.target import full_batch
from tfbdl.inference.net_jacobian import NetJacobian
from tfbdl.inference.normals import NormalPosterior
from tfbdl.protocols import Context, EngineResult

from .laplace_config import LaplaceOptions
from .precision import computing_in
from .trainer import Trainer, log_prior_penalty
from .training import take_up, train

NOISE = "likelihood.scale"


def approximate(
    model: tfbdl.BayesianNetwork,
    data: Dataset | None,
    context: Context,
    options: LaplaceOptions,
) -> EngineResult:
    """Train the net to its mode, unless it is approximated where it is, and take the curvature.

    Learned parameters of the likelihood and the prior are point estimates.

    Raises:
        ModelError: If the prior of a weight is not normal, or the curvature has no form for the
            net.
        DataError: If there are no targets, the rows come from a stream that does not end, or they
            have weights.
        RunError: If a loss is no finite number any more.
    """
    if data is None or data.y is None:
        raise DataError("The curvature of a network's likelihood needs data. Expected (x, y).")
    names = _chosen(model, options.layers)
    history: dict[str, list[float]] = {}
    if options.initial == "fresh":
        trainer = Trainer(model, data, options, log_prior_penalty(model), context.seed, 1)
        trained = train(trainer, 1, context, options.checkpoint_seconds)
        take_up(model, trainer, trained)
        history = trained.history
    with computing_in(options.dtype, model, data) as (copy, rows):
        batch = full_batch(copy, rows)
        params = state_of(copy)
        jacobian = NetJacobian(copy, names)
        predictive = _predictive(copy, batch, options)
        mean, stddev = _prior(copy, jacobian.names)
        structure = _structure(options, jacobian)
        fitted = gauss_newton.fitted(structure, copy, jacobian, params, batch)
        mode = flat(params, jacobian.names)
        found = _scales(copy, jacobian, fitted, mode - mean, stddev**-2, options)
        log_joint = float(copy.log_joint(params, batch))
    if NOISE in model.learned:
        scale = params[NOISE].numpy().astype(np.float64) * found.noise
        raw = model.learned[NOISE].bijector.inverse(tf.cast(scale, model.learned_raw[NOISE].dtype))
        model.learned_raw[NOISE].assign(raw)
    points = {n: v for n, v in state_of(model).items() if n not in jacobian.names}
    posterior = NormalPosterior(
        model,
        fitted.curvature.normal(mode, found.precision, found.noise**-2),
        jacobian.names,
        points,
        {"linearized": "closed_form", "linearized_draws": "draws"}.get(predictive),
    )
    metrics = {
        "log_evidence": found.value,
        "log_joint": log_joint,
        "effective_parameters": found.effective,
    }
    if options.evidence:
        metrics |= _chosen_scales(jacobian, found, options.prior_scales)
    if history:
        metrics["loss"] = history["loss"][-1]
    return EngineResult(posterior=posterior, history=history, metrics=metrics)


def state_of(model: Any) -> dict[str, tf.Tensor]:
    """All weights of a net that train or are random, and its learned parameters, as they stand."""
    trainable = {id(variable) for variable in model.net.trainable_variables}
    named = functional.site_names(model.net)
    own = {n: v for n, v in named.items() if id(v) in trainable or n in model.weight_sites()}
    params = {name: tf.convert_to_tensor(variable) for name, variable in own.items()}
    return params | model.learned_values({})


def flat(params: Mapping[str, tf.Tensor], names: Sequence[str]) -> np.ndarray:
    """Values flattened and joined: ``[D]``, float64."""
    return np.concatenate([params[n].numpy().astype(np.float64).ravel() for n in names])


def _chosen(model: Any, layers: str) -> list[str]:
    """The random weights, or those of the last layer that has any."""
    weights = list(model.weight_sites())
    if layers == "all":
        return weights
    last = weights[-1].rpartition(".")[0]
    return [name for name in weights if name.rpartition(".")[0] == last]


def _prior(model: Any, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the prior of each weight: ``[D]``.

    Raises:
        ModelError: If one is not normal.
    """
    means, stddevs = [], []
    for name in names:
        prior = model.prior_of(name, {})
        if not distributions.has_closed_form(prior):
            raise ModelError(
                "Laplace's approximation by the Gauss-Newton matrix needs a normal prior of each "
                f"weight. Received: {model.prior!r}. Use prior='normal', or curvature='hessian' "
                "for a small net."
            )
        means.append(np.asarray(prior.mean(), np.float64).ravel())
        stddevs.append(np.asarray(prior.stddev(), np.float64).ravel())
    return np.concatenate(means), np.concatenate(stddevs)


def _scales(
    model: Any,
    jacobian: NetJacobian,
    fitted: gauss_newton.Fitted,
    distance: np.ndarray,
    precision: np.ndarray,
    options: LaplaceOptions,
) -> evidence.Evidence:
    if not options.evidence:
        return evidence.evidence_at(fitted, distance, precision)
    groups = [np.arange(len(distance))]
    if options.prior_scales == "layers":
        layers = _layers(jacobian)
        groups = [np.flatnonzero(layers == layer) for layer in dict.fromkeys(layers)]
    return evidence.maximized(
        fitted, distance, precision, groups, noise=NOISE in model.learned and _is_gaussian(model)
    )


def _chosen_scales(
    jacobian: NetJacobian, found: evidence.Evidence, prior_scales: str
) -> dict[str, float]:
    """Of the prior (the geometric mean, where it had several), and the factor of the noise."""
    layers = _layers(jacobian)
    figures = {"noise_factor": found.noise}
    parts = [("prior_scale", np.ones(len(layers), bool))]
    if prior_scales == "layers":
        parts = [(f"prior_scale.{layer}", layers == layer) for layer in dict.fromkeys(layers)]
    for name, part in parts:
        figures[name] = float(np.exp(-0.5 * np.log(found.precision[part]).mean()))
    return figures


def _layers(jacobian: NetJacobian) -> np.ndarray:
    """The layer of each element of the flat vector: ``[D]``."""
    layers = [name.rpartition(".")[0] for name in jacobian.names]
    return np.repeat(layers, list(jacobian.sizes.values()))


def _is_gaussian(model: Any) -> bool:
    return bool(model.likelihood.name == "gaussian")


def _predictive(model: Any, batch: Any, options: LaplaceOptions) -> str:
    """What ``auto`` stands for.

    Raises:
        ModelError: If a closed form is asked for that there is not.
    """
    if options.predictive not in ("auto", "linearized"):
        return options.predictive
    first = tf.nest.map_structure(lambda part: part[:1], batch[0])
    rank = model.outputs({}, first).shape.rank
    if linearized.has_closed_form(model.likelihood, rank):
        return "linearized"
    if options.predictive == "auto":
        return "linearized_draws"
    raise ModelError(
        "predictive='linearized' has a closed form for the likelihoods "
        f"{', '.join(linearized.CLOSED_FORMS)} of outputs [n, units]. Use "
        f"predictive='linearized_draws'. Received: {model.likelihood.name!r} of outputs of "
        f"{rank} axes."
    )


def _structure(options: LaplaceOptions, jacobian: NetJacobian) -> str:
    """The Gauss-Newton matrix that ``auto`` stands for."""
    if options.curvature != "auto":
        return options.curvature
    if sum(jacobian.sizes.values()) <= MAX_FULL:
        return "full"
    return "diagonal" if jacobian.others else "kronecker"


def check_options(model: Any, options: LaplaceOptions) -> None:
    """Refuse options of networks for another model.

    Raises:
        ModelError: If the model is no network.
    """
    given = [*options.of_network]
    if options.curvature not in ("auto", "hessian"):
        given = [f"curvature={options.curvature!r}", *given]
    if given and not hasattr(model, "net"):
        raise ModelError(
            f"{', '.join(given)} is for networks (tfbdl.BayesianNetwork). Use curvature='hessian' "
            f"for other models. Received: a {type(model).__name__}."
        )


def takes_hessian(model: Any, options: LaplaceOptions) -> bool:
    """Whether the Hessian of the log joint is meant, and not a Gauss-Newton matrix.

    ``auto`` means it where the model is no network, or a small one with another prior than normal.
    """
    if options.curvature != "auto":
        return options.curvature == "hessian"
    if not hasattr(model, "net"):
        return True
    weights = model.weight_sites()
    size = sum(int(np.prod(variable.shape)) for variable in weights.values())
    size += sum(int(np.prod(item.shape)) for item in model.learned.values())
    if size > MAX_FULL or options.of_network:
        return False
    return not all(distributions.has_closed_form(model.prior_of(n, {})) for n in weights)
