"""Weights of the objective as functions of the training step, and callbacks that set them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from tfbdl.config import check_whole
from tfbdl.errors import ModelError, OptionsError, TfbdlWarning

if TYPE_CHECKING:
    from .objective import Weight


@keras.saving.register_keras_serializable(package="tfbdl_vae")
class Ramp:
    """A weight that goes linearly from ``start`` to ``end``, once or in cycles.

    A function of the step alone, counted from the first that the model ever made: a second ``fit``,
    and a model that was stored and loaded, go on where they were.

    Args:
        start: Before the first step.
        end: From ``steps`` on.
        steps: Of one ascent, at least 1.
        cycles: How often it begins anew; within each cycle the second half stays at ``end``
            (Fu et al. 2019, with R = 0.5). 1: one ascent over all the steps.

    Attributes:
        weight: Where it ends.

    Raises:
        OptionsError: If a number is out of range.

    References:
        Fu et al. 2019, "Cyclical annealing schedule: a simple approach to mitigating KL vanishing".

    Example:
        ```python
        VAE(encoder, decoder, latent_dim=10, beta=Ramp(0.0, 4.0, steps=5_000))
        ```
    """

    def __init__(self, start: float, end: float, steps: int, cycles: int = 1) -> None:
        for name, value in (("start", start), ("end", end)):
            checked_number(name, value)
        self.start, self.end = float(start), float(end)
        self.steps, self.cycles = check_whole("steps", steps), check_whole("cycles", cycles)

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

    @property
    def weight(self) -> float:
        """Where it ends."""
        return self.end

    def __repr__(self) -> str:
        return f"Ramp({', '.join(f'{name}={value}' for name, value in self.get_config().items())})"

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Ramp:
        """The inverse of ``get_config``."""
        return cls(**config)


class _Schedule(keras.callbacks.Callback):
    """Puts weights into the model's objective before training begins; they stay there.

    They are part of the model from then on: of its configuration, its files and copies.

    Args:
        weights: Attribute of the model -> number or schedule.
    """

    def __init__(self, weights: Mapping[str, Any]) -> None:
        super().__init__()
        self.weights = dict(weights)

    def on_train_begin(self, logs: Any = None) -> None:
        """Set them; the steps are traced anew where something changed.

        Raises:
            ModelError: If the model has no such weight.
            OptionsError: If it contradicts the model's other options.
        """
        model = self.model
        if not set(self.weights) <= set(vars(model)):
            raise ModelError(
                f"{type(self).__name__} sets the weights of a VAE's objective. "
                f"Received: a {type(model).__name__}, which has no {next(iter(self.weights))}."
            )
        before = {name: getattr(model, name) for name in self.weights}
        if all(before[name] is weight for name, weight in self.weights.items()):
            return
        self._set(self.weights)
        try:
            model.check_together()
        except OptionsError:
            self._set(before)
            raise
        self._warn_of_the_end(int(model.rng_step.numpy()))
        model.make_train_function(force=True)
        model.test_function = None  # traced with those before

    def _warn_of_the_end(self, made: int) -> None:
        """Say so where a ramp was over before the first step that it is given."""
        for name, weight in self.weights.items():
            if isinstance(weight, Ramp) and made >= weight.steps:
                warnings.warn(
                    f"{type(self).__name__} counts the steps of training from the model's first, "
                    f"and of its {weight.steps} none is left: {name} stays at {weight.end:g}. "
                    f"Expected: steps above {made}, or a model that is not trained. Received: a "
                    f"model that has made {made} steps.",
                    TfbdlWarning,
                    stacklevel=3,
                )

    def _set(self, weights: Mapping[str, Any]) -> None:
        for name, weight in weights.items():
            setattr(self.model, name, weight)


class KLAnnealing(_Schedule):
    """Let the weight of the KL term rise from 0 to 1, perhaps in cycles.

    It multiplies beta; a capacity takes the place of both. Steps are counted from the model's
    first: of one that has made them all nothing is annealed, and there is a warning.

    Args:
        steps: Training steps of the ascent, or of all cycles.
        cycles: See Ramp.

    Raises:
        OptionsError: If a number is out of range.

    References:
        Bowman et al. 2016, "Generating sentences from a continuous space", section 3.1.

    Example:
        ```python
        model.fit(x, epochs=20, callbacks=[KLAnnealing(steps=2_000)])
        ```
    """

    def __init__(self, steps: int, cycles: int = 1) -> None:
        super().__init__({"kl_weight": Ramp(0.0, 1.0, steps, cycles)})


class BetaSchedule(_Schedule):
    """Move beta.

    Args:
        start, end, steps, cycles: See Ramp.

    Raises:
        OptionsError: If a number is out of range.
    """

    def __init__(self, start: float, end: float, steps: int, cycles: int = 1) -> None:
        super().__init__({"beta": Ramp(start, end, steps, cycles)})


class CapacitySchedule(_Schedule):
    """Raise the capacity C of ``gamma |KL - C|``, which takes the place of ``beta KL``.

    Args:
        end: Nats in the end.
        steps: Training steps of the ascent from 0.
        gamma: Weight of the distance; None: the model's own.

    Raises:
        OptionsError: If a number is out of range.

    References:
        Burgess et al. 2018, "Understanding disentangling in beta-VAE", eq. 8.
    """

    def __init__(self, end: float, steps: int, gamma: float | None = None) -> None:
        own = {} if gamma is None else {"gamma": checked_number("gamma", gamma)}
        super().__init__({"capacity": Ramp(0.0, end, steps), **own})


class FreeBits(_Schedule):
    """Make the first nats of each latent dimension's KL free.

    Args:
        nats: Of each dimension, as a mean over the rows of a batch.
        steps: If given, the free nats fall to 0 over so many training steps.

    Raises:
        OptionsError: If a number is out of range.

    References:
        Kingma et al. 2016, "Improving variational inference with inverse autoregressive flow",
        eq. 15.
    """

    def __init__(self, nats: float, steps: int | None = None) -> None:
        nats = checked_number("nats", nats)
        super().__init__({"free_bits": nats if steps is None else Ramp(nats, 0.0, steps)})


def checked_weight(name: str, weight: Any) -> Weight:
    """A schedule, or a finite number of at least 0.

    Raises:
        OptionsError: If it is neither.
    """
    if callable(weight):
        schedule: Weight = weight
        return schedule
    return checked_number(name, weight, ", or a function of the training step")


def checked_number(name: str, value: Any, otherwise: str = "") -> float:
    """A finite number of at least 0.

    Raises:
        OptionsError: If it is none.
    """
    try:
        number = -1.0 if isinstance(value, (str, bytes, bool)) else float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not 0.0 <= number < float("inf"):
        raise OptionsError(
            f"{name} must be a finite number of at least 0{otherwise}. Received: {value!r}."
        )
    return number


def stored_weight(name: str, weight: Any) -> Any:
    """A number, or a schedule as Keras stores it.

    Raises:
        ModelError: If it is a lambda, which no file can hold.
    """
    if getattr(weight, "__name__", "") == "<lambda>":
        raise ModelError(
            f"A model whose {name} is a lambda cannot be stored. Give a Ramp, or a class or "
            "function with @keras.saving.register_keras_serializable()."
        )
    return keras.saving.serialize_keras_object(weight)
