"""Weights of the objective as functions of the training step, and callbacks that set them."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import tensorflow as tf

from tfbdl.errors import OptionsError


@keras.saving.register_keras_serializable(package="tfbdl_vae")
class Ramp:
    """A weight that goes linearly from ``start`` to ``end``, once or in cycles.

    A function of the step alone, so that a run that was stopped goes on with the right weight.

    Args:
        start: Before the first step.
        end: From ``steps`` on.
        steps: Of one ascent, at least 1.
        cycles: How often it begins anew; within each cycle the second half stays at ``end``
            (Fu et al. 2019, with R = 0.5). 1: one ascent over all the steps.

    Raises:
        OptionsError: If a number is out of range.
    """

    def __init__(self, start: float, end: float, steps: int, cycles: int = 1) -> None:
        if steps < 1 or cycles < 1:
            raise OptionsError(
                f"steps and cycles must be at least 1. Received: {steps!r}, {cycles!r}."
            )
        self.start, self.end, self.steps, self.cycles = float(start), float(end), steps, cycles

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The weight at a step counted from 0."""
        step = tf.cast(step, tf.float32)
        length = float(self.steps)
        if self.cycles > 1:
            length = 0.5 * self.steps / self.cycles
            last = step >= float(self.steps)
            step = tf.where(last, length, tf.math.floormod(step, 2.0 * length))
        share = tf.minimum(step / length, 1.0)
        return self.start + (self.end - self.start) * share

    def get_config(self) -> dict[str, Any]:
        """Plain values from which ``from_config`` makes the same ramp."""
        return {"start": self.start, "end": self.end, "steps": self.steps, "cycles": self.cycles}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Ramp:
        """The inverse of ``get_config``."""
        return cls(**config)


class _Schedule(keras.callbacks.Callback):
    """Puts a schedule into the model's objective before training begins."""

    attribute: ClassVar[str]

    def __init__(self, ramp: Any) -> None:
        super().__init__()
        self.ramp = ramp

    def on_train_begin(self, logs: Any = None) -> None:
        """Set it; the steps of training are traced anew where it was another."""
        if getattr(self.model, self.attribute, None) is not self.ramp:
            setattr(self.model, self.attribute, self.ramp)
            self.model.make_train_function(force=True)


class KLAnnealing(_Schedule):
    """Let the weight of the KL term rise from 0 to 1 (Bowman et al. 2016), perhaps in cycles.

    Args:
        steps: Training steps of the ascent, or of all cycles.
        cycles: See Ramp.
    """

    attribute = "kl_weight"

    def __init__(self, steps: int, cycles: int = 1) -> None:
        super().__init__(Ramp(0.0, 1.0, steps, cycles))


class BetaSchedule(_Schedule):
    """Move beta.

    Args:
        start, end, steps, cycles: See Ramp.
    """

    attribute = "beta"

    def __init__(self, start: float, end: float, steps: int, cycles: int = 1) -> None:
        super().__init__(Ramp(start, end, steps, cycles))


class CapacitySchedule(_Schedule):
    """Raise the capacity C of ``gamma |KL - C|`` (Burgess et al. 2018, eq. 8).

    Args:
        end: Nats in the end.
        steps: Training steps of the ascent from 0.
    """

    attribute = "capacity"

    def __init__(self, end: float, steps: int) -> None:
        super().__init__(Ramp(0.0, end, steps))


class FreeBits(_Schedule):
    """Make the first nats of each latent dimension's KL free (Kingma et al. 2016, eq. 15).

    Args:
        nats: Of each dimension.
        steps: If given, the free nats fall to 0 over so many training steps.
    """

    attribute = "free_bits"

    def __init__(self, nats: float, steps: int | None = None) -> None:
        super().__init__(nats if steps is None else Ramp(nats, 0.0, steps))
