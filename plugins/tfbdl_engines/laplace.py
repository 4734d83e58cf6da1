"""Laplace's approximation: a normal at the mode of any log joint, or of a trained network."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl.data import Dataset
from tfbdl.errors import ModelError, TfbdlWarning
from tfbdl.inference import curvature, laplace, newton
from tfbdl.inference.mcmc import FlatTarget
from tfbdl.inference.mcmc.target import full_batch, is_vectorizable
from tfbdl.posterior import Posterior
from tfbdl.protocols import Context, EngineResult

from . import network_laplace
from .laplace_config import LaplaceOptions
from .precision import computing_in


class Laplace:
    """The normal at the mode, with the curvature there for its precision, is the posterior.

    By the Hessian the mode is climbed to by Newton steps. A network may have the generalised
    Gauss-Newton matrix of its likelihood in place of the Hessian, and any size.

    A model may have ``adopt_gaussian(mean, covariance)``, where ``mean`` is ``[D]`` over its sites
    in their order, none of which has a bijector: it takes the normal for its own posterior, with
    which it is stored, and can predict in closed form.

    Args:
        options: See LaplaceOptions.
    """

    def __init__(self, options: LaplaceOptions) -> None:
        self.options = options

    def fit(self, model: Any, data: Dataset | None, context: Context) -> EngineResult:
        """Approximate the model's posterior given the data.

        Raises:
            ModelError: If there are too many parameters for the curvature, no mode is found, or the
                density is flat along some direction there.
            DataError: If the rows come from a stream that does not end, or have weights.
            RunError: If the training of a net leaves the finite numbers.
        """
        network_laplace.check_options(model, self.options)
        if not network_laplace.takes_hessian(model, self.options):
            return network_laplace.approximate(model, data, context, self.options)
        with computing_in(self.options.dtype, model, data) as (copy, rows):
            batch = full_batch(copy, rows)
            target = FlatTarget(copy, batch, vectorize=is_vectorizable(copy))
            hessian = curvature.full_curvature(target)
            trace, mode, notices = self._best(target, hessian, context)
            for notice in notices:
                warnings.warn(notice, TfbdlWarning, stacklevel=2)
            gaussian = laplace.gaussian_at(mode.z, hessian, epsilon_of(target))
            params = target.constrain(tf.constant(mode.z, target.dtype))
            metrics = {
                "log_evidence": laplace.log_evidence(mode.log_density, gaussian),
                "log_joint": float(copy.log_joint(params, batch)),
                "newton_steps": float(len(trace) - 1),
            }
            posterior: Posterior = laplace.posterior_of(target, gaussian).kept()
        if hasattr(model, "adopt_gaussian"):
            model.adopt_gaussian(gaussian.mean, gaussian.covariance)
            posterior = model.posterior
        return EngineResult(posterior=posterior, history={"lp": trace}, metrics=metrics)

    def _best(
        self, target: FlatTarget, hessian: newton.Curvature, context: Context
    ) -> tuple[list[float], newton.Point, list[str]]:
        """Trace, mode and notices of the start that led highest, of those without notices."""
        starts = list(target.initial_states(self.options.restarts, context.seed).numpy())
        if hasattr(target.model, "mode_start"):
            starts[0] = target.unconstrain(target.model.mode_start(target.batch)).numpy()
        found: list[tuple[list[float], newton.Point, list[str]]] = []
        failures: list[ModelError] = []
        value = value_of(target)
        for start in starts:
            try:
                trace, mode = self._climbed(target, value, hessian, start, context)
                found.append((trace, mode, _notices(target, mode)))
            except ModelError as error:
                failures.append(error)
        if not found:
            raise failures[0]
        return max(found, key=lambda one: (not one[2], one[1].log_density))

    def _climbed(
        self,
        target: FlatTarget,
        value: newton.Value,
        hessian: newton.Curvature,
        start: np.ndarray,
        context: Context,
    ) -> tuple[list[float], newton.Point]:
        trace: list[float] = []
        points = newton.ascend(
            value,
            hessian,
            start.astype(np.float64),
            tolerance=self.options.tolerance,
            epsilon=epsilon_of(target),
        )
        for step, point in enumerate(points):
            trace.append(point.log_density)
            if context.on_step is not None:
                reported = {"step": step, "steps": self.options.max_steps, "lp": trace[-1]}
                context.on_step(reported)
            if point.is_mode:
                return trace, point
            if step == self.options.max_steps:
                break
        raise ModelError(
            f"No mode was found in {self.options.max_steps} Newton steps (engine option max_steps);"
            f" the log density rose from {trace[0]:.6g} to {trace[-1]:.6g}. Is the posterior "
            "proper, and the density smooth?"
        )


def epsilon_of(target: FlatTarget) -> float:
    """The relative rounding error of the target's precision, float32 if any site is."""
    kinds = {site.dtype for site in target.sites.values()}
    return 2.0**-52 if kinds == {"float64"} else 2.0**-23


def _notices(target: FlatTarget, mode: newton.Point) -> list[str]:
    """What the model says is wrong with a mode."""
    if not hasattr(target.model, "mode_notices"):
        return []
    params = target.constrain(tf.constant(mode.z, target.dtype))
    return list(target.model.mode_notices(params, target.batch))


def value_of(target: FlatTarget) -> newton.Value:
    """The compiled log density of one state, with its gradient, as NumPy has them."""
    compiled = tf.function(target.log_prob_and_gradient, autograph=False)

    def value(z: np.ndarray) -> tuple[float, np.ndarray]:
        log_density, gradient = compiled(tf.constant(z[np.newaxis], target.dtype))
        return float(log_density[0]), gradient[0].numpy().astype(np.float64)

    return value
