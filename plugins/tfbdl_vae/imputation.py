"""Missing entries of rows, drawn given the observed ones by a Markov chain through the codes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfbdl import random
from tfbdl.config import check_whole
from tfbdl.errors import DataError, OptionsError
from tfbdl.likelihoods import Categorical

from .codes import Codes
from .objective import VariationalBound


class Imputation(Codes, VariationalBound):
    """``p(x_missing | x_observed)`` by pseudo-Gibbs."""

    def impute(
        self,
        x: Any,
        steps: int = 100,
        draws: int = 1,
        seed: int = 0,
        *,
        mask: Any = None,
        mean: bool = False,
    ) -> np.ndarray:
        """Draw what is missing; what is observed stays as it is.

        Each draw is the end of a chain of its own, which begins with a draw of the model, p(x),
        in the missing entries and takes turns: z from q(z | x), then the missing entries from
        p(x | z). Where q is the exact posterior, the chain's distribution goes to
        ``p(x_missing | x_observed)``; elsewhere to one that is near it as far as q is near.
        The weights of a Bayesian decoder are drawn anew at each step.

        Args:
            x: Rows ``[n, ...]``, with NaN for what is missing.
            steps: Of each chain.
            draws: Chains of each row.
            seed: Of all draws; those of a row depend on the rows beside it too.
            mask: True where an entry is missing, of the shape of x; by default where x is NaN.
            mean: Give the mean over draws; of labels there is none.

        Returns:
            ``[draws, n, ...]``, or with ``mean`` ``[n, ...]``, of the type of x (float32 for
            integers).

        Raises:
            OptionsError: If steps or draws are no integers of at least 1, or the mean of labels is
                asked for.
            DataError: If the mask has another shape, an observed entry is NaN, or the observed
                entries do not suit the model.

        References:
            Rezende, Mohamed & Wierstra 2014, "Stochastic backpropagation and approximate inference
            in deep generative models", appendix F.

        Example:
            ```python
            x[0, 400:] = np.nan  # the lower half of a picture
            model.impute(x[:1], draws=8)  # [8, 1, 784]
            ```
        """
        steps, draws = check_whole("steps", steps), check_whole("draws", draws)
        if mean and isinstance(self.likelihood, Categorical):
            raise OptionsError(
                "Labels have no mean: their numbers are names. Expected: mean=False, for draws of "
                "labels. Received: mean=True."
            )
        given, missing = _parted(x, mask)
        filler = self.sample(1, seed)
        if filler.shape[1:] != given.shape[1:]:
            raise DataError(
                f"Expected x of shape [n, {', '.join(map(str, filler.shape[1:]))}]. "
                f"Received: shape {list(given.shape)}."
            )
        filled = np.where(missing, filler, given)
        self.check_rows(filled)
        flat = np.concatenate([filled.astype(keras.config.floatx())] * draws)
        holes = np.concatenate([missing] * draws)
        key, size = random.key(seed, "impute"), self.rows_at_once()
        program = self.query("impute", tf.constant(flat[:1]))
        ends = [
            program(flat[i : i + size], holes[i : i + size], key, i, steps).numpy()
            for i in range(0, len(flat), size)
        ]
        drawn = np.where(missing, np.concatenate(ends).reshape(draws, *given.shape), given)
        drawn = drawn.astype(given.dtype)
        return drawn.mean(axis=0) if mean else drawn

    def program(
        self, name: str, row: tf.TensorSpec
    ) -> tuple[Callable[..., Any], Sequence[tf.TensorSpec]]:
        """See Codes."""
        if name != "impute":
            return super().program(name, row)
        count = tf.TensorSpec([], tf.int32)
        holes, key = tf.TensorSpec(row.shape, tf.bool), tf.TensorSpec([2], tf.uint32)
        return self._chain, [row, holes, key, count, count]

    def _chain(
        self, x: tf.Tensor, holes: tf.Tensor, key: tf.Tensor, first: tf.Tensor, steps: tf.Tensor
    ) -> tf.Tensor:
        """The rows after so many turns; ``first`` is the index of the first among all chains."""
        shape, count = x.shape, tf.shape(x)[0]
        own = random.fold_in(random.fold_in(key, "rows"), first + tf.range(count))

        def filled(x: tf.Tensor, z: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
            """The missing entries drawn from p(x | z), with weights that all rows share."""
            outputs, _ = self.outputs(tf.reshape(z, [-1, self.latent_dim]), key)
            likely = self.likelihood.distribution(outputs, self.likelihood_parameters())
            drawn = likely.sample(seed=_seed(random.fold_in(key, "x"), first))
            return tf.ensure_shape(tf.where(holes, tf.cast(drawn, x.dtype), x), shape)

        def turn(step: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            keys = random.fold_in(own, step)
            seen = self.observed(self.unchanged(x), keys)
            z, _ = self.latent_posterior.draw(self.posterior_of(seen), keys[tf.newaxis])
            return step + 1, filled(x, z, random.fold_in(key, step))

        start = random.fold_in(key, "start")
        x = filled(x, self.latent_prior().sample(count, seed=_seed(start, first)), start)
        _, x = tf.while_loop(
            lambda step, _: step < steps, turn, (tf.constant(0), x), parallel_iterations=1
        )
        return x


def _seed(key: tf.Tensor, first: tf.Tensor) -> tf.Tensor:
    """A seed of TFP, for the block that begins with this row."""
    return tf.bitcast(random.fold_in(key, first), tf.int32)


def _parted(x: Any, mask: Any) -> tuple[np.ndarray, np.ndarray]:
    """The rows as floats, and where an entry is missing."""
    given = np.asarray(x)
    if given.dtype.kind not in "biuf" or given.ndim < 2 or not len(given):
        raise DataError(
            "Expected rows of numbers [n, ...], with NaN for what is missing. "
            f"Received: dtype {given.dtype}, shape {list(given.shape)}."
        )
    if given.dtype.kind != "f":
        given = given.astype("float32")
    missing = np.isnan(given) if mask is None else np.asarray(mask)
    if missing.dtype != bool or missing.shape != given.shape:
        raise DataError(
            f"The mask must be boolean, of the shape of x {list(given.shape)}. "
            f"Received: dtype {missing.dtype}, shape {list(missing.shape)}."
        )
    return given, missing
