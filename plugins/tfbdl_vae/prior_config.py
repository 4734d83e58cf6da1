"""The options of the priors of latent variables."""

from __future__ import annotations

from tfbdl import Config, Field


class MixtureStart(Config):
    """Where the components of a mixture begin."""

    spread: float = Field(
        1.0, gt=0, description="Standard deviation of the means' start, which is drawn around 0."
    )
    initial_scale: float = Field(
        1.0, ge=0.01, description="Start of each component's standard deviations."
    )


class GaussianMixtureOptions(MixtureStart):
    """Options of ``gaussian_mixture``."""

    components: int = Field(10, ge=1, description="Number of Gaussians.")


class VampOptions(MixtureStart):
    """Options of ``vamp``; where its components begin matters for tensors without an encoder."""

    pseudo_inputs: int = Field(
        500, ge=1, description="Number of pseudo-inputs: one component for each."
    )


class StickBreakingOptions(MixtureStart):
    """Options of ``stick_breaking``."""

    components: int = Field(20, ge=2, description="Gaussians at which the process is truncated.")
    concentration: float = Field(
        1.0, gt=0, description="Of the Dirichlet process: large values break more, smaller pieces."
    )
    base_scale: float = Field(
        10.0, gt=0, description="Standard deviation of the base measure, from which the means are."
    )


class NormalizingFlowOptions(Config):
    """Options of ``normalizing_flow``."""

    layers: int = Field(4, ge=1, description="Number of coupling layers.")
    hidden: int = Field(64, ge=1, description="Hidden units of each coupling's net.")
