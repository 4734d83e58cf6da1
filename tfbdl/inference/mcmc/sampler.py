"""Drive a compiled sampler in chunks: report, store, stop and go on between them.

The chunks are cut by the clock, and the draws do not depend on them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from ... import diagnostics, random
from ...errors import ModelError
from ...posterior import Posterior
from ...protocols import Context, EngineResult
from ..compilation import naming_the_operation
from ..driver import Pace, Reporter, Seldom, from_arrays, to_arrays
from .lockstep import with_room

FIRST_CHUNK = 256
FEWEST = 20  # draws of a chain, below which diagnostics say nothing
KINDS = {"diverging": bool, "reached_max_treedepth": bool, "tree_depth": int, "n_steps": int}


class Constrains(Protocol):
    """What maps the states of a sampler to values of sites, such as a FlatTarget."""

    def constrain(self, z: Any) -> Mapping[str, tf.Tensor]:
        """Site name -> ``[chain, draw, ...]``."""


@dataclass(frozen=True, kw_only=True)
class Length:
    """How much to sample.

    Attributes:
        chains: Number of chains.
        warmup: Iterations of each chain that adapt and are not kept.
        draws: Draws of each chain that are kept.
        thin: Iterations for each draw.
    """

    chains: int = 4
    warmup: int = 1000
    draws: int = 1000
    thin: int = 1

    @property
    def iterations(self) -> int:
        """Of each chain, in all."""
        return self.warmup + self.draws * self.thin


def sample(
    kernel: Any,
    target: Constrains,
    stat_names: tuple[str, ...],
    length: Length,
    context: Context,
    *,
    start: Any,
    checkpoint_seconds: float = 30.0,
) -> EngineResult:
    """Run ``kernel`` from ``start``, or from the run's last checkpoint.

    Args:
        kernel: A Nuts, Lockstep or Sweeps: ``start(states, keys)`` gives a state that has
            ``iteration [chain]``, ``draws`` and ``stats``, and ``advance(state, keys, iterations,
            steps)`` goes on from it.
        target: Whose draws are constrained at the end.
        stat_names: The kernel's figures of a transition.
        length: How much to sample.
        context: Seed, reports and checkpoints of the run.
        start: Starting states ``[chain, D]``, or a mapping of such; unused where a checkpoint is
            found.
        checkpoint_seconds: Minimum time between two checkpoints.

    Raises:
        ModelError: If the log density or its gradient is not finite at the start, or uses
            operations that XLA does not know.
        CheckpointError: If the checkpoint is of another sampler or model.
    """
    keys = random.split(random.key(context.seed, "mcmc"), length.chains)
    fresh = with_room(kernel.start(start, keys), length.draws)
    state = _restored(fresh, length, context)
    watch = _Watch(target, stat_names, length, context, checkpoint_seconds)
    if state is None:
        state = _checked(fresh)
        watch.save(state, 0)
    last = tf.constant(length.iterations)
    pace = Pace(FIRST_CHUNK)
    while int(tf.reduce_min(state.iteration)) < length.iterations:
        began = time.perf_counter()
        with naming_the_operation():
            state = kernel.advance(state, keys, last, tf.constant(pace.size))
        done = int(tf.reduce_min(state.iteration))
        pace.took(pace.size, time.perf_counter() - began)
        watch.after_chunk(state, done)
    watch.save(state, length.iterations)
    posterior = Posterior(watch.draws(state), watch.stats(state))
    return EngineResult(posterior=posterior, metrics=_metrics(posterior))


class _Watch:
    """What happens between two chunks."""

    def __init__(
        self,
        target: Constrains,
        stat_names: tuple[str, ...],
        length: Length,
        context: Context,
        checkpoint_seconds: float,
    ) -> None:
        self.target, self.stat_names, self.length = target, stat_names, length
        self.reporter = Reporter(context, checkpoint_seconds)
        self.seldom = Seldom()
        self.live: dict[str, float] = {}

    def after_chunk(self, state: Any, done: int) -> None:
        """Report and store; a request to stop stores first."""
        self.reporter.report(lambda: self._figures(state, done), lambda: self.save(state, done))

    def save(self, state: Any, done: int) -> None:
        """Store the whole state."""
        notes = {"draws": self.length.draws}
        self.reporter.store(done, lambda: to_arrays("state", state), notes)

    def draws(self, state: Any, upto: int | None = None) -> dict[str, np.ndarray]:
        """Site name -> ``[chain, draw, ...]``, constrained."""

        def by_chain(rows: tf.Tensor) -> tf.Tensor:
            return tf.transpose(rows[:-1][:upto], [1, 0, *range(2, rows.shape.rank)])

        kept = tf.nest.map_structure(by_chain, state.draws)
        return {name: value.numpy() for name, value in self.target.constrain(kept).items()}

    def stats(self, state: Any, upto: int | None = None) -> dict[str, np.ndarray]:
        """Name -> ``[chain, draw]``."""
        kept = state.stats[:-1][:upto].numpy()
        named = {name: kept[:, :, i].T for i, name in enumerate(self.stat_names)}
        return {name: value.astype(KINDS.get(name, value.dtype)) for name, value in named.items()}

    def _figures(self, state: Any, done: int) -> Mapping[str, float]:
        figures: dict[str, float] = {"step": done, "steps": self.length.iterations}
        kept = max(0, done - self.length.warmup) // self.length.thin
        if kept:
            figures |= _totals(self.stats(state, kept))
        if kept >= FEWEST and self.seldom.due():
            with self.seldom.timed():
                self.live = live_diagnostics(self.draws(state, kept))
        return figures | self.live


def live_diagnostics(draws: Mapping[str, np.ndarray], elements: int = 50) -> dict[str, float]:
    """The worst R-hat and the smallest effective sample size over some elements of each site.

    An element with one value in all draws of all chains, such as a zero of a triangular matrix,
    counts for neither. A figure is left out where it is not defined: chains that stand still at
    different values have no finite R-hat, draws that are not finite have none of both.
    """
    r_hats, sizes = [np.empty(0)], [np.empty(0)]
    for value in draws.values():
        flat = value.reshape(*value.shape[:2], -1)
        some = np.unique(np.linspace(0, flat.shape[-1] - 1, elements).astype(int))
        chosen = flat[:, :, some]
        moving = chosen[:, :, np.ptp(chosen, axis=(0, 1)) != 0]  # NaN counts as moving
        r_hats.append(diagnostics.r_hat(moving))
        sizes.append(diagnostics.ess_bulk(moving))
    found = {
        "r_hat": np.max(np.concatenate(r_hats), initial=-np.inf),
        "ess_bulk": np.min(np.concatenate(sizes), initial=np.inf),
    }
    return {name: float(value) for name, value in found.items() if np.isfinite(value)}


def _metrics(posterior: Posterior) -> dict[str, float]:
    draws = posterior.draws
    found = live_diagnostics(draws) if next(iter(draws.values())).shape[1] >= FEWEST else {}
    names = {"r_hat": "r_hat_max", "ess_bulk": "ess_bulk_min"}
    metrics = {names[name]: value for name, value in found.items()}
    return metrics | _totals(posterior.sample_stats)


def _totals(stats: Mapping[str, np.ndarray]) -> dict[str, float]:
    totals = {}
    if "acceptance_rate" in stats:
        totals["acceptance_rate"] = float(stats["acceptance_rate"].mean())
    if "diverging" in stats:
        totals["divergences"] = float(stats["diverging"].sum())
    return totals


def _checked(state: Any) -> Any:
    """The state, if density and gradient are finite at the point where each chain begins."""
    point = getattr(state, "point", None)
    if point is None:
        return state
    for what, value in (("log density", point.log_prob), ("gradient", point.gradient)):
        if not np.isfinite(value).all():
            raise ModelError(
                f"The {what} is not finite where the chains would begin. Expected finite numbers. "
                f"Received: {np.array2string(value.numpy(), threshold=8)}. Begin elsewhere "
                "(LogDensity(..., initial=...)), or make the density finite there."
            )
    return state


def _restored(state: Any, length: Length, context: Context) -> Any:
    """The state of the last checkpoint, of the structure of ``state``; None without one."""
    found = None if context.checkpoints is None else context.checkpoints.restore()
    if found is None:
        return None
    _, arrays, notes = found
    before = with_room(state, int(notes.get("draws", 0)))
    return with_room(from_arrays("state", before, arrays), length.draws)
