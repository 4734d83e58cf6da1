"""Drive the compiled loop in chunks: a start near the mode, warm-up, draws; report, store, stop.

The chunks are cut by the clock, and the draws do not depend on them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from ... import random
from ...errors import CheckpointError, OptionsError, RunError
from ...posterior import Posterior
from ...protocols import Context, EngineResult
from ..driver import Pace, Reporter, Seldom, from_arrays, to_arrays
from ..mcmc.sampler import live_diagnostics
from .density import States, StochasticDensity
from .loop import Kept, Loop, State
from .rules import AdamRule, SgldRule
from .schedules import Constant

FIRST_CHUNK = 64


@dataclass(frozen=True, kw_only=True)
class Length:
    """How much to sample.

    Attributes:
        chains: Number of chains.
        warm_start: Steps of Adam before all else, towards the mode.
        warmup: Steps of each chain that are not kept.
        draws: Draws of each chain that are kept.
        thin: Sampling steps for each draw.
        cycles: Of a cyclical schedule, for the draws that were first asked for; a run that is
            extended goes on with cycles of the same length.
        refresh: Steps between anchors of the control variate; 0: one anchor for all.
        gibibytes: The most that the draws may take.
    """

    chains: int = 1
    warm_start: int = 0
    warmup: int = 1000
    draws: int = 1000
    thin: int = 1
    cycles: int = 1
    refresh: int = 0
    gibibytes: float = 4.0

    def sampling_steps(self) -> int:
        """Of one cycle."""
        return -(-self.draws // self.cycles) * self.thin

    def steps(self, cycle: tuple[int, int]) -> int:
        """All steps of a chain but those of Adam, in cycles of ``cycle = (length, sampling)``."""
        whole, rest = divmod(self.draws * self.thin, cycle[1])
        partial = cycle[0] - cycle[1] + rest if rest else 0
        return self.warmup + whole * cycle[0] + partial


def sample(
    density: StochasticDensity,
    rule: SgldRule,
    schedule: Constant,
    length: Length,
    context: Context,
    *,
    temperature: float = 1.0,
    control_variate: bool = False,
    warm_start_rate: float = 0.01,
    checkpoint_seconds: float = 30.0,
) -> EngineResult:
    """Sample ``density``, from the run's last checkpoint if there is one.

    Args:
        density: The model and its data.
        rule: The sampler's step.
        schedule: Step sizes, from the end of warm-up.
        length: How much.
        context: Seed, reports and checkpoints of the run.
        temperature: T.
        control_variate: Subtract the minibatch gradient at an anchor and add the full one there;
            the anchor is where sampling begins, and moves every ``length.refresh`` steps.
        warm_start_rate: Learning rate of Adam.
        checkpoint_seconds: Minimum time between two checkpoints.

    Raises:
        OptionsError: If the draws would take more memory than allowed.
        RunError: If a chain leaves the finite numbers.
        CheckpointError: If a checkpoint is of another sampler or model.
    """
    check_memory(density, length)
    key = random.key(context.seed, "sgmcmc")
    warm = Loop(
        density,
        AdamRule(warm_start_rate, max(length.warm_start, 1)),
        Constant(step_size=warm_start_rate),
        random.fold_in(key, "warm start"),
        chains=length.chains,
        warmup=length.warm_start,
    )
    loop = Loop(
        density,
        rule,
        schedule,
        random.fold_in(key, "sampling"),
        chains=length.chains,
        warmup=length.warmup,
        thin=length.thin,
        temperature=temperature,
    )
    run = _Run(density, length, context, control_variate, checkpoint_seconds)
    params = density.initial_states(length.chains, context.seed)
    phase, state = run.restored({"warm start": warm, "sampling": loop}, params)
    if phase == "warm start":
        while int(state.step) < length.warm_start:
            state = run.chunk(phase, warm, state, length.warm_start)
        state = loop.start(state.params, length.sampling_steps())
    total = length.steps((int(state.cycle[0]), int(state.cycle[1])))
    while int(state.kept) < length.draws:
        state = run.anchored(state)
        state = run.chunk("sampling", loop, state, total)
    run.save("sampling", state)
    return run.result()


def check_memory(density: StochasticDensity, length: Length) -> None:
    """Raise OptionsError if the draws would not fit."""
    sizes = {name: int(np.prod(shape)) for name, shape in density.shapes.items()}
    one = sum(size * tf.as_dtype(density.sites[n].dtype).size for n, size in sizes.items())
    gibibytes = one * length.chains * length.draws / 2**30
    if gibibytes > length.gibibytes:
        fitting = int(length.gibibytes * 2**30 / (one * length.chains))
        raise OptionsError(
            f"{length.chains} chains of {length.draws:,} draws of {sum(sizes.values()):,} numbers "
            f"would take {gibibytes:.1f} GiB. Expected at most {length.gibibytes:g} GiB: lower "
            f"draws to {max(fitting, 1):,} and raise thin, or raise memory_limit."
        )


class _Run:
    """What happens between two chunks, and the draws so far."""

    def __init__(
        self,
        density: StochasticDensity,
        length: Length,
        context: Context,
        control_variate: bool,
        checkpoint_seconds: float,
    ) -> None:
        self.density, self.length, self.context = density, length, context
        self.reporter = Reporter(context, checkpoint_seconds)
        self.control_variate = control_variate and density.batch_size is not None
        self.parts: list[list[np.ndarray]] = []
        self.pace = Pace(FIRST_CHUNK)
        self.seldom = Seldom()
        self.live: dict[str, float] = {}

    def anchored(self, state: State) -> State:
        """The state with an anchor, renewed if it is time."""
        if not self.control_variate:
            return state
        refresh = self.length.refresh
        due = int(state.step) % refresh == 0 if refresh else not state.anchor
        if not due:
            return state
        return state._replace(anchor=(state.params, self.density.full_gradient(state.params)))

    def chunk(self, phase: str, loop: Loop, state: State, total: int) -> State:
        """Make some steps, take up their draws, report."""
        steps = self.pace.size
        if phase == "warm start":
            steps = min(steps, total - int(state.step))
        elif self.control_variate and self.length.refresh:
            steps = min(steps, self.length.refresh - int(state.step) % self.length.refresh)
        began, first = time.perf_counter(), int(state.kept)
        begun_at = int(state.step)
        state, kept = loop.advance(state, tf.constant(steps), tf.constant(self.length.draws))
        self._take(kept, int(state.kept) - first)
        seconds, made = time.perf_counter() - began, int(state.step) - begun_at
        if not np.isfinite(state.log_joint).all():
            raise RunError(
                f"The log joint of a chain is {state.log_joint.numpy().min()} after "
                f"{int(state.step)} steps of {phase}. Lower step_size, or begin nearer to the "
                "mode with warm_start."
            )
        self.pace.took(made, seconds)
        self.reporter.report(
            lambda: self._figures(phase, state, total), lambda: self.save(phase, state)
        )
        return state

    def restored(self, loops: Mapping[str, Loop], params: States) -> tuple[str, State]:
        """The phase and the state to go on with."""
        store, phase = self.context.checkpoints, "warm start"
        found = None if store is None else store.restore()
        start = {
            name: loop.start(params, self.length.sampling_steps()) for name, loop in loops.items()
        }
        if found is None:
            return phase, start[phase]
        _, arrays, notes = found
        phase = str(notes.get("phase", ""))
        if phase not in start:
            raise CheckpointError(
                "The checkpoint is of another sampler or model. Expected a phase among "
                f"{', '.join(start)}. Received: {phase!r}."
            )
        template = start[phase]
        if notes.get("anchored"):
            template = template._replace(anchor=(params, params))
        state = from_arrays("state", template, arrays)
        drawn = [arrays[name] for name in sorted(arrays) if name.startswith("draws")]
        if drawn:
            self.parts = [drawn]
        return phase, state

    def save(self, phase: str, state: State) -> None:
        """Store the whole state and the draws so far."""
        notes = {"phase": phase, "anchored": bool(state.anchor)}
        done = int(state.step) + (self.length.warm_start if phase == "sampling" else 0)
        self.reporter.store(
            done, lambda: to_arrays("state", state) | to_arrays("draws", self._drawn()), notes
        )

    def result(self) -> EngineResult:
        """The posterior of all draws, with the worst diagnostics."""
        draws, kept = self._draws()
        posterior = Posterior(
            draws,
            {
                "lp": kept.log_joint.T,
                "step_size": np.tile(kept.step_size, (self.length.chains, 1)),
            },
        )
        metrics = {"log_joint": float(kept.log_joint.mean())}
        if self.length.draws >= 20:
            names = {"r_hat": "r_hat_max", "ess_bulk": "ess_bulk_min"}
            live = live_diagnostics(posterior.draws)
            metrics |= {names[name]: value for name, value in live.items()}
        return EngineResult(posterior=posterior, metrics=metrics)

    def _take(self, kept: Kept, rows: int) -> None:
        if rows:
            # copies, so that the unfilled rest of the buffer is let go
            self.parts.append([leaf[:rows].numpy() for leaf in tf.nest.flatten(kept)])

    def _drawn(self) -> list[np.ndarray]:
        """All draws so far, as the leaves of a Kept; joined once."""
        if len(self.parts) > 1:
            self.parts = [[np.concatenate(leaf) for leaf in zip(*self.parts, strict=True)]]
        return [leaf[: self.length.draws] for leaf in self.parts[0]] if self.parts else []

    def _draws(self) -> tuple[dict[str, np.ndarray], Kept]:
        """Site name -> constrained ``[chain, draw, ...]``; and the draws as they were kept."""
        names = dict.fromkeys(self.density.sites, 0)
        kept = tf.nest.pack_sequence_as(Kept(names, 0, 0), self._drawn())
        values = self.density.constrain(
            {n: tf.constant(np.swapaxes(v, 0, 1)) for n, v in kept.params.items()}
        )
        return {name: value.numpy() for name, value in values.items()}, kept

    def _figures(self, phase: str, state: State, total: int) -> dict[str, float]:
        sampling = phase == "sampling"
        ahead = self.length.warm_start
        figures = {
            "step": int(state.step) + (ahead if sampling else 0),
            "steps": total + (ahead if sampling else 0),
            "log_joint": float(np.mean(state.log_joint)),
        }
        if sampling:
            figures["step_size"] = float(state.step_size)
        if int(state.kept) >= 20 and self.seldom.due():
            with self.seldom.timed():
                self.live = live_diagnostics(self._draws()[0])
        return {**figures, **self.live}
