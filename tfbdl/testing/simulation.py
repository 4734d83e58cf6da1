"""Is a sampler right? Simulate parameters and data from a model, and see whether it recovers them.

References:
    Talts, Betancourt, Simpson, Vehtari & Gelman 2018, "Validating Bayesian Inference Algorithms
    with Simulation-Based Calibration", algorithm 1; Modrak et al. 2023, "Simulation-Based
    Calibration Checking for Bayesian Computation", for the log joint as a quantity that sees the
    data; Geweke 2004, "Getting It Right", section 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.stats
import tensorflow as tf

from .. import random
from ..errors import OptionsError
from ..protocols import Params
from .expect import require
from .replications import GenerativeModel, KernelTransition, sample_each, sample_together

Transition = Callable[[Params, Any, tf.Tensor], Params]
"""From states ``[chain, ...]``, data ``[chain, ...]`` and keys ``[chain, 2]`` to new states."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How often each rank occurred.

    Attributes:
        ranks: Quantity -> ``[replication]``: how many of the posterior draws lie below the value
            that the data were simulated from; uniform on 0 to ``draws`` for a right sampler.
        draws: Posterior draws of each replication.
        p_values: Quantity -> the smaller p-value, doubled, of a chi-square test on bins (sees
            posteriors too narrow or too wide) and of Kolmogorov's on the whole (sees a shift).
    """

    ranks: Mapping[str, np.ndarray]
    draws: int
    p_values: Mapping[str, float]

    def uniform(self, level: float = 0.001) -> bool:
        """Whether no quantity's ranks are other than uniform, at ``level`` for all together."""
        return min(self.p_values.values()) >= level / len(self.p_values)


@dataclass(frozen=True, kw_only=True)
class JointTest:
    """Means under the joint distribution, simulated in two ways.

    Attributes:
        z_scores: Test function -> difference of the means in standard errors.
        p_values: Test function -> two-sided p-value of its z-score.
    """

    z_scores: Mapping[str, float]
    p_values: Mapping[str, float]

    def passes(self, level: float = 0.001) -> bool:
        """Whether no two means differ, at ``level`` for all together."""
        return min(self.p_values.values()) >= level / len(self.p_values)


def simulation_based_calibration(
    model: GenerativeModel,
    engine: Any,
    *,
    replications: int = 200,
    draws: int = 99,
    seed: int = 0,
) -> Calibration:
    """Rank parameters drawn from the prior among posterior draws given data simulated from them.

    Ranked are each element of each site, and the log joint: a sampler that returned the prior
    would rank the former rightly, but not the latter.

    Args:
        model: Prior, simulator and log joint; they must be of one model.
        engine: What a factory of an EngineSpec makes. One with a compiled kernel over a target
            (``nuts`` and its kin) runs all replications at once, each as one chain with its own
            data, ``thin`` as its options say; any other is called for each replication with a
            model that has ``sites``, ``init``, ``log_joint`` and ``data``, and ``draws`` of what
            it draws are ranked, evenly spaced. Draws should be nearly independent: thin.
        replications: Simulated data sets.
        draws: L, the posterior draws of each; ``L + 1`` should have many divisors.
        seed: Of all random numbers.

    Raises:
        OptionsError: If there are fewer than 20 replications or no draws.

    Example:
        ```python
        result = simulation_based_calibration(model, NoUTurn(NutsOptions(warmup=300, thin=3)))
        assert result.uniform()
        ```
    """
    if replications < 20 or draws < 1:
        raise OptionsError(
            "A calibration needs at least 20 replications and one draw. "
            f"Received: replications={replications}, draws={draws}."
        )
    truth, data = model.simulate_joint(random.key(seed, "joint"), replications)
    run = sample_together if hasattr(engine, "kernel") else sample_each
    found = run(model, engine, data, draws, seed)
    quantities = {name: (truth[name], found[name]) for name in truth}
    quantities["log joint"] = (
        model.log_joints({name: value[:, tf.newaxis] for name, value in truth.items()}, data)[:, 0],
        model.log_joints(found, data),
    )
    rng = np.random.default_rng(seed)
    ranks: dict[str, np.ndarray] = {}
    for name, (value, sample) in quantities.items():
        flat = np.reshape(value, (replications, -1))
        others = np.reshape(sample, (replications, draws, -1))
        for i in range(flat.shape[1]):
            label = name if np.ndim(value) == 1 else f"{name}[{i}]"
            ranks[label] = _ranks(flat[:, i], others[:, :, i], rng)
    p_values = {name: uniformity(found, draws, rng) for name, found in ranks.items()}
    return Calibration(ranks=ranks, draws=draws, p_values=p_values)


