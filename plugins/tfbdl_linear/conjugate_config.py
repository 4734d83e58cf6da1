"""The options of the conjugate families."""

from __future__ import annotations

from typing import Literal

import pydantic

from tfbdl import Config, Field
from tfbdl.config import Array


class ConjugateOptions(Config):
    """Which family, and its hyperparameters; those of other families must not be given."""

    family: Literal[
        "normal_inverse_wishart",
        "normal_gamma",
        "beta_bernoulli",
        "beta_binomial",
        "dirichlet_categorical",
        "dirichlet_multinomial",
        "gamma_poisson",
    ] = Field("normal_inverse_wishart", description="Conjugate prior and likelihood.")
    alpha: Array | None = Field(
        None,
        description="Of the beta prior: pseudo-counts of ones (default 1). Of the Dirichlet prior: "
        "one for each category, or one for all (default 1).",
    )
    beta: Array | None = Field(
        None, description="Of the beta prior: pseudo-counts of zeros (default 1)."
    )
    trials: int | None = Field(
        None,
        ge=1,
        description="Of beta_binomial: trials of each count. Of dirichlet_multinomial: the sum of "
        "a row that is sampled.",
    )
    categories: int | None = Field(
        None, ge=2, description="Of dirichlet_categorical: their number, if alpha does not tell."
    )
    shape: Array | None = Field(
        None, description="Of the gamma prior of a Poisson rate or normal precision (default 1)."
    )
    rate: Array | None = Field(
        None, description="Of the gamma prior: its rate, one over a scale (default 1)."
    )
    m0: Array | None = Field(None, description="Prior mean of a normal's mean (default 0).")
    kappa0: float | None = Field(
        None, gt=0, description="Rows that the prior mean of a normal counts for (default 1)."
    )
    nu0: float | None = Field(
        None,
        gt=0,
        description="Degrees of freedom of the inverse Wishart prior, more than the columns less "
        "one (default: the columns plus 2, where its mean is S0).",
    )
    S0: Array | None = Field(
        None,
        description="Scale matrix of the inverse Wishart prior of the covariance: its mean is "
        "S0 / (nu0 - columns - 1), the precision is Wishart with the scale matrix S0^-1 "
        "(default: the identity).",
    )
    dtype: Literal["float64", "float32"] = Field("float64", description="Of the data.")

    @pydantic.model_validator(mode="after")
    def _of_the_family(self) -> ConjugateOptions:
        admitted = _ADMITTED[self.family]
        others = [
            name
            for name in self.model_fields_set
            if name not in ("family", "dtype", *admitted) and getattr(self, name) is not None
        ]
        if others:
            raise ValueError(
                f"{self.family} takes {', '.join(admitted)}, not {', '.join(sorted(others))}"
            )
        if self.family == "beta_binomial" and self.trials is None:
            raise ValueError("beta_binomial needs trials")
        return self


_ADMITTED = {
    "normal_inverse_wishart": ("m0", "kappa0", "nu0", "S0"),
    "normal_gamma": ("m0", "kappa0", "shape", "rate"),
    "beta_bernoulli": ("alpha", "beta"),
    "beta_binomial": ("alpha", "beta", "trials"),
    "dirichlet_categorical": ("alpha", "categories"),
    "dirichlet_multinomial": ("alpha", "trials"),
    "gamma_poisson": ("shape", "rate"),
}
