"""What the panels of samplers show: paths over exact contours, and over the draws of a run.

A sampler is compiled once, for all densities and step sizes: the numbers of the density are a
variable that the program reads, and the step size is a part of the state that it is given.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl import LogDensity, diagnostics, random
from tfbdl.config import make
from tfbdl.errors import ModelError
from tfbdl.inference.mcmc import FlatTarget, Lockstep
from tfbdl.inference.mcmc.adaptation import Mass, start_step_size
from tfbdl.inference.mcmc.lockstep import with_room
from tfbdl.inference.mcmc.transitions import Move
from tfbdl.inference.mcmc.trees import LogProbAndGradient, Point
from tfbdl.inference.sgmcmc import kernels
from tfbdl.labels import label_of
from tfbdl.remembered import remember

from . import mcmc
from .densities import DENSITIES, MASSES
from .mcmc_config import ChainOptions, HmcOptions, MalaOptions, NutsOptions, RandomWalkOptions
from .panel import DrawPathControls, SamplerPathControls

CHAINS = 4
DRAWS = 500
NUTS_DEPTH = 7
LEAPFROGS_AT_MOST = DRAWS * 2**NUTS_DEPTH
MOST_POINTS = 2_000
FIXED = {"warmup": 0, "draws": DRAWS, "chains": CHAINS, "step_size": 0.1}

Arrays = dict[str, np.ndarray]


def sampler_paths(fit: None, controls: SamplerPathControls) -> Arrays:
    """Four chains of a sampler on a density in the plane, from its start.

    Returns:
        ``draw [4, n, 2]``; ``contour [3, 2, 200, 2]``: closed lines that enclose ``mass [3]``;
        ``acceptance``: the mean acceptance rate (NaN of a sampler that refuses nothing); ``ess
        [2]`` of all draws and ``r_hat [2]``; ``evaluations``: of the density, by draw; ``first
        [b]``, ``exact [b]``, ``drawn [b]``: the first coordinate's density and a histogram.
    """
    density = DENSITIES[controls.density]
    state, names = _sampled(controls.sampler, controls.density, controls.step_size, controls.seed)
    draws = np.swapaxes(state.draws.numpy()[:-1], 0, 1)[:, : controls.draws]
    stats = dict(zip(names, np.moveaxis(state.stats.numpy()[: controls.draws], -1, 0), strict=True))
    finite = bool(np.isfinite(draws).all()) and bool((np.abs(draws) < 1e6).all())
    moves = finite and bool((np.ptp(draws, axis=(0, 1)) > 0).all())
    edges = np.linspace(*density.reach, 51)
    middle = 0.5 * (edges[1:] + edges[:-1])
    inside = draws[..., 0] if finite else draws[np.isfinite(draws).all(axis=-1)][:, 0]
    return {
        "draw": draws if finite else np.where(np.abs(draws) < 1e6, draws, np.nan),
        "contour": np.stack([density.contour(float(level)) for level in _levels(controls.density)]),
        "mass": np.array(MASSES),
        "acceptance": np.array(
            np.nan if controls.sampler == "sgld" else stats["acceptance_rate"].mean()
        ),
        "ess": np.nan_to_num(diagnostics.ess_bulk(draws)) if moves else np.zeros(2),
        "r_hat": diagnostics.r_hat(draws) if moves else np.full(2, np.inf),
        "evaluations": np.array(stats["n_steps"].mean()),
        "first": middle,
        "exact": np.exp(density.log_first(middle)),
        "drawn": np.histogram(inside, edges)[0] / (max(inside.size, 1) * (edges[1] - edges[0])),
        "sampler": np.array(controls.sampler),
    }


def draw_paths(fit: Any, controls: DrawPathControls) -> Arrays:
    """The path of a chain through two coordinates, over all draws.

    Returns:
        ``point [n, 2]``: at most 2,000 draws of all chains; ``path [m, 2]``: the first draws of a
        chain (thinned to 2,000); ``length``, ``draws``, ``chain``, ``chains``: of how many;
        ``axis [2]``: the names of the coordinates; ``coordinate [c]``: those that can be chosen;
        ``ess [2]``, ``r_hat [2]``; ``diverging [n]`` where the sampler says so.

    Raises:
        ModelError: If the run has no draws of a Markov chain, or they hold a single number.
    """
    posterior = fit.posterior
    if posterior is None or posterior.independent or not posterior.is_finite:
        raise ModelError("A path is of a Markov chain. Received: a posterior without one.")
    names = remember(posterior, "coordinates", lambda: _coordinates(posterior.draws))
    first, second = controls.first % len(names), controls.second % len(names)
    if first == second:  # a coordinate against itself is a line
        second = (second + 1) % len(names)
    pair = np.stack([_coordinate(posterior.draws, *names[i]) for i in (first, second)], axis=-1)
    chains, draws, _ = pair.shape
    length = max(2, round(controls.length * draws))
    path = pair[controls.chain % chains, :length]
    flat = pair.reshape(-1, 2)
    step = -(-len(flat) // MOST_POINTS)
    said = {
        "point": flat[::step],
        "path": path[:: -(-len(path) // MOST_POINTS)],
        "length": np.array(length),
        "draws": np.array(draws),
        "chain": np.array(controls.chain % chains),
        "chains": np.array(chains),
        "axis": np.array([_label(posterior.draws, *names[i]) for i in (first, second)]),
        "coordinate": np.array([_label(posterior.draws, *name) for name in names[:100]]),
        "ess": diagnostics.ess_bulk(pair),
        "r_hat": diagnostics.r_hat(pair),
    }
    if "diverging" in posterior.sample_stats:
        said["diverging"] = posterior.sample_stats["diverging"].reshape(-1)[::step]
    return said


# -- the densities, as the engines take them ------------------------------------------------------


@functools.cache
def _numbers() -> tf.Variable:
    """The numbers of the density that the compiled programs sample."""
    first = next(iter(DENSITIES.values()))
    return tf.Variable(first.numbers, dtype=tf.float64, trainable=False)


@functools.cache
def _target() -> FlatTarget:
    model = LogDensity(_log_prob, shapes={"x": (2,)}, dtype="float64", vectorized=True)
    return FlatTarget(model)


def _log_prob(x: tf.Tensor) -> tf.Tensor:
    """``PlaneDensity.log_prob`` of states ``[n, 2]``, but for a constant."""
    distance, scale, a, b, c, d, e = tf.unstack(_numbers().read_value())
    u, v = x[:, 0], x[:, 1]
    below, above = (u + distance) / scale, (u - distance) / scale
    log_sd = d + e * u
    z = (v - (a + b * u + c * u**2)) * tf.exp(-log_sd)
    return _log_add_exp(-0.5 * below**2, -0.5 * above**2) - 0.5 * z**2 - log_sd


def _log_add_exp(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    return tf.maximum(a, b) + tf.math.log1p(tf.exp(-tf.abs(a - b)))


@functools.cache
def _levels(name: str) -> np.ndarray:
    return DENSITIES[name].levels()


# -- the samplers, compiled once ------------------------------------------------------------------


@functools.cache
def _kernel(sampler: str) -> tuple[Any, tuple[str, ...]]:
    """The compiled sampler, and the names of its figures."""
    if sampler == "sgld":
        target = _target().log_prob_and_gradient
        names = ("lp", "n_steps")
        return Lockstep(target, _langevin, warmup=0, step_size=0.1, stats=names), names
    makers: dict[str, Callable[[], mcmc.ChainEngine]] = {
        "random_walk": lambda: mcmc.RandomWalk(_options(RandomWalkOptions)),
        "mala": lambda: mcmc.Langevin(_options(MalaOptions)),
        "hmc": lambda: mcmc.Hamiltonian(_options(HmcOptions)),
        "nuts": lambda: mcmc.NoUTurn(_options(NutsOptions, max_tree_depth=NUTS_DEPTH)),
    }
    engine = makers[sampler]()
    return engine.kernel(_target()), engine.stat_names


def _options(config: type[ChainOptions], **more: Any) -> ChainOptions:
    return make(config, {**FIXED, **more}, "options of the demonstration")


def _langevin(
    target: LogProbAndGradient, keys: tf.Tensor, point: Point, scale: tf.Tensor, mass: Mass
) -> Move:
    """A step of SGLD, of size ``scale^2``, with the full gradient: nothing is refused."""
    noise = random.normal(point.z.shape[1:], random.fold_in(keys, "noise"), point.z.dtype)
    z = kernels.sgld(point.z, point.gradient, noise, scale[:, tf.newaxis] ** 2, 1.0)
    log_prob, gradient = target(z)
    return Move(Point(z, gradient, log_prob), tf.ones_like(scale), tf.ones(scale.shape, tf.int32))


def _sampled(
    sampler: str, density: str, step_size: float, seed: int
) -> tuple[Any, tuple[str, ...]]:
    """The state after all draws of all chains."""
    _numbers().assign(DENSITIES[density].numbers)
    kernel, names = _kernel(sampler)
    keys = random.split(random.key(seed, "sampler paths", sampler), CHAINS)
    start = tf.constant([DENSITIES[density].start] * CHAINS, tf.float64)
    state = with_room(kernel.start(start, keys), DRAWS)
    size = tf.fill((CHAINS,), tf.constant(step_size, tf.float64))
    state = state._replace(step=start_step_size(size))
    steps = tf.constant(LEAPFROGS_AT_MOST)
    return kernel.advance(state, keys, tf.constant(DRAWS), steps), names


# -- the draws of a run ---------------------------------------------------------------------------


def _coordinates(draws: Any) -> list[tuple[str, int]]:
    """(site, element) of each number of a draw that varies, at most 10,000."""
    found: list[tuple[str, int]] = []
    for name, value in draws.items():
        flat = value.reshape(*value.shape[:2], -1)[..., :10_000]
        moving = np.flatnonzero(np.ptp(flat, axis=(0, 1)) > 0)
        found.extend((name, int(i)) for i in moving)
    if not found:
        raise ModelError("No number of the posterior varies from draw to draw.")
    return found[:10_000]


def _coordinate(draws: Any, name: str, element: int) -> np.ndarray:
    """``[chain, draw]``."""
    value = draws[name]
    return np.asarray(value.reshape(*value.shape[:2], -1)[..., element], np.float64)


def _label(draws: Any, name: str, element: int) -> str:
    return label_of(name, np.unravel_index(element, draws[name].shape[2:]))
