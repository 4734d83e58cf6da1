"""TwoPlayers: the optimizers of generator and discriminator, as one that Keras can hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfbdl.errors import OptionsError

Variables = Callable[[], list[keras.Variable]]


class TwoPlayers(keras.optimizers.Optimizer):
    """Two optimizers, each of its own variables.

    It builds and hands out the state of both, so that a checkpoint holds both. Its
    ``learning_rate`` is that of the generator.

    Args:
        generator, discriminator: The optimizers.
        generator_variables, discriminator_variables: Give the variables of each.
    """

    def __init__(
        self,
        generator: keras.optimizers.Optimizer,
        discriminator: keras.optimizers.Optimizer,
        generator_variables: Variables,
        discriminator_variables: Variables,
    ) -> None:
        super().__init__(learning_rate=0.0, name="two_players")
        self.generator, self.discriminator = generator, discriminator
        self._of_generator, self._of_discriminator = generator_variables, discriminator_variables

    def build(self, variables: Any = None) -> None:
        """Make room for the state of both."""
        for player, own in (
            (self.generator, self._of_generator()),
            (self.discriminator, self._of_discriminator()),
        ):
            if not player.built:
                player.build(own)
        self.built = True

    @property
    def variables(self) -> list[keras.Variable]:
        """The state of both."""
        return [*self.generator.variables, *self.discriminator.variables]

    @property
    def learning_rate(self) -> Any:
        """Of the generator."""
        return self.generator.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self.generator.learning_rate = value

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Refused: gradients belong to one of the two.

        Raises:
            OptionsError: Always.
        """
        raise OptionsError("Apply gradients with .generator or .discriminator, not with both.")

    def get_config(self) -> dict[str, Any]:
        """The configuration of both."""
        return {
            "generator": keras.saving.serialize_keras_object(self.generator),
            "discriminator": keras.saving.serialize_keras_object(self.discriminator),
        }


def copied(
    optimizer: keras.optimizers.Optimizer, learning_rate: float | None = None
) -> keras.optimizers.Optimizer:
    """An optimizer of the same settings without state, where given with another learning rate.

    Args:
        optimizer: To be copied.
        learning_rate: A schedule keeps its course and begins here.
    """
    config = optimizer.get_config()
    rate = config["learning_rate"]
    if learning_rate is not None:
        if isinstance(rate, dict) and "initial_learning_rate" in rate.get("config", {}):
            config["learning_rate"]["config"]["initial_learning_rate"] = learning_rate
        else:
            config["learning_rate"] = learning_rate
    return type(optimizer).from_config(config)


def apply_gradients(
    optimizer: keras.optimizers.Optimizer,
    tape: tf.GradientTape,
    loss: tf.Tensor,
    variables: Sequence[keras.Variable],
) -> None:
    """One step of an optimizer; nothing where there is nothing to train."""
    if variables:
        gradients = tape.gradient(loss, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))


def clip_weights(variables: Sequence[keras.Variable], size: float) -> None:
    """Set weights beyond ``-size`` or ``size`` to these, on all replicas (Arjovsky et al. 2017)."""

    def clip(strategy: tf.distribute.Strategy, weights: Sequence[tf.Variable]) -> None:
        for weight in weights:
            strategy.extended.update(weight, _clipped, args=(size,), group=False)

    weights = [variable.value for variable in variables]
    context = tf.distribute.get_replica_context()
    if context is not None and tf.distribute.has_strategy():
        context.merge_call(clip, args=(weights,))
        return
    for weight in weights:
        _clipped(weight, size)


def _clipped(weight: tf.Variable, size: float) -> None:
    weight.assign(tf.clip_by_value(weight, -size, size))