def geweke(
    model: GenerativeModel,
    transition: Transition | Any,
    *,
    functions: Callable[[Params, Any], Mapping[str, tf.Tensor]] | None = None,
    chains: int = 100,
    steps: int = 200,
    seed: int = 0,
) -> JointTest:
    """Simulate the joint distribution directly, and by turns of the sampler and the simulator.

    Direct: parameters from the prior, data given them. By turns: a transition of the sampler given
    the data, then new data given the parameters. Both have the same distribution if the transition
    keeps the posterior. Each chain begins with a direct draw, so a right sampler needs no warm-up;
    chains are independent, so their means tell the standard error whatever the autocorrelation.

    Args:
        model: Prior, simulator and log joint.
        transition: From states, data and keys, each with a leading axis of chains, to new states;
            or an engine with a kernel over a target and a fixed ``step_size``.
        functions: Of one state and its data, to scalars by name; by default each element of each
            site and its square.
        chains: Independent chains by turns.
        steps: Of each chain; enough for a wrong sampler to leave the prior.
        seed: Of all random numbers.

    Raises:
        OptionsError: If there are fewer than 20 chains or no steps.
    """
    if chains < 20 or steps < 1:
        raise OptionsError(
            f"The test needs at least 20 chains and a step. Received: chains={chains}, "
            f"steps={steps}."
        )
    if hasattr(transition, "kernel"):
        move: Transition = KernelTransition(model, transition)
    else:
        move = tf.function(transition, autograph=False)
    compute = functions or _moments
    key = random.key(seed, "geweke")

    def of_each(params: Params, data: Any) -> dict[str, tf.Tensor]:
        return tf.vectorized_map(lambda pair: dict(compute(*pair)), (params, data), warn=False)

    @tf.function(autograph=False)
    def next_data(params: Params, now: tf.Tensor) -> tuple[Any, dict[str, tf.Tensor]]:
        data = model.simulate_each(params, random.split(random.fold_in(now, "data"), chains))
        return data, of_each(params, data)

    direct = of_each(*model.simulate_joint(random.fold_in(key, "direct"), 50 * chains))
    params, data = model.simulate_joint(random.fold_in(key, "start"), chains)
    sums = {name: np.zeros(chains) for name in direct}
    for step in range(steps):
        now = random.fold_in(key, tf.constant(step))
        params = dict(move(params, data, random.split(random.fold_in(now, "move"), chains)))
        data, values = next_data(params, now)
        sums = {name: total + values[name].numpy() for name, total in sums.items()}
    z_scores = {name: _z_score(np.asarray(direct[name]), sums[name] / steps) for name in direct}
    p_values = {name: float(2.0 * scipy.stats.norm.sf(abs(z))) for name, z in z_scores.items()}
    return JointTest(z_scores=z_scores, p_values=p_values)


def check_calibration(model: GenerativeModel, engine: Any, **options: Any) -> Calibration:
    """Raise AssertionError unless an engine passes simulation-based calibration.

    Args:
        model: Prior, simulator and log joint.
        engine: As for ``simulation_based_calibration``.
        **options: Of ``simulation_based_calibration``.
    """
    found = simulation_based_calibration(model, engine, **options)
    worst = min(found.p_values, key=lambda name: found.p_values[name])
    require(
        found.uniform(),
        f"The ranks of {worst!r} are not uniform (p = {found.p_values[worst]:.2g}): the draws are "
        "not of the posterior of this prior and simulator.",
    )
    return found


def uniformity(ranks: np.ndarray, draws: int, rng: np.random.Generator) -> float:
    """The p-value of ranks 0 to ``draws`` under the uniform distribution (see Calibration)."""
    count = len(ranks)
    bins = max(b for b in range(1, 21) if (draws + 1) % b == 0 and count >= 5 * b)
    p_chi = 1.0
    if bins > 1:
        seen = np.bincount(ranks * bins // (draws + 1), minlength=bins)
        p_chi = float(scipy.stats.chisquare(seen).pvalue)
    spread = (ranks + rng.uniform(size=count)) / (draws + 1)  # exactly uniform if the ranks are
    p_whole = float(scipy.stats.kstest(spread, "uniform").pvalue)
    return min(1.0, 2.0 * min(p_chi, p_whole))


def _ranks(truth: Any, sample: Any, rng: np.random.Generator) -> np.ndarray:
    """How many of ``sample [r, L]`` lie below ``truth [r]``; equal ones count at random."""
    truth = np.asarray(truth)[:, np.newaxis]
    below, equal = np.sum(sample < truth, axis=1), np.sum(sample == truth, axis=1)
    return below + rng.integers(0, equal + 1)


def _moments(params: Params, data: Any) -> dict[str, tf.Tensor]:
    moments: dict[str, tf.Tensor] = {}
    for name, value in params.items():
        for i, element in enumerate(tf.unstack(tf.reshape(value, [-1]))):
            label = name if value.shape.rank == 0 else f"{name}[{i}]"
            moments[label], moments[f"{label}^2"] = element, tf.square(element)
    return moments


def _z_score(direct: np.ndarray, chain_means: np.ndarray) -> float:
    error = math.sqrt(direct.var() / direct.size + chain_means.var(ddof=1) / chain_means.size)
    return float((chain_means.mean() - direct.mean()) / error) if error > 0 else 0.0
