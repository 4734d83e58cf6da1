"""The engine ``smc``: particles from the prior to the posterior, and the evidence."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfbdl import random
from tfbdl.data import Dataset
from tfbdl.inference.driver import Reporter, from_arrays, to_arrays
from tfbdl.inference.mcmc import FlatTarget
from tfbdl.inference.mcmc.target import full_batch, is_vectorizable
from tfbdl.inference.monte_carlo.proposals import (
    Prior,
    has_prior,
    normal_near_start,
    path_between,
)
from tfbdl.inference.monte_carlo.smc import Choices, Particles, SequentialMonteCarlo
from tfbdl.posterior import Posterior
from tfbdl.protocols import Context, EngineResult

from .monte_carlo import constrained
from .monte_carlo_config import SmcOptions
from .precision import computing_in

DENSE = 500
"""The most parameters of which moves take the whole covariance unless they are told to."""
RECORDED = ("temperature", "log_evidence", "effective_size", "acceptance_rate")


class Smc:
    """Sequential Monte Carlo with adaptive tempering.

    Args:
        options: See SmcOptions.
    """

    def __init__(self, options: SmcOptions) -> None:
        self.options = options

    def fit(self, model: Any, data: Dataset | None, context: Context) -> EngineResult:
        """Sample the model's posterior given the data.

        Raises:
            ModelError: If the density is not finite at a particle, the path cannot begin where the
                options say, or the posterior is too far from there.
            DataError: If the rows come from a stream that does not end, or have weights.
        """
        with computing_in(self.options.dtype, model, data) as (model, data):
            target = FlatTarget(model, full_batch(model, data), vectorize=is_vectorizable(model))
            course = self._ended(self._sampler(target, context.seed), context)
            draws = constrained(target, course.particles.z.numpy())
        history = {name: list(values) for name, values in course.history.items()}
        metrics = {
            "log_evidence": float(course.particles.log_evidence),
            "stages": float(course.particles.stage),
            "effective_size": min(history["effective_size"]),
            "acceptance_rate": float(np.mean(history["acceptance_rate"])),
        }
        posterior = Posterior({n: v[np.newaxis] for n, v in draws.items()}, independent=True)
        return EngineResult(posterior=posterior, history=history, metrics=metrics)

    def _sampler(self, target: FlatTarget, seed: int) -> SequentialMonteCarlo:
        options = self.options
        from_prior = options.start == "prior" or (
            options.start == "auto" and has_prior(target.model)
        )
        reference = (
            Prior(target) if from_prior else normal_near_start(target, options.start_scale, seed)
        )
        dense = options.mass_matrix == "dense" or (
            options.mass_matrix == "auto" and target.dim <= DENSE
        )
        return SequentialMonteCarlo(
            path_between(reference, target, gradient=options.kernel == "hmc"),
            reference.sample,
            kernel=options.kernel,
            moves=options.moves,
            num_leapfrog=options.num_leapfrog,
            resampling=options.resampling,
            share=options.share,
            dense=dense,
        )

    def _ended(self, sampler: SequentialMonteCarlo, context: Context) -> Course:
        """All stages, of one run or of two; from the last checkpoint, if there is one."""
        options = self.options
        reporter = Reporter(context, options.checkpoint_seconds)
        runs = [random.key(context.seed, "smc", run) for run in range(1 + options.unbiased)]
        course = Course(0, sampler.start(options.particles, runs[0]), [], _no_history())
        course = _restored(course, sampler, context)
        while True:
            done = float(course.particles.temperature) >= 1.0
            if done and course.run + 1 == len(runs):
                return course
            if done:
                again = sampler.start(options.particles, runs[course.run + 1])
                course = Course(course.run + 1, again, course.choices, _no_history())
                continue
            stage = int(course.particles.stage)
            given = course.choices[stage] if course.run else None
            particles, made, figures = sampler.stage(course.particles, runs[course.run], given)
            values = (particles.temperature, particles.log_evidence, *figures)
            for name, value in zip(RECORDED, values, strict=True):
                course.history[name].append(float(value))
            choices = course.choices if course.run else [*course.choices, made]
            course = course._replace(particles=particles, choices=choices)
            reporter.report(course.figures, functools.partial(_store, reporter, course))


class Course(NamedTuple):
    """Where a run, or a pair of runs, stands.

    Attributes:
        run: 0, or 1 for the one that repeats the choices of the first.
        particles: Of the current run.
        choices: Of the stages of the first.
        history: Figures of the stages of the current run.
    """

    run: int
    particles: Particles
    choices: list[Choices]
    history: dict[str, list[float]]

    @property
    def stages(self) -> int:
        """Made so far, of both runs."""
        return int(self.particles.stage) + self.run * len(self.choices)

    def figures(self) -> dict[str, float]:
        """What is reported of the last stage."""
        last = {name: values[-1] for name, values in self.history.items()}
        return {"step": self.stages, **last}


def _no_history() -> dict[str, list[float]]:
    return {name: [] for name in RECORDED}


def _store(reporter: Reporter, course: Course) -> None:
    def arrays() -> dict[str, np.ndarray]:
        stacked = tf.nest.map_structure(lambda *parts: tf.stack(parts), *course.choices)
        return to_arrays("particles", course.particles) | to_arrays("choices", stacked)

    reporter.store(course.stages, arrays, {"run": course.run, "history": course.history})


def _restored(course: Course, sampler: SequentialMonteCarlo, context: Context) -> Course:
    """The course of the last checkpoint, or the one that is given."""
    found = None if context.checkpoints is None else context.checkpoints.restore()
    if found is None:
        return course
    _, arrays, notes = found
    particles = from_arrays("particles", course.particles, arrays)
    template = sampler.choices_like(course.particles)
    stacked = from_arrays(
        "choices",
        tf.nest.map_structure(lambda part: part[tf.newaxis], template),
        arrays,
        free_axes=1,
    )
    count = int(tf.nest.flatten(stacked)[0].shape[0])
    choices = [tf.nest.map_structure(lambda part, i=i: part[i], stacked) for i in range(count)]
    history = {name: [float(v) for v in values] for name, values in notes["history"].items()}
    return Course(int(notes["run"]), particles, choices, history)
