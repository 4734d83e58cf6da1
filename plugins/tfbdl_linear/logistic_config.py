"""The options of Bayesian logistic regression."""

from __future__ import annotations

import pydantic

from tfbdl import Field
from tfbdl.config import Array

from .config import BasisOptions


class LogisticOptions(BasisOptions):
    """Of the columns and of the normal prior over their weights."""

    intercept: bool = Field(
        True, description="A column of ones after the others, whose weight has the prior of all."
    )
    alpha: float = Field(1.0, gt=0, description="Precision of the weights' prior N(m0, I / alpha).")
    m0: Array | None = Field(
        None, description="Prior mean of the weights, the intercept's last; none: zeros."
    )
    S0: Array | None = Field(
        None, description="Prior covariance of the weights, in place of the identity / alpha."
    )

    @pydantic.model_validator(mode="after")
    def _one_prior(self) -> LogisticOptions:
        if self.S0 is not None and "alpha" in self.model_fields_set:
            raise ValueError("alpha and S0 both give the weights' prior covariance: give one")
        return self
