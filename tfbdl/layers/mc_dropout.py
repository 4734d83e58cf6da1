"""MCDropout: dropout that goes on when the net predicts."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import tensorflow as tf

from .. import random
from .dropout_noise import check_noise_shape, check_rate, noise_lengths
from .noise import NoisyLayer


@keras.saving.register_keras_serializable(package="tfbdl")
class MCDropout(NoisyLayer):
    """Keras' Dropout with a fresh mask at each call, training or not.

    What is kept is multiplied by ``1 / (1 - rate)``, so that means stay. Each prediction of a net
    with such layers is one draw from its predictive distribution: average several. Engine
    ``mc_dropout`` does so, for ``keras.layers.Dropout`` too, with one mask for all rows of a draw;
    under any other engine a BayesianNetwork's draws are of its weights, and share their masks.

    Args:
        rate: The share that is dropped, from 0 and below 1.
        noise_shape: Of the mask, for each axis of the inputs a length, 1 where the mask is the same
            along it, or None. ``(None, 1, None)`` is one mask for all time steps.
        seed: Of the masks, as in NoisyLayer.
        **kwargs: Of ``keras.layers.Layer``.

    Shapes:
        inputs, outputs: ``[...]``

    Raises:
        OptionsError: If an argument does not fit.

    References:
        Gal and Ghahramani 2016, "Dropout as a Bayesian Approximation", section 4.
        Gal and Ghahramani 2016, "A Theoretically Grounded Application of Dropout in Recurrent
        Neural Networks", section 4: one mask for all time steps.

    Example:
        ```python
        Dense, Dropout = keras.layers.Dense, tfbdl.layers.MCDropout
        model = keras.Sequential([Dense(50, "relu"), Dropout(0.1), Dense(1)])
        model.compile("adam", "mse")
        model.fit(x, y, epochs=40)
        draws = np.stack([model.predict(x) for _ in range(100)])
        ```
    """

    multiplies_by_noise: ClassVar[bool] = True

    def __init__(
        self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.rate = check_rate("rate", rate, zero=True)
        self.noise_shape = check_noise_shape(noise_shape)
        self.supports_masking = True

    def call(self, inputs: Any, training: bool | None = None) -> tf.Tensor:
        """The inputs under a mask drawn anew."""
        call = self.next_call()
        inputs = tf.convert_to_tensor(inputs)
        lengths = noise_lengths(self.noise_shape, inputs)
        if not self.rate:
            return inputs
        kept = random.uniform(lengths, self.noise_key(call, "mask")) >= self.rate
        return inputs * (tf.cast(kept, inputs.dtype) * (1.0 / (1.0 - self.rate)))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """That of the inputs."""
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Plain values."""
        return {**super().get_config(), "rate": self.rate, "noise_shape": self.noise_shape}
