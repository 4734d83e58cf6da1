"""How a BayesianGAN is trained: Keras' verbs carry out the recipe, without an optimizer."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfbdl import functional
from tfbdl.config import check_whole
from tfbdl.data import Dataset
from tfbdl.distributions import Prior
from tfbdl.errors import ModelError, OptionsError
from tfbdl.inference.rows import CountedRows
from tfbdl.inference.surrogate import read

from .bayesian_config import RecipeOptions
from .bayesian_fit import Training
from .bayesian_queries import Queries
from .labels import classes_of, keep_some
from .recipe import Recipe, Rows
from .rows import check_range, check_shape


class Trained(CountedRows, Queries):
    """The verbs of training; BayesianGAN says what the model consists of.

    Attributes:
        options: Of the recipe.
        prior: Of the weights.
        data_shape: Of a row.
        labelled: How many rows keep their labels; None: all.
    """

    objective = "the negative log posterior of its weights"
    takes_datasets = True
    brings_optimizer = True

    options: RecipeOptions
    prior: Prior
    data_shape: tuple[int, ...]
    labelled: int | None

    @property
    def default_steps(self) -> int:
        """Iterations of the whole recipe."""
        options = self.options
        return options.warmup + options.burn_in + options.samples * options.thin

    def compile(self, **kwargs: Any) -> None:  # type: ignore[override]
        """As in Keras, and not needed: the recipe brings its own steps.

        Raises:
            OptionsError: If an optimizer, a loss or metrics are given.
        """
        if kwargs.pop("optimizer", None) is not None:
            raise OptionsError(
                "A BayesianGAN brings its own steps. Expected: no optimizer, but learning_rate, "
                "decay, step_size and friction of the model. Received: an optimizer."
            )
        super().compile("sgd", **kwargs)

    def get_compile_config(self) -> dict[str, Any] | None:
        """As in Keras, without an optimizer; None where the model was never compiled."""
        config = super().get_compile_config()
        return config and {key: value for key, value in config.items() if key != "optimizer"}

    def fit(  # type: ignore[override]
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int | None = None,
        verbose: Any = 0,
        callbacks: Any = None,
        validation_data: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        shuffle: bool = True,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Carry out the recipe, or go on with it.

        Args:
            x: Rows, in any form that ``tfbdl.fit`` takes.
            y: ``[n]`` class labels of semi-supervised learning, from 0; -1 where there is none.
            batch_size: Rows of an iteration; None: that of the options.
            epochs: Passes over the data; None: what is left of the recipe, or, once it is done,
                as many iterations as the kept samples take; an epoch of the history is a pass or
                100 iterations, whichever is longer.
            verbose, callbacks, initial_epoch, steps_per_epoch: As in Keras.
            validation_data: Plays no part.
            shuffle: Plays no part: each minibatch is drawn anew from all rows.
            **kwargs: Refused.

        Returns:
            With ``generator_loss`` and ``discriminator_loss`` (mean ``-log D(G(z))``, or the
            distance of matched features, and ``-log D(x) - log(1 - D(G(z)))``),
            ``real_probability``, ``fake_probability`` (mean D of rows of the data and of generated
            ones), and ``loss``, the sum of the first two.

        Raises:
            DataError: If the rows do not suit the model, have weights, or labels are missing.
            OptionsError: If Keras' ``fit`` has an argument that this one has not.
            RunError: If weights leave the finite numbers.
        """
        self.refuse_weights(kwargs)
        if kwargs:
            raise OptionsError(
                "fit of a BayesianGAN takes x, y, batch_size, epochs, verbose, callbacks, "
                f"initial_epoch and steps_per_epoch. Received: {', '.join(kwargs)}."
            )
        data = self.training_rows(x)
        given = x.y if isinstance(x, Dataset) and y is None else y
        options = self.options
        if batch_size is not None:
            options = options.model_copy(
                update={"batch_size": check_whole("batch_size", batch_size)}
            )
        training = Training(self, self._rows(data, given), options)
        return training.run(epochs, verbose, callbacks, initial_epoch, steps_per_epoch)

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Refused: the recipe is carried out as a whole.

        Raises:
            ModelError: Always.
        """
        raise ModelError("A BayesianGAN is sampled by fit(x), which draws its minibatches itself.")

    def call(self, inputs: Any, training: bool | None = None) -> tf.Tensor:
        """Mean over present discriminators: ``p(y | x)`` ``[n, K]``, or D ``[n, 1]``."""
        return self._judged(self.chain.params("discriminator"), inputs)

    def batch_loss(self, x: Any, training: bool) -> tf.Tensor:
        """``-log posterior / N`` of the present weights, all sides added, as rows ``x`` tell it.

        N are the rows of training; before the first ``fit`` those of ``x``.
        """
        x = self._inward(tf.convert_to_tensor(x, "float32"))
        rows, seen = tf.shape(x)[0], read(self.num_data_seen)
        n = tf.cast(tf.where(seen > 0, seen, tf.cast(rows, seen.dtype)), "float32")
        recipe = self.recipe(self.options, n, minibatches=False)
        g, d = (self.chain.params(role) for role in ("generator", "discriminator"))
        key = self.noise_key(training, "evaluation")
        made = recipe.of_generators(g, d, Rows(x), key)[0]
        judged = recipe.of_discriminators(d, g, Rows(x), key)[0]
        return -(tf.reduce_mean(made) + tf.reduce_mean(judged)) / n

    # -- training --------------------------------------------------------------------------------

    def recipe(
        self,
        options: RecipeOptions,
        num_data: Any,
        num_labelled: int = 0,
        seed: int = 0,
        minibatches: bool = True,
    ) -> Recipe:
        """The compiled iterations for data of so many rows."""
        return Recipe(
            *self.nets, self.latents, self.prior, options,
            num_data=num_data, num_labelled=num_labelled, seed=seed, minibatches=minibatches,
            jit_compile=all(layer.supports_jit for layer in functional.layers_of(self)),
        )  # fmt: skip

    def check_rows(self, x: Any, what: str = "x") -> None:
        """Refuse rows that no generator can give.

        Raises:
            DataError: With what was expected.
        """
        check_shape(x, self.data_shape, what)
        check_range(self._inward(x), self.nets.generators.net, what)

    def _rows(self, data: Dataset, y: Any) -> Rows:
        held = np.asarray(data.in_memory().x, "float32")
        self.check_rows(held)
        x = self._inward(held)
        if not self.num_classes:
            return Rows(x)
        labels = classes_of(y, len(held), self.num_classes)
        if self.labelled is not None:
            labels = keep_some(labels, self.labelled, int(read(self.rng_seed).numpy()))
        known = labels >= 0
        return Rows(x, tf.boolean_mask(x, known), tf.constant(labels[known]))
