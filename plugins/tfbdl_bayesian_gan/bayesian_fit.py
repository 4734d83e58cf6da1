"""The loop around the recipe: epochs, samples, callbacks, and where a run goes on."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tfbdl.errors import RunError
from tfbdl.inference.driver import Pace
from tfbdl.inference.surrogate import read

from .bayesian_config import RecipeOptions
from .recipe import FIGURES, Rows, State

if TYPE_CHECKING:
    from .bayesian_gan import BayesianGAN

FIRST_CHUNK = 16
LONG = 100
"""Iterations of the shortest epoch where none are asked for."""


class Training:
    """Iterations of a model on rows, from wherever its chain is.

    Chunks end with epochs, with warm-up and where a sample is kept; elsewhere the clock cuts them,
    which makes no difference to the weights.

    Args:
        model: The model.
        rows: Of training, in units of the nets.
        options: Of the recipe.
    """

    def __init__(self, model: BayesianGAN, rows: Rows, options: RecipeOptions) -> None:
        self.model, self.rows, self.options = model, rows, options
        self.num_rows = int(rows.x.shape[0])
        labelled = 0 if rows.labels is None else int(rows.labels.shape[0])
        self.recipe = model.recipe(
            options, self.num_rows, labelled, seed=int(read(model.rng_seed).numpy())
        )
        model.num_data = self.num_rows
        self.pace = Pace(FIRST_CHUNK)

    def run(
        self,
        epochs: int | None,
        verbose: Any,
        callbacks: Any,
        initial_epoch: int,
        steps_per_epoch: int | None,
    ) -> keras.callbacks.History:
        """Arguments as in Keras; without ``epochs`` what is left of the recipe."""
        each = steps_per_epoch or math.ceil(self.num_rows / self.options.batch_size)
        first = int(self.model.chain.state().step)
        if epochs is None:
            each = max(each, LONG)
            last = first + self._left(first)
            epochs = initial_epoch + math.ceil((last - first) / each)
        else:
            last = first + (epochs - initial_epoch) * each
        calls = keras.callbacks.CallbackList(
            callbacks,
            add_history=True,
            add_progbar=bool(verbose) and verbose != "auto",
            verbose=0 if verbose == "auto" else verbose,
            epochs=epochs,
            steps=each,
            model=self.model,
        )
        self.model.stop_training = False
        calls.on_train_begin()
        logs: dict[str, float] = {}
        for epoch in range(initial_epoch, epochs):
            calls.on_epoch_begin(epoch)
            step = int(self.model.chain.state().step)
            logs = self._epoch(min(each, last - step), calls)
            calls.on_epoch_end(epoch, logs)
            if self.model.stop_training:
                break
        calls.on_train_end(logs)
        history: keras.callbacks.History = self.model.history
        return history

    def _left(self, step: int) -> int:
        """Iterations up to the end of the recipe; after it, those of as many samples again."""
        left = self.model.default_steps - step
        return left if left > 0 else self.options.samples * self.options.thin

    def _epoch(self, steps: int, calls: keras.callbacks.CallbackList) -> dict[str, float]:
        """An epoch: means of its figures."""
        state, made = self.model.chain.state(), 0
        totals = dict.fromkeys(FIGURES, 0.0)
        try:
            while made < steps:
                calls.on_train_batch_begin(made)
                count = min(steps - made, self._until_event(int(state.step)), self.pace.size)
                state, figures = self._chunk(state, count)
                made += count
                totals = {name: totals[name] + count * figures[name] for name in FIGURES}
                calls.on_train_batch_end(made - 1, _logs(totals, made))
        finally:
            self.model.chain.assign(state)
        return _logs(totals, made)

    def _chunk(self, state: State, count: int) -> tuple[State, dict[str, float]]:
        began = time.perf_counter()
        state, figures = self.recipe.advance(state, self.rows, count)
        self.pace.took(count, time.perf_counter() - began)
        if not np.isfinite(list(figures.values())).all():
            raise RunError(
                f"A loss became {figures} after {int(state.step)} iterations. Lower learning_rate "
                "or step_size, or give rows of a size near one (location and scale)."
            )
        if self._keeps_at(int(state.step)):
            self.model.kept.take({**state.generators.params, **state.discriminators.params})
        return state, figures

    def _keeps_at(self, step: int) -> bool:
        """Whether the state after so many iterations is a sample that is kept."""
        options = self.options
        since = step - options.warmup - options.burn_in
        return since > 0 and since % options.thin == 0

    def _until_event(self, step: int) -> int:
        """Iterations until warm-up ends or a sample is kept."""
        options = self.options
        if step < options.warmup:
            return options.warmup - step
        since = step - options.warmup - options.burn_in
        return options.thin - since % options.thin if since >= 0 else -since


def _logs(totals: dict[str, float], made: int) -> dict[str, float]:
    means = {name: total / made for name, total in totals.items()}
    return {"loss": means["generator_loss"] + means["discriminator_loss"], **means}
