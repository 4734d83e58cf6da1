"""Gaussian noise of one size for all data."""

from __future__ import annotations

from typing import ClassVar

from .location_scale import NormalNoise, SharedScale


class Gaussian(NormalNoise, SharedScale):
    """``y ~ N(target_mean + target_scale * output, (target_scale * scale)^2)``.

    Args:
        scale: Standard deviation of the noise of standardised targets, above 0; None: learned,
            from 0.5, with the prior LogNormal(0, 1).
        target_mean: Mean of the targets, or one per output.
        target_scale: Standard deviation of the targets (above 0), or one per output.
        scale_shape: Of a learned scale, whose axes are the last of a row's outputs: ``()`` is one
            for all, ``(3,)`` one for each of three outputs (or channels of each pixel), ``(8, 8,
            3)`` one for each element of an image; None: one per output if ``target_scale`` is.

    Raises:
        OptionsError: If a value is not admitted.

    Example:
        ```python
        likelihood = tfbdl.likelihoods.Gaussian(scale=0.1)
        likelihood.log_prob(outputs=tf.zeros([5, 1]), y=tf.ones([5]))  # [5]
        ```
    """

    name: ClassVar[str] = "gaussian"
