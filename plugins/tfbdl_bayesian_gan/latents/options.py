"""The options that a mixture has as the prior of noise, beside those of the registered prior."""

from __future__ import annotations

from typing import Literal

from tfbdl import Config, Field


class MixtureOptions(Config):
    """How components vary, and how the gradient of their weights is taken."""

    covariance: Literal["diagonal", "full"] = Field("diagonal", description="Of each component.")
    weights_gradient: Literal["score", "gumbel"] = Field(
        "score", description="By the score function, unbiased, or by Gumbel-softmax through z."
    )
    temperature: float = Field(0.5, gt=0, description="Of the Gumbel-softmax.")
    weights_rate: float = Field(
        0.2, gt=0, description="How fast weights are learned, beside means and scales."
    )
