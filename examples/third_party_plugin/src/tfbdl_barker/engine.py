"""The engine: all that joins the sampler to tfbdl."""

from __future__ import annotations

import tensorflow as tf

from tfbdl import random
from tfbdl.data import Dataset
from tfbdl.posterior import Posterior
from tfbdl.protocols import Context, EngineResult, LogJoint

from . import barker
from .config import BarkerOptions
from .unconstrained import Unconstrained


class Barker:
    """Draws from any model with a log joint density, over all its data at each step."""

    def __init__(self, options: BarkerOptions) -> None:
        self.options = options

    def fit(self, model: LogJoint, data: Dataset | None, context: Context) -> EngineResult:
        """Run the chains; ``on_step`` is told of each draw, and may end the run."""
        options = self.options
        target = Unconstrained(model, None if data is None else (data.x, data.y))
        state = tf.stack([target.start(context.seed + chain) for chain in range(options.chains)])
        key = random.key(context.seed, "barker")

        @tf.function
        def run(state: tf.Tensor, steps: tf.Tensor, draw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            own = random.fold_in(key, draw)
            return barker.sample(target.density, state, options.step_size, steps, own)

        if options.warmup:
            state, _ = run(state, tf.constant(options.warmup), tf.constant(-1))
        states, rates = [], []
        for draw in range(options.draws):
            state, rate = run(state, tf.constant(options.thin), tf.constant(draw))
            states.append(state)
            rates.append(rate)
            if context.on_step is not None:
                context.on_step({"step": draw + 1, "acceptance_rate": float(tf.reduce_mean(rate))})
        acceptance = tf.stack(rates, axis=1)  # [chain, draw]
        return EngineResult(
            posterior=Posterior(
                target.constrained(tf.stack(states, axis=1)), {"acceptance_rate": acceptance}
            ),
            metrics={"acceptance_rate": float(tf.reduce_mean(acceptance))},
        )
