"""The options of the priors."""

from __future__ import annotations

import math
from typing import Literal

from tfbdl import Config, Field


class NormalOptions(Config):
    """Options of ``normal``."""

    scale: float = Field(1.0, gt=0, description="Standard deviation of each element.")
    loc: float = Field(0.0, description="Mean of each element.")


class LaplaceOptions(Config):
    """Options of ``laplace``."""

    scale: float = Field(
        1.0, gt=0, description="Scale b of each element; the standard deviation is sqrt(2) b."
    )


class StudentTOptions(Config):
    """Options of ``student_t``."""

    df: float = Field(3.0, gt=0, description="Degrees of freedom; 1 is a Cauchy.")
    scale: float = Field(1.0, gt=0, description="Scale of each element.")


class ScaleMixtureOptions(Config):
    """Options of ``scale_mixture``, named as in Blundell et al. 2015, eq. 7."""

    pi: float = Field(
        0.5, ge=1e-6, le=1 - 1e-6, description="Weight of the component with scale sigma1."
    )
    sigma1: float = Field(
        1.0, ge=1e-10, le=1e10, description="Standard deviation of the first component."
    )
    sigma2: float = Field(
        math.exp(-6.0),
        ge=1e-10,
        le=1e10,
        description="Standard deviation of the second component, as a rule much smaller.",
    )


class HorseshoeOptions(Config):
    """Options of ``horseshoe``."""

    scale: float = Field(
        1.0, gt=0, description="Global scale tau; small values pull more elements to zero."
    )


class EmpiricalNormalOptions(Config):
    """Options of ``empirical_normal``."""

    initial: float = Field(1.0, gt=0, description="Starting value of each tensor's scale.")
    hyperprior: Literal["half_cauchy", "log_normal"] = Field(
        "half_cauchy", description="Distribution of the scale where it is sampled."
    )
    hyper_scale: float = Field(
        1.0,
        gt=0,
        description="Scale of the half-Cauchy, or standard deviation of the scale's logarithm.",
    )


class LayerwiseOptions(Config):
    """Options of ``layerwise``."""

    gain: float = Field(
        1.0, gt=0, description="Standard deviation of a kernel's element times sqrt(fan-in)."
    )
    scale: float = Field(1.0, gt=0, description="Standard deviation of biases and other vectors.")
